"""Runs long computations in a thread, so that they don't block the event loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from qwen3_sglang.transport.threads import in_thread

T = TypeVar("T")
MUCH = 2**18  # characters: a few milliseconds' work
PER_TEXT = 100  # characters that a text counts for beside its own


def size_of(texts: object) -> int:
    """How much there is to do, in characters; 0 for what can't be read, which is refused at once.

    Of many texts only their number is looked at: an event loop may be waiting.
    """
    if type(texts) is not list and not isinstance(texts, Sequence):  # asking what a Sequence is takes longer
        return 0
    least = PER_TEXT * len(texts)
    try:
        return least if least > MUCH else sum(map(len, texts), least)
    except TypeError:
        return 0


def size_of_all(*parts: object) -> int:
    """The same of texts and of sequences of texts together."""
    size = 0
    for part in parts:
        if part is not None:
            size += len(part) if isinstance(part, str) else size_of(part)
    return size


def size_of_rows(rows: object) -> int:
    """The same of (query, document) or (query, its documents)."""
    if not isinstance(rows, (list, tuple)):
        return 0  # a generator is read where it was made
    if len(rows) * PER_TEXT > MUCH:
        return len(rows) * PER_TEXT
    try:
        return sum(PER_TEXT + len(query) + (len(own) if isinstance(own, str) else size_of(own)) for query, own in rows)
    except (TypeError, ValueError):
        return 0


def counts_of(rows: object) -> list[int]:
    """Documents per query, of (query, its documents); none of what can't be read."""
    if not isinstance(rows, (list, tuple)):
        return []
    try:
        return [len(own) for _, own in rows]
    except (TypeError, ValueError):
        return []


async def aside(size: int, work: Callable[[], T]) -> T:
    """The function's result; it runs in a thread where `size` is large."""
    return await in_thread(work) if size > MUCH else work()
