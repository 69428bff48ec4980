"""Tokenizers that no model has: one that doesn't give back the text it was given, and one with tokens of one length."""

from __future__ import annotations


class Forgetful:
    """A token per character, and another text for any of them."""

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text."""
        return [[0] * len(text) for text in texts]

    def decode(self, ids: list[list[int]]) -> list[str]:
        """Not the text of these."""
        return ["something else" for _ in ids]


class Even:
    """A tokenizer of dashes that makes a token of every `per` characters, and notes how many of a text it is given."""

    def __init__(self, per: int) -> None:
        self.per, self.seen = per, list[int]()

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text."""
        self.seen += [len(text) - 1 for text in texts if text.startswith(" -")]  # the head's joint is a space
        return [[0] * -(-len(text) // self.per) for text in texts]

    def decode(self, ids: list[list[int]]) -> list[str]:
        """As many characters of the last text."""
        return [(" " + "-" * self.seen[-1])[: len(row) * self.per] for row in ids]
