"""Which documents may be too long for the model, and where to cut them; no I/O.

Only a document's tail is ever cut, so that the template's suffix, which asks the question, stays whole. That is
what Qwen's own example does (https://huggingface.co/Qwen/Qwen3-Reranker-0.6B#transformers-usage): the first
tokens that fit are kept. Whole characters are kept here: where the last token ends inside a character, Qwen's example
keeps half of it, and here that character is dropped.

`fit` is a generator of decisions: it yields `Encode` or `Decode`, is sent the answer of a tokenizer, local or the
server's, and returns the texts. Whatever a text holds, this takes time that is linear in its length, and of a text
longer than `limit` of the longest tokens only the start is looked at: nothing more can count.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from qwen3_sglang.errors import InvalidInputError, QueryError
from qwen3_sglang.prompts.template import Head
from qwen3_sglang.prompts.texts import NFC_GROWTH, bytes_in_nfc, nfc, short_ascii

_LOST_AT_MOST = 3  # a cut inside a character of 4 bytes leaves up to 3 replacement characters
_MOST_BYTES = 4 * NFC_GROWTH  # of a character, once it is in NFC
_WINDOW = 8  # characters per token, generously: more of a long document needn't be tokenised to cut it


@dataclass(frozen=True, slots=True)
class Fitted:
    """A document that fits, and whether its tail was cut for it."""

    text: str
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Encode:
    """Asks for the token ids of each text, nothing added."""

    texts: list[str]


@dataclass(frozen=True, slots=True)
class Decode:
    """Asks for the text of each list of token ids, special tokens included."""

    ids: list[list[int]]


class Tokenizer(Protocol):
    """What `fit_with` needs of a tokenizer."""

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, nothing added."""

    def decode(self, ids: list[list[int]]) -> list[str]:
        """Text of each list of ids."""


T = TypeVar("T")
Steps = Generator[Encode | Decode, Any, T]


@dataclass(frozen=True, slots=True)
class Cut:
    """The start of a text that fits.

    Attributes:
        text: that start.
        before: the same without its last tokens, as decoded; see `cut`.
    """

    text: str
    before: str = ""


def fit(head: Head, documents: Sequence[str], limit: int) -> Steps[list[Fitted]]:
    """The documents, cut where head + document + suffix has more than `limit` tokens.

    Asks nothing while every prompt is surely short enough.

    Raises:
        QueryError: the query and the instruction leave no room for a document.
        InvalidInputError: the tokenizer isn't the model's.
    """
    unsure = suspects(head, documents, limit)
    if not unsure:
        return [Fitted(document) for document in documents]
    most = limit * head.template.longest_token
    bodies = {index: f"{head.joint}{documents[index][:most]}" for index in unsure}
    ids, room = yield from _measure(head, bodies, limit)
    longer = {index: tokens for index, tokens in ids.items() if len(tokens) > room}
    found = yield from cut(head, bodies, longer, room, limit)
    return [Fitted(found[i].text, truncated=True) if i in found else Fitted(text) for i, text in enumerate(documents)]


def surely_fit(head: Head, documents: Sequence[str], limit: int) -> bool:
    """Whether no prompt can have more than `limit` tokens, by its bytes alone: `fit` would ask nothing."""
    return not suspects(head, documents, limit)


def _measure(head: Head, bodies: dict[int, str], limit: int) -> Steps[tuple[dict[int, list[int]], int]]:
    """The bodies' token ids, and how many of them have room. Bodies begin with the head's joint.

    Raises:
        QueryError: the query and the instruction leave no room.
    """
    windows = {index: body[: limit * _WINDOW] for index, body in bodies.items()}
    room, found = yield from room_beside(head, list(windows.values()), limit)
    ids = dict(zip(bodies, found, strict=True))
    unsure = [index for index in bodies if len(ids[index]) <= room and len(windows[index]) < len(bodies[index])]
    if unsure:
        whole = yield Encode([bodies[index] for index in unsure])
        ids |= dict(zip(unsure, whole, strict=True))
    return ids, room


def room_beside(head: Head, bodies: list[str], limit: int) -> Steps[tuple[int, list[list[int]]]]:
    """How many tokens of a body have room, 1 at least; and the bodies' own, since that is the same question.

    Raises:
        QueryError: the query and the instruction leave no room.
    """
    if len(head.bare) > limit * _WINDOW:  # mostly too long by far: not worth tokenising whole
        [start] = yield Encode([head.bare[: limit * _WINDOW]])
        if len(start) > limit:
            raise no_room(head, f"more than {limit}", limit)
    start, end, *found = yield Encode([head.bare, head.template.suffix, *bodies])
    room = limit - len(start) - len(end)
    if room < 1:
        raise no_room(head, limit - room, limit)
    return room, found


def given_back(body: str, decoded: str) -> str:
    """The longest start of `body`, or of its NFC, that a tokenizer decodes to whole characters.

    Raises:
        InvalidInputError: what it gives back isn't this text.
    """
    same = _common(body, decoded)
    if len(same) < len(decoded) and not body.isascii():
        same = max(same, _common(nfc(body, len(decoded)), decoded), key=len)
    if len(decoded) - len(same) > _LOST_AT_MOST:
        remedy = "pass the folder of the served model: this tokenizer doesn't give back the text it was given"
        raise InvalidInputError("tokenizer", decoded[len(same) : len(same) + 20], remedy)
    return same


def cut(
    head: Head,
    bodies: dict[int, str],
    ids: dict[int, list[int]],
    room: int,
    limit: int,
    *,
    start: Callable[[str, str], str] = given_back,
    back: int = 0,
) -> Steps[dict[int, Cut]]:
    """The longest start of each body in `ids` that leaves its prompt within `limit`, without the head's joint.

    Args:
        head: what the prompts share.
        bodies: joint and text of each.
        ids: their tokens.
        room: tokens that fit.
        limit: tokens that a prompt may have.
        start: (body, a start of it as decoded) -> that start as it is to be sent.
        back: how many tokens of what fits `Cut.before` leaves out; 0: it isn't asked for.

    Raises:
        QueryError: the query and the instruction leave no room.
        InvalidInputError: the tokenizer isn't the model's.
    """
    found: dict[int, Cut] = {}
    rooms = {index: min(room, len(tokens)) for index, tokens in ids.items()}
    step = 1
    while rooms:
        without = [ids[index][: max(0, left - back)] for index, left in rooms.items()] if back else []
        texts = yield Decode([*(ids[index][:left] for index, left in rooms.items()), *without])
        for place, index in enumerate(rooms):
            text, before = texts[place], texts[place + len(rooms)] if back else ""
            found[index] = Cut(start(bodies[index], text).removeprefix(head.joint), before)
        # The characters at a cut can make other tokens than they did inside the text.
        again = yield Encode(head.prompts([found[index].text for index in rooms]))
        over = {index: len(tokens) - limit for index, tokens in zip(rooms, again, strict=True)}
        if any(more > 0 and rooms[index] == 0 for index, more in over.items()):
            raise no_room(head, limit + max(over.values()), limit)
        rooms = {index: max(0, rooms[index] - step * more) for index, more in over.items() if more > 0}
        step *= 2  # whatever a tokenizer counts, this comes to an end
    return found


def fit_bytes(head: Head, documents: Sequence[str], limit: int) -> list[Fitted]:
    """`fit` without a tokenizer: one token per byte, which cuts earlier than needed but never too late.

    Raises:
        QueryError: the query and the instruction leave no room for a document.
    """
    unsure = set(suspects(head, documents, limit))
    if not unsure:
        return [Fitted(document) for document in documents]
    room = room_in_bytes(head, limit)
    return [
        Fitted(first_bytes(text, room), truncated=True) if index in unsure else Fitted(text)
        for index, text in enumerate(documents)
    ]


def fit_with(tokenizer: Tokenizer, head: Head, documents: Sequence[str], limit: int) -> list[Fitted]:
    """`fit`, answered by a tokenizer at hand. Raises: as `fit`, and what the tokenizer raises."""
    return answered(tokenizer, fit(head, documents, limit))


def answered(tokenizer: Tokenizer, steps: Steps[T]) -> T:
    """What the steps return, answered by a tokenizer at hand. Raises: what they raise, and what it raises."""
    try:
        asked = next(steps)
        while True:
            found = tokenizer.encode(asked.texts) if isinstance(asked, Encode) else tokenizer.decode(asked.ids)
            asked = steps.send(found)
    except StopIteration as stop:
        result: T = stop.value
    return result


def portions(documents: Sequence[str], limit: int, most: int) -> list[slice]:
    """Consecutive documents that `fit` looks at in one go: about `most` characters of them, one document at least."""
    starts, size = [0], 0
    for index, document in enumerate(documents):
        seen = min(len(document), limit * _WINDOW)
        if size and size + seen > most:
            starts.append(index)
            size = 0
        size += seen
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], len(documents)], strict=True)]


def room_in_bytes(head: Head, limit: int) -> int:
    """Bytes that a document may have, one token each: 1 at least.

    Raises:
        QueryError: the query and the instruction leave no room.
    """
    room = _bytes_left(head, limit)
    if room < 1:
        raise no_room(head, limit - room, limit)
    return room


def _bytes_left(head: Head, limit: int) -> int:
    return limit - bytes_in_nfc(head.text, limit) - len(head.template.suffix.encode())


def suspects(head: Head, documents: Sequence[str], limit: int) -> list[int]:
    """Indices of those that could be too long: byte-level BPE makes at most one token of a byte, after NFC."""
    room = _bytes_left(head, limit)
    if short_ascii(documents, room) or max(map(len, documents), default=0) * _MOST_BYTES <= room:
        return []
    return [
        index
        for index, document in enumerate(documents)
        if not (document.isascii() and len(document) <= room) and _has_more_bytes(document, room)
    ]


def _has_more_bytes(text: str, room: int) -> bool:
    if len(text) > NFC_GROWTH * room:
        return True
    return NFC_GROWTH * len(text.encode()) > room and bytes_in_nfc(text, room) > room


def _common(one: str, other: str) -> str:
    """The longest start that both have."""
    if one.startswith(other):
        return other
    shortest = min(len(one), len(other))
    # Comparing slices is faster than a loop over characters.
    return other[: bisect_left(range(shortest), True, key=lambda last: one[: last + 1] != other[: last + 1])]


def first_bytes(text: str, room: int) -> str:
    """The start of the text's NFC that has at most `room` bytes in UTF-8, whole characters only."""
    return nfc(text[: NFC_GROWTH * room], room).encode()[:room].decode(errors="ignore")


def no_room(head: Head, tokens: int | str, limit: int) -> QueryError:
    """The error of a query beside which no document fits; the query and the instruction take `tokens`."""
    remedy = f"shorten the query or the instruction, or raise max_length: they take {tokens} of {limit} tokens"
    return QueryError(head.field, head.query, remedy)
