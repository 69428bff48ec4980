"""What an unknown name means."""

from __future__ import annotations

import pytest

from qwen3_sglang.options import foreign
from qwen3_sglang.options.foreign import slips, unknown_options

KNOWN = ["top_n", "min_score", "model"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("top_k", "it is called top_n here"),
        ("topK", "it is called top_n here"),
        ("topn", "it is called top_n here"),
        ("TOP-N", "it is called top_n here"),
        ("threshold", "it is called min_score here"),
        ("minscore", "it is called min_score here"),
        ("models", "it is called model here"),
        ("colour", "(there are min_score, model, top_n)"),
        ("fetch", "pass fetch_k to the retriever"),
        ("fetch_k", "pass fetch_k to the retriever"),
    ],
)
def test_an_unknown_name(name: str, said: str) -> None:
    """Another library's word, a slip of the pen, an option of something else, or nothing known."""
    assert unknown_options([name], KNOWN, {"fetch_k": "the retriever"}) in {
        f"unknown option {name}: {said}",
        f"unknown option {name} {said}",
    }


def test_known_names() -> None:
    """Nothing is wrong with them."""
    assert unknown_options(KNOWN, KNOWN) is None


def test_a_word_means_what_is_there() -> None:
    """The same word stands for another option where the first isn't known."""
    assert unknown_options(["documents"], ["nodes"]) == "unknown option documents: it is called nodes here"
    assert unknown_options(["texts"], ["documents"]) == "unknown option texts: it is called documents here"


@pytest.mark.parametrize("known", [["name", "model"], ["model", "name"]])
def test_of_two_the_first_in_the_table(known: list[str]) -> None:
    """In whatever order the options come."""
    assert unknown_options(["served_model_name"], known) == "unknown option served_model_name: it is called model here"


def test_no_option_is_another_ones_foreign_word() -> None:
    """Within one of our own signatures a known name is never taken for another word."""
    assert all(ours.replace("_", "") not in words for ours, words in foreign._MEANT.items())


def test_slips() -> None:
    """Almost ours; not another library's word, nor ours itself."""
    given = ["topn", "top_n", "min_scores", "models", "top_k", "threshold", "k", "filter"]
    assert slips(given, KNOWN) == ["topn", "min_scores", "models"]
