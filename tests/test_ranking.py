"""Order, ties and limits."""

from __future__ import annotations

import math
from typing import Any

import pytest

from qwen3_sglang.errors import DocumentError, InvalidInputError
from qwen3_sglang.ranking import (
    Chunk,
    Outcome,
    Score,
    Scores,
    best_chunk,
    check_limits,
    chunk_within,
    joined,
    p_yes,
    rank,
    rank_own,
    score_of,
)

SCORES = [score_of(1 - p, p) for p in (0.2, 0.9, 0.5, 0.9)]


def test_best_first_and_ties_keep_their_order() -> None:
    """0.9 comes twice; the earlier one stays in front."""
    assert [r.index for r in rank(SCORES)] == [1, 3, 2, 0]


def test_saturated_scores_are_ordered_by_logit() -> None:
    """P(yes) is 1.0 for both; P(no) still tells them apart."""
    results = rank([score_of(1e-9, 1.0), score_of(1e-12, 1.0)])
    assert [r.index for r in results] == [1, 0]
    assert [r.score for r in results] == [1.0, 1.0]


def test_exact_zero_gives_an_infinite_logit() -> None:
    """No division by zero; the order still holds."""
    assert [score_of(0, 1).logit, score_of(1, 0).logit] == [math.inf, -math.inf]


@pytest.mark.parametrize(
    ("top_n", "min_score", "kept"),
    [(None, None, [1, 3, 2, 0]), (2, None, [1, 3]), (9, None, [1, 3, 2, 0]), (None, 0.5, [1, 3, 2]), (1, 0.95, [])],
)
def test_limits(top_n: int | None, min_score: float | None, kept: list[int]) -> None:
    """The threshold is inclusive and comes before the cut."""
    assert [r.index for r in rank(SCORES, top_n, min_score)] == kept


@pytest.mark.parametrize(
    ("top_n", "min_score", "field"),
    [
        (0, None, "top_n"),
        (-1, None, "top_n"),
        (True, None, "top_n"),
        (1.5, None, "top_n"),
        (None, 1.01, "min_score"),
        (None, -0.1, "min_score"),
        (None, math.nan, "min_score"),
        (None, "0.5", "min_score"),
    ],
)
def test_limits_that_cannot_be_met_are_refused(top_n: object, min_score: object, field: str) -> None:
    """0 is not turned into the default, NaN is not compared."""
    with pytest.raises(InvalidInputError) as caught:
        check_limits(top_n, min_score)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("top_n", "min_score", "kept"),
    [(None, None, [3, 1, 0, 2]), (None, 0.95, [0, 2]), (3, None, [3, 1, 0]), (1, 0.95, [0])],
)
def test_what_has_no_score_comes_last(top_n: int | None, min_score: float | None, kept: list[int]) -> None:
    """In the order given, marked; min_score says nothing about it, top_n does."""
    refused = DocumentError("u", "too long", [0])
    results = rank([refused, score_of(0.5, 0.5), refused, score_of(0.1, 0.9)], top_n, min_score)
    assert [result.index for result in results] == kept
    for result in results:
        assert (
            (result.error is not None)
            is math.isnan(result.score)
            is math.isnan(result.logit)
            is (result.index in {0, 2})
        )


def test_the_best_of_several_chunks() -> None:
    """By logit, which tells apart what P(yes) doesn't; the first of equals; a failure is the document's."""
    spans = [(0, 5), (4, 9), (8, 10)]
    scores = [Score(1.0, 20.0), Score(1.0, 30.0), Score(1.0, 30.0)]
    assert best_chunk(spans, scores, whole=True) == Score(1.0, 30.0, False, Chunk(4, 9, 3))
    assert best_chunk(spans[:1], scores[:1], whole=True) == scores[0]
    assert best_chunk(spans[:1], scores[:1], whole=False) == Score(1.0, 20.0, True, Chunk(0, 5, 1))
    failure = DocumentError("u", "no", [0])
    assert best_chunk(spans, [scores[0], failure, scores[1]], whole=True) is failure
    lowest = [Score(0.0, -math.inf)] * 3
    assert best_chunk(spans, lowest, whole=True) == Score(0.0, -math.inf, False, Chunk(0, 5, 3))


@pytest.mark.parametrize(
    ("read", "own", "place"),
    [
        ("own text", "own text", (2, 6)),
        ("title\n\nown text", "own text", (0, 0)),
        ("t\nown text", " own text\n", (1, 5)),
        ("nothing of it", "own text", (2, 6)),
        ("abcdef; abc", "abc", (2, 3)),
        ("abc; abcdef", "abcdef", (0, 1)),
        ("abcdefghij", "ij", (0, 0)),
        ("xyzaaaa", "aaa", (0, 3)),
    ],
)
def test_a_chunk_of_what_was_read(read: str, own: str, place: tuple[int, int]) -> None:
    """As a place in the text that the caller knows; one in front of that is its start."""
    assert chunk_within(Chunk(2, 6, 3), read, own) == Chunk(*place, 3)


def test_a_result_names_its_chunk() -> None:
    """As its score does."""
    [found] = rank([Score(0.5, 0.0, True, Chunk(0, 5, 3))])
    assert (found.truncated, found.error, found.chunk) == (True, None, Chunk(0, 5, 3))


@pytest.mark.parametrize("options", [{}, {"top_n": 7}, {"min_score": 0.5}, {"top_n": 12_000, "min_score": 0.5}])
def test_a_list_that_nobody_needs_any_more(options: dict[str, Any]) -> None:
    """The same ranking of many; of the list nothing is left in memory beside it."""
    refused = DocumentError("u", "too long", [0])
    outcomes: list[Outcome] = [score_of(1 - place / 20_001, place / 20_001) for place in range(1, 20_000)]
    outcomes[5_000] = refused
    expected = rank(outcomes, **options)
    found = rank_own(outcomes, **options)
    assert repr(found) == repr(expected)  # NaN isn't equal to itself
    assert outcomes == []
    few: list[Outcome] = [score_of(0.5, 0.5)]
    assert rank_own(few) == rank(few)


@pytest.mark.parametrize(("count", "left"), [(9_999, 9_999), (10_000, 0)])
def test_from_how_many_on_scores_are_let_go(count: int, left: int) -> None:
    """Fewer stay in the list, which is quicker."""
    outcomes: list[Outcome] = [score_of(0.5, 0.5)] * count
    assert len(rank_own(outcomes)) == count
    assert len(outcomes) == left


PAIRS = [[0.5, 0.5], [0.1, 0.9], [0.0, 1.0], [1e-12, 1.0], [0.9, 0.1], [1.0, 0.0], [0.1, 0.9]]
LIMITS: list[dict[str, Any]] = [{}, {"top_n": 3}, {"min_score": 0.5}, {"top_n": 1, "min_score": 0.9}, {"min_score": 1}]


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("pairs", [PAIRS, PAIRS[:2], PAIRS[1:2] * 3, [], PAIRS * 2_000])
def test_scores_as_they_came_are_ranked_as_a_list_of_scores(pairs: list[list[float]], limits: dict[str, Any]) -> None:
    """Order, ties, limits and infinite logits; what nobody needs any more is let go from 10,000 on."""
    expected = rank(list(Scores(pairs)), **limits)
    assert rank(Scores(pairs), **limits) == expected
    own = Scores([*pairs])
    assert rank_own(own, **limits) == expected
    assert len(own) == (0 if len(pairs) >= 10_000 else len(pairs))


def test_scores_as_they_came_are_a_sequence() -> None:
    """Of a Score each, whichever way they are looked at."""
    scores, each = Scores(PAIRS), [score_of(*pair) for pair in PAIRS]
    assert (len(scores), list(scores), [scores[place] for place in range(7)], scores[-1]) == (7, each, each, each[-1])
    assert list(scores[2:4]) == each[2:4]
    assert isinstance(scores[2:4], Scores)
    assert p_yes(scores) == p_yes(each) == [one.p_yes for one in each]
    with pytest.raises(IndexError):
        scores[7]


def test_outcomes_of_several_lists() -> None:
    """They stay as they came while all of them are scores of whole documents."""
    whole, refused = [Scores(PAIRS[:3]), Scores(PAIRS[3:])], DocumentError("u", "too long", [0])
    assert joined(whole[:1]) is whole[0]
    assert isinstance(joined(whole), Scores)
    assert list(joined(whole)) == list(Scores(PAIRS))
    assert joined([whole[0], [refused], whole[1]]) == [*whole[0], refused, *whole[1]]
    assert list(joined([])) == []


def test_limits_at_their_edges() -> None:
    """The least and the most that can be met."""
    for top_n, min_score in ((1, 0), (None, 1), (10**9, 0.0), (2, 1.0)):
        check_limits(top_n, min_score)
    for top_n, min_score in ((None, True), (False, None), ("1", None), (None, -1e-9), (None, 1 + 1e-9)):
        with pytest.raises(InvalidInputError):
            check_limits(top_n, min_score)
