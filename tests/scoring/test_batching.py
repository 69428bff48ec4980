"""Every document gets its score, each distinct one is sent once, a known one never."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3_sglang.ranking import Score
from qwen3_sglang.scoring.batching import split, unknown

TEXTS = st.text(max_size=3)
ONE = Score(0.5, 0.0)


def score(text: str) -> Score:
    """A score that tells whose it is."""
    return Score(0.5, float(sum(map(ord, text)) + 10_000_000 * len(text)))


@given(st.lists(TEXTS), st.integers(1, 5), st.sets(TEXTS))
def test_scores_come_back_in_order(documents: list[str], size: int, known: set[str]) -> None:
    """Whatever the sizes, the duplicates and what is known."""
    batches = split(documents, size, {text: score(text) for text in known})
    assert batches.restore([[score(d) for d in part] for part in batches.lists]) == [score(d) for d in documents]
    assert all(1 <= len(part) <= size for part in batches.lists)
    assert sorted(d for part in batches.lists for d in part) == sorted(set(documents) - known)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", ""]), st.sampled_from([0, 1, 30, 31, 32, 33, 100])), max_size=6))
def test_each_text_is_sent_once_however_much_of_it_is_another_ones(parts: list[tuple[str, int]]) -> None:
    """Those of equal ends differ further in front, or not at all."""
    documents = [start + "x" * length for start, length in parts]
    assert split(documents, 9).lists == ([[*dict.fromkeys(documents)]] if documents else [])
    assert unknown(documents, {"ax": ONE}) == [one for one in dict.fromkeys(documents) if one != "ax"]


@pytest.mark.parametrize("answers", [[], [[ONE]], [[ONE, ONE, ONE]], [[ONE, ONE], []]])
def test_no_score_is_given_away_where_their_number_is_wrong(answers: list[list[Score]]) -> None:
    """A score too few or too many could be another document's."""
    with pytest.raises(ValueError, match="argument"):
        split(["a", "b", "a"], 5).restore(answers)


def test_where_a_refused_document_stands() -> None:
    """Everywhere it was given, though it is sent once."""
    batches = split(["a", "b", "a", "c"], 2, {"c": ONE})
    assert batches.lists == [["a", "b"]]
    assert (batches.where(["a", "b"], 0), batches.where(["a", "b"], 1)) == ([0, 2], [1])


class Hashed(str):
    """Notes how often it is looked up."""

    __slots__ = ()
    times = 0

    def __hash__(self) -> int:
        Hashed.times += 1
        return super().__hash__()


def test_documents_that_all_differ_are_not_looked_up() -> None:
    """The usual case: the answers follow each other as the documents do."""
    documents: list[str] = [Hashed(f"d{number}") for number in range(9)]
    batches = split(documents, 4)
    before = Hashed.times
    found = batches.restore([[score(text[:]) for text in part] for part in batches.lists])
    assert Hashed.times == before
    assert list(found) == [score(f"d{number}") for number in range(9)]
