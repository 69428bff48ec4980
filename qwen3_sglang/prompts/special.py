"""Special tokens: broken inside texts, and told from the rest where a prompt is shown."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.prompts.texts import SLICE


class Part(NamedTuple):
    """A piece of a prompt.

    Attributes:
        kind: "template", or "special" where it is one of the template's special tokens; "instruction", "query" or
            "document", or "broken" where a special token inside that text is sent as plain characters.
        text: as it is sent.
    """

    kind: str
    text: str


class Parts(NamedTuple):
    """A prompt in pieces: their texts, joined in this order, are what is sent.

    Attributes:
        before: the prompt up to the document.
        document: the document, cut where it is too long.
        after: the rest of the prompt.
    """

    before: tuple[Part, ...]
    document: tuple[Part, ...]
    after: tuple[Part, ...]


@dataclass(frozen=True)
class SpecialTokens:
    """Strings that a tokenizer reads as one token each.

    Raises:
        InvalidInputError: one of them can't be broken by a space.
    """

    tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        for token in self.tokens:
            if len(token) < 2 or " " in token:  # noqa: PLR2004 - there is no place for a space inside one character
                raise InvalidInputError("template.special_tokens", token, "pass two characters or more, and no space")

    def may_be_in(self, text: str) -> bool:
        """False where there surely is none."""
        return any(first in text for first in self._begins)

    def broken_in(self, texts: list[str]) -> list[str]:
        """The texts with a space inside each special token."""
        for first, begin in self._begins.items():
            texts = [_spaced(begin, text, self._longest) if first in text else text for text in texts]
        return texts

    def unbroken(self, text: str, offsets: Sequence[int]) -> list[int]:
        """Offsets into what `broken_in` makes of `text`, as offsets into `text` itself."""
        text, found = text[: max(offsets, default=0) + self._longest], list(offsets)
        spaces = []
        for first, begin in self._begins.items():
            ends = [match.end() for match in begin.finditer(text)] if first in text else []
            spaces.append([end + place for place, end in enumerate(ends)])
            text = _spaced(begin, text, self._longest) if ends else text
        for places in reversed(spaces):  # the last that were put in first
            found = [offset - bisect_left(places, offset) for offset in found]
        return found

    def parts(self, kind: str, text: str) -> tuple[Part, ...]:
        """A piece of a prompt as it is sent, in parts: its special tokens, or those that were broken in it."""
        tokens, mark = (self._whole, "special") if kind == "template" else (self._broken, "broken")
        parts: list[Part] = []
        done = 0
        for found in tokens.finditer(text):  # not split, which holds the interpreter until all are found
            parts += Part(kind, text[done : found.start()]), Part(mark, found[0])
            done = found.end()
        return tuple(part for part in (*parts, Part(kind, text[done:])) if part.text)

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self.tokens))

    @cached_property
    def _begins(self) -> dict[str, re.Pattern[str]]:
        """First character of special tokens -> that character wherever one of them begins."""
        # Inside another token too. One pass is enough: a token made by it would hold a space, and none does.
        rests: dict[str, list[str]] = {}
        for token in self.tokens:
            rests.setdefault(token[0], []).append(re.escape(token[1:]))
        return {first: re.compile(f"{re.escape(first)}(?={'|'.join(ends)})") for first, ends in rests.items()}

    @cached_property
    def _whole(self) -> re.Pattern[str]:
        return _any_of(self.tokens)

    @cached_property
    def _broken(self) -> re.Pattern[str]:
        return _any_of(self.broken_in(list(self.tokens)))


def _spaced(begin: re.Pattern[str], text: str, reach: int) -> str:
    """`text` with a space after each match of `begin`, which looks at `reach` characters."""
    if len(text) <= SLICE:
        return begin.sub(r"\g<0> ", text)
    parts: list[str] = []
    done = 0
    for start in range(0, len(text), SLICE):  # one call for all would hold the interpreter for too long
        end = start + SLICE
        for found in begin.finditer(text, start, end + reach):
            if found.start() < end:
                parts.append(text[done : found.end()])
                done = found.end()
    return " ".join([*parts, text[done:]])


def _any_of(tokens: Sequence[str]) -> re.Pattern[str]:
    longest_first = sorted(tokens, key=len, reverse=True)
    return re.compile("(" + "|".join(map(re.escape, longest_first)) + ")" if tokens else r"(\Z.)")  # matches nothing
