"""Where a long document is divided into overlapping chunks, each of which fits the model; no I/O.

Chunks follow one another from the document's start. Each holds as many tokens as fit, whole characters only, and the
next one begins `overlap` tokens before its end: an answer of at most so many tokens stands whole in one of them.
Where the overlap is more than half of what fits, that half is taken. After `most` chunks the rest isn't read.

`divide` is a generator of decisions, as `truncate.fit` is. It takes time that is linear in the length that is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qwen3_sglang.prompts.template import Head
from qwen3_sglang.prompts.texts import NFC_GROWTH, nfc, source_length
from qwen3_sglang.prompts.truncate import (
    Encode,
    Steps,
    cut,
    first_bytes,
    given_back,
    room_beside,
    room_in_bytes,
    suspects,
)

_LOOK = 6  # characters per token, generously: so many are looked at for the first chunk
_WINDOW = 32  # characters per token at most; more than that, only runs of white space and of one sign have
_BYTES = 4  # that a token stands for in most texts
Span = tuple[int, int]


@dataclass(frozen=True)  # with slots its defaults couldn't be read off the class
class Chunking:
    """How long documents are divided.

    Attributes:
        overlap: tokens that a chunk shares with the one before it.
        most: chunks per document.
    """

    overlap: int = 128
    most: int = 32

    def __str__(self) -> str:
        return f"{self.most} chunks"


@dataclass(frozen=True, slots=True)
class Divided:
    """What is read of a document.

    Attributes:
        spans: start and end of each chunk, in characters; one alone where the document fits.
        whole: they cover the document.
    """

    spans: Sequence[Span]
    whole: bool = True


def divide(head: Head, documents: Sequence[str], limit: int, how: Chunking) -> Steps[list[Divided]]:
    """The chunks of each document: head + chunk + suffix has at most `limit` tokens.

    Asks nothing while every prompt is surely short enough.

    Raises:
        QueryError: the query and the instruction leave no room for a document.
        InvalidInputError: the tokenizer isn't the model's.
    """
    unsure = suspects(head, documents, limit)
    if not unsure:
        return _divided(documents, {})
    room, _ = yield from room_beside(head, [], limit)
    read = {index: _Reading(documents[index], limit * _LOOK, limit * _WINDOW) for index in unsure}
    going = read
    while going:
        rests = {index: one.rest for index, one in going.items()}
        ends = yield from _ends(head, rests, limit, room, how.overlap)
        going = {index: one for index, one in going.items() if one.advance(*ends[index], how.most)}
    return _divided(documents, read)


def divide_bytes(head: Head, documents: Sequence[str], limit: int, how: Chunking) -> list[Divided]:
    """`divide` without a tokenizer: one token per byte, so that there are more chunks than needed.

    Raises:
        QueryError: the query and the instruction leave no room for a document.
    """
    unsure = suspects(head, documents, limit)
    if not unsure:
        return _divided(documents, {})
    room = room_in_bytes(head, limit)
    read = {index: _Reading(documents[index], room, len(documents[index])) for index in unsure}
    for one in read.values():
        while one.advance(*_end_in_bytes(one.rest, room, how.overlap), how.most):
            pass
    return _divided(documents, read)


class _Reading:
    """How far a document has been divided.

    Attributes:
        spans: its chunks so far.
    """

    def __init__(self, text: str, look: int, longest: int) -> None:
        """The next chunk is looked for in the next `look` characters, in up to `longest` where all of these fit."""
        self.text, self.spans = text, list[Span]()
        self._start, self._look, self._longest = 0, look, longest

    @property
    def rest(self) -> str:
        """Where the next chunk is looked for."""
        return self.text[self._start : self._start + self._look]

    def advance(self, end: int, after: int, most: int) -> bool:
        """Whether there is more to look for, now that in `rest` a chunk ends, and the one after it begins, there."""
        start, stop = self._start, self._start + end
        if end == self._look < self._longest and stop < len(self.text):  # more may fit
            self._look = min(2 * self._look, self._longest)
            return True
        done = self.spans[-1][1] if self.spans else None
        if done is not None and stop <= done:  # the next character has no room beside the overlap, or none at all
            self._start = done
            return start < done
        self.spans.append((start, stop))
        self._start += min(max(after, 1), end)
        self._look = min(end + end // 4 + _LOOK, self._longest)  # about as many characters will fit next time
        return end > 0 and stop < len(self.text) and len(self.spans) < most


def _divided(documents: Sequence[str], read: Mapping[int, _Reading]) -> list[Divided]:
    return [
        Divided(read[index].spans, whole=read[index].spans[-1][1] == len(text))
        if index in read
        else Divided([(0, len(text))])
        for index, text in enumerate(documents)
    ]


def _ends(head: Head, rests: dict[int, str], limit: int, room: int, overlap: int) -> Steps[dict[int, Span]]:
    """Where the first chunk of each text ends, and where the second begins."""
    bodies = {index: f"{head.joint}{rest}" for index, rest in rests.items()}
    ids = dict(zip(bodies, (yield Encode(list(bodies.values()))), strict=True))
    longer = {i: tokens for i, tokens in ids.items() if len(tokens) > room or len(rests[i]) == limit * _WINDOW}
    shared = min(overlap, room // 2)
    cuts = yield from cut(head, bodies, longer, room, limit, start=_source, back=shared)
    ends = {index: (len(rest), len(rest)) for index, rest in rests.items()}
    for index, one in cuts.items():
        before = _source(bodies[index], one.before).removeprefix(head.joint) if shared else one.text
        ends[index] = len(one.text), len(before)
    return ends


def _source(body: str, decoded: str) -> str:
    """The start of `body` itself, not of its NFC, that a tokenizer decodes to whole characters."""
    text = given_back(body, decoded)
    return text if body.startswith(text) else body[: source_length(body, len(text))]


def _end_in_bytes(rest: str, room: int, overlap: int) -> Span:
    end = source_length(rest, len(first_bytes(rest, room)))
    while (over := len(nfc(rest[:end], NFC_GROWTH * room).encode()) - room) > 0:  # what the next character composed
        end -= -(-over // _BYTES)
    encoded = rest[:end].encode()
    shared = encoded[len(encoded) - min(overlap * _BYTES, len(encoded) // 2) :]
    return end, end - len(shared.decode(errors="ignore"))
