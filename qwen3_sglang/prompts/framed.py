"""Texts that share their start and end, written as JSON without putting each one together first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from qwen3_sglang.prompts.texts import BETWEEN, TOGETHER, Together

_BETWEEN = BETWEEN.encode()


def framed(shared: Mapping[str, object], name: str, start: str, texts: Sequence[str], end: str) -> bytes:
    """A JSON object: what is in `shared`, and as `name` the list of `start` + text + `end` for each text.

    JSON escapes each character by itself, so what all texts share is escaped once.

    Args:
        shared: one field at least.
        name: a field's name that JSON leaves as it is.
        start: stands before each text.
        texts: what stands between the two.
        end: stands behind each text.

    Raises:
        TypeError: there is a lone surrogate.
    """
    whole = _whole(texts)
    if whole is not None:
        written, before, after = orjson.dumps(whole), orjson.dumps(start)[:-1], orjson.dumps(end)[1:]
        between = after + b"," + before
        # At most one more than there should be: that shows that a text has that character too. A text full of it
        # would become the product of both lengths.
        spread = written.replace(_BETWEEN, between, len(texts))
        if len(spread) - len(written) == (len(texts) - 1) * (len(between) - len(_BETWEEN)):
            head = orjson.dumps(shared)[:-1] + f',"{name}":['.encode()
            # In one go: with several copies of a body in memory, each call would ask the system for more of it.
            return b"".join((head, before, memoryview(spread)[1:-1], after, b"]}"))
    return orjson.dumps({**shared, name: [f"{start}{text}{end}" for text in texts]})


def _whole(texts: Sequence[str]) -> str | None:
    """All of them, with BETWEEN between each two; None where it is no faster: one that isn't ASCII widens them all."""
    if isinstance(texts, Together):
        return texts.whole if texts.whole.isascii() else None
    if sum(map(len, texts)) > TOGETHER or not all(map(str.isascii, texts)):
        return None
    return BETWEEN.join(texts)
