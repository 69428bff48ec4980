"""Where a long document is divided into overlapping chunks, each of which fits the model; no I/O.

Chunks follow one another from the document's start. Each holds as many tokens as fit, whole characters only, and the
next one begins `overlap` tokens before its end: an answer of at most so many tokens stands whole in one of them.
Where the overlap is more than half of what fits, that half is taken. After `most` chunks the rest isn't read.

`divide` is a generator of decisions, as `truncate.fit` is. It takes time that is linear in the length that is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qwen3_sglang.prompts.template import Head
from qwen3_sglang.prompts.texts import NFC_GROWTH, nfc, source_length
from qwen3_sglang.prompts.truncate import (
    Cut,
    Decode,
    Steps,
    cut,
    first_bytes,
    given_back,
    measure,
    room_in_bytes,
    suspects,
)

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
    found: dict[int, list[Span]] = {index: [] for index in suspects(head, documents, limit)}
    starts = dict.fromkeys(found, 0)
    while starts:
        rests = {index: documents[index][start : start + limit * _WINDOW] for index, start in starts.items()}
        ends = yield from _ends(head, rests, limit, how.overlap)
        starts = _follow(documents, found, starts, ends, how.most)
    return _divided(documents, found)


def divide_bytes(head: Head, documents: Sequence[str], limit: int, how: Chunking) -> list[Divided]:
    """`divide` without a tokenizer: one token per byte, so that there are more chunks than needed.

    Raises:
        QueryError: the query and the instruction leave no room for a document.
    """
    found: dict[int, list[Span]] = {index: [] for index in suspects(head, documents, limit)}
    room = room_in_bytes(head, limit) if found else 0
    starts = dict.fromkeys(found, 0)
    while starts:
        rests = {index: documents[index][start : start + NFC_GROWTH * room] for index, start in starts.items()}
        ends = {index: _end_in_bytes(rest, room, how.overlap) for index, rest in rests.items()}
        starts = _follow(documents, found, starts, ends, how.most)
    return _divided(documents, found)


def _follow(
    documents: Sequence[str], found: dict[int, list[Span]], starts: dict[int, int], ends: dict[int, Span], most: int
) -> dict[int, int]:
    """Note the chunks that begin at `starts`; where each document's next chunk begins, if there is one.

    `ends` has, counted from there, a chunk's end and the start of the next.
    """
    following = {}
    for index, start in starts.items():
        end, after = ends[index]
        done = found[index][-1][1] if found[index] else 0
        if found[index] and start + end <= done:  # the next character has no room beside the overlap
            if start < done:
                following[index] = done
            continue  # or none at all: the rest can't be read
        found[index].append((start, start + end))
        if end > 0 and start + end < len(documents[index]) and len(found[index]) < most:
            following[index] = start + min(max(after, 1), end)
    return following


def _divided(documents: Sequence[str], found: dict[int, list[Span]]) -> list[Divided]:
    return [
        Divided(found[index], whole=found[index][-1][1] == len(text)) if index in found else Divided([(0, len(text))])
        for index, text in enumerate(documents)
    ]


def _ends(head: Head, rests: dict[int, str], limit: int, overlap: int) -> Steps[dict[int, Span]]:
    """Where the first chunk of each text ends, and where the second begins."""
    bodies = {index: f"{head.joint}{rest}" for index, rest in rests.items()}
    ids, room = yield from measure(head, bodies, limit)
    longer = {index: tokens for index, tokens in ids.items() if len(tokens) > room}
    cuts = {index: Cut(rest, len(ids[index])) for index, rest in rests.items()}
    cuts |= yield from cut(head, bodies, longer, room, limit, start=_source)
    ends = {index: (len(one.text), len(one.text)) for index, one in cuts.items()}
    shared = min(overlap, room // 2)
    going = [i for i, (end, _) in ends.items() if end < len(rests[i]) or end == limit * _WINDOW] if shared else []
    if going:
        before = yield Decode([ids[index][: max(0, cuts[index].tokens - shared)] for index in going])
        for index, text in zip(going, before, strict=True):
            ends[index] = ends[index][0], len(_source(bodies[index], text).removeprefix(head.joint))
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
