"""The texts a toy is built for: those given, as many as are needed, or the standard library's own documentation."""

from __future__ import annotations

import pydoc_data.topics
import re
from collections.abc import Iterable

from qwen3_sglang.errors import InvalidInputError

MOST_CHARACTERS = 2_000_000
PARAGRAPH_WORDS = 20  # shorter ones are headings and examples


def sample(texts: Iterable[str] | None) -> list[str]:
    """`texts`, or paragraphs of Python's documentation; of more than two million characters an even share.

    Raises:
        InvalidInputError: one string, no text, or something that isn't a string.
    """
    if texts is None:
        return _paragraphs()
    if isinstance(texts, str):
        raise InvalidInputError("texts", texts, "pass a list of strings")
    given = list(texts)
    for index, text in enumerate(given):
        if not isinstance(text, str):
            raise InvalidInputError(f"texts[{index}]", text, "pass a string")
    if not any(text.strip() for text in given):
        raise InvalidInputError("texts", given, "pass at least one text that isn't blank; None takes the default")
    step = -(-sum(map(len, given)) // MOST_CHARACTERS)
    return given[::step]


def _paragraphs() -> list[str]:
    whole = "\n\n".join(pydoc_data.topics.topics.values())
    return [text for text in re.split(r"\n\s*\n", whole) if len(text.split()) >= PARAGRAPH_WORDS]
