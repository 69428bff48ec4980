"""The toy's tokenizer: a word of its texts is one token, with its ending apart."""

from __future__ import annotations

from typing import Any

import pytest

from qwen3_sglang.toy.tokenizer import train

TEXTS = ["The carrots are cooked in 2024 (quickly); maxLength bounds them.", "Classes of glass: a status, an analysis."]


@pytest.fixture(scope="module")
def backend() -> Any:
    return train(TEXTS).backend_tokenizer


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (" carrots", [" carrot", "s"]),
        (" carrot", [" carrot"]),
        (" Carrot", [" Carrot"]),
        ("(carrot", ["(", "carrot"]),
        (" cooking", [" cook", "ing"]),
        (" quick", [" quick"]),
        (" maxLength", [" max", "Length"]),
        (" 2024", [" ", "2024"]),
        (" glass status analysis", [" glass", " status", " analysis"]),
        (" Which", [" Which"]),
    ],
)
def test_words(backend: Any, text: str, tokens: list[str]) -> None:
    """In each place of a sentence, in forms that the texts lack, and stop words that they lack."""
    encoded = backend.encode(text)
    assert [backend.decoder.decode([token]) for token in encoded.tokens] == tokens


def test_nothing_is_lost(backend: Any) -> None:
    text = "naïve 大き\n\n  `x_y` don't 🙂 XMLHttpRequests!"
    assert backend.decode(backend.encode(text).ids) == text
