"""What takes long is left to a thread, so that an event loop isn't held by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from qwen3_sglang.transport.threads import in_thread

T = TypeVar("T")
MUCH = 2**18  # characters: a few milliseconds' work
PER_TEXT = 100  # characters that a text counts for beside its own


def size_of(texts: object) -> int:
    """How much there is to do, in characters; 0 for what can't be read, which is refused at once."""
    try:
        return sum(map(len, texts), PER_TEXT * len(texts)) if isinstance(texts, Sequence) else 0
    except TypeError:
        return 0


def size_of_all(*parts: object) -> int:
    """The same of texts and of sequences of texts together."""
    return sum(len(part) if isinstance(part, str) else size_of(part) for part in parts)


def size_of_rows(rows: object) -> int:
    """The same of (query, document) or (query, its documents)."""
    if not isinstance(rows, (list, tuple)):
        return 0  # a generator is read where it was made
    try:
        return sum(PER_TEXT + len(query) + (len(own) if isinstance(own, str) else size_of(own)) for query, own in rows)
    except (TypeError, ValueError):
        return 0


async def aside(size: int, work: Callable[[], T]) -> T:
    """What it returns; done in a thread where there is much to do."""
    return await in_thread(work) if size > MUCH else work()
