"""Texts -> token ids, where a text that can't fit is refused before it costs time and memory.

A tokenizer takes 100 to 250 bytes of memory per character, and a second per million.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qwen3_sglang.local.checks import too_long

Encode = Callable[[str], list[int]]

PIECE = 2**16  # characters that are tokenised at once where a text is only measured
_CUT_COST = 16  # tokens, generously: so many more two pieces may have than the whole
_NFC_SHRINKS = 4  # Qwen's tokenizer normalises to NFC, which makes one character of up to 4


@dataclass(frozen=True, slots=True)
class Encoder:
    """Token ids of prompts.

    Attributes:
        encode: the tokenizer's.
        max_length: a prompt has fewer tokens.
        longest: characters of the tokenizer's longest token.
    """

    encode: Encode
    max_length: int
    longest: int

    def __call__(self, text: str) -> list[int]:
        """The ids of a prompt.

        Raises:
            RejectedError: it surely has `max_length` tokens or more.
        """
        if len(text) > self.max_length:
            least = self._least(text)
            if least >= self.max_length:
                raise too_long(f"at least {least}", self.max_length)
        return self.encode(text)

    def enough(self, text: str) -> str:
        """The start of `text` that has `max_length` tokens or more, or all of it."""
        return text[: self._most_characters(text)]

    def _most_characters(self, text: str) -> int:
        return self.longest * self.max_length * (1 if text.isascii() else _NFC_SHRINKS)

    def _least(self, text: str) -> int:
        """A lower bound of the text's tokens; counting stops once they are too many."""
        if len(text) > self._most_characters(text):
            return self.max_length
        found = 0
        for start in range(0, len(text), PIECE):
            found += len(self.encode(text[start : start + PIECE])) - _CUT_COST
            if found >= self.max_length:
                break
        return found
