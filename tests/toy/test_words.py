"""Words, stems and what they weigh."""

from __future__ import annotations

import pytest

from qwen3_sglang.toy.words import stem, weights, word_of


@pytest.mark.parametrize(
    ("token", "word"),
    [
        (" Light", "light"),
        ("light", "light"),
        ("(light", "light"),
        ("_exit", "exit"),
        ("大き", "大き"),
        ("7", "7"),
        ("'s", None),
        (" --", None),
        ("\n", None),
        (" ", None),
        ("", None),
        ("\ufffd", None),
    ],
)
def test_word_of(token: str, word: str | None) -> None:
    assert word_of(token) == word


@pytest.mark.parametrize(
    "forms",
    [
        ("library", "libraries"),
        ("compute", "computes", "computed", "computing"),
        ("handle", "handled", "handling"),
        ("plan", "planned"),
        ("element", "elements"),
        ("copy", "copies", "copied"),
    ],
)
def test_forms_of_one_word(forms: tuple[str, ...]) -> None:
    assert len({stem(form) for form in forms}) == 1


def test_short_words_stay() -> None:
    assert [stem(word) for word in ("gas", "is", "bed", "c", "add", "glass")] == [
        "gas",
        "is",
        "bed",
        "c",
        "add",
        "glas",
    ]


def test_rare_words_weigh_more() -> None:
    """By the documents that have a form of the word; a piece that none has weighs as much of a word as it is."""
    words = {0: "gas", 1: "gases", 2: "iron", 3: "the", 4: "xy", 5: "x", 6: "unheard"}
    found = weights(words, [[0, 3], [1, 3], [0, 2], [3]])
    assert 3 not in found
    assert found[0] < found[2] < found[6] == 1
    assert found[4] == pytest.approx(2 / 6)
    assert found[5] == pytest.approx(0.3)
