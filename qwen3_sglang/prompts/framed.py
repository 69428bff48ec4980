"""Texts that share their start and end, written as JSON without putting each one together first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from qwen3_sglang.prompts.texts import BETWEEN, Together

_BETWEEN = BETWEEN.encode()


def framed(shared: Mapping[str, object], name: str, start: str, texts: Sequence[str], end: str) -> bytes:
    """A JSON object: what is in `shared`, and as `name` the list of `start` + text + `end` for each text.

    JSON escapes each character by itself, so what all texts share is escaped once.

    Args:
        shared: one field at least.
        name: a field's name that JSON leaves as it is.
        start: stands before each text.
        texts: without lone surrogates.
        end: stands behind each text.

    Raises:
        TypeError: there is a lone surrogate.
    """
    whole = texts.whole if isinstance(texts, Together) else BETWEEN.join(texts)
    written, before, after = orjson.dumps(whole), orjson.dumps(start)[:-1], orjson.dumps(end)[1:]
    between = after + b"," + before
    spread = written.replace(_BETWEEN, between)
    # Where a text has that character too, more of them were replaced.
    if not texts or len(spread) - len(written) != (len(texts) - 1) * (len(between) - len(_BETWEEN)):
        return orjson.dumps({**shared, name: [f"{start}{text}{end}" for text in texts]})
    # In one go: with several copies of a body in memory, each call would ask the system for more of it.
    head = orjson.dumps(shared)[:-1] + f',"{name}":['.encode()
    return b"".join((head, before, memoryview(spread)[1:-1], after, b"]}"))
