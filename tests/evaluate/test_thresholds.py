"""Precision, recall and suggestions, against brute force.

Tests of `evaluate/rounding.py`, `evaluate/statistics.py`.
"""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen3_sglang.evaluate.rounding import rounded, roundest
from qwen3_sglang.evaluate.statistics import Estimate, mean, ratio
from qwen3_sglang.evaluate.thresholds import (
    GRID,
    SHORT_GRID,
    Judged,
    Point,
    Suggestion,
    Thresholds,
    calibration_error,
)

FOUR = [Judged(0, 0.9, True), Judged(0, 0.8, False), Judged(1, 0.8, True), Judged(1, 0.1, False)]
SCORES = st.sampled_from([0.0, 1e-8, 0.1, 0.3, 0.30000001, 0.5, 0.99, 0.9999999, 1.0])
JUDGED = st.lists(st.builds(Judged, st.integers(0, 4), SCORES, st.booleans()), min_size=1).filter(
    lambda documents: any(document.relevant for document in documents)
)


def test_one_point() -> None:
    """By hand: above 0.85 one document is left, a relevant one."""
    point = Thresholds(FOUR, 3).point(0.85)
    assert (point.precision, point.recall, point.kept_per_query, point.empty_queries) == (1, 0.5, 1 / 3, 2)
    assert point.f1 == pytest.approx(2 / 3)
    nothing = Thresholds(FOUR, 3).point(0.95)
    assert (nothing.precision, nothing.recall, nothing.f1, nothing.empty_queries) == (None, 0, 0, 3)


def test_the_curve_goes_from_all_to_nothing() -> None:
    """0 keeps all; recall never rises."""
    curve = Thresholds(FOUR, 2).curve()
    assert (curve[0].threshold, curve[0].recall, curve[0].kept_per_query) == (0, 1, 2)
    assert curve[-1].threshold == 1
    assert all(one.recall >= other.recall for one, other in itertools.pairwise(curve))


def test_suggestions_by_hand() -> None:
    """The roundest number that keeps the same documents."""
    thresholds = Thresholds(FOUR, 2)
    assert thresholds.for_recall(0.95).min_score == 0.8
    assert thresholds.for_recall(0.5).min_score == 0.9
    assert thresholds.for_precision(0.9).min_score == 0.9
    assert thresholds.for_precision(0.6).min_score == 0.8
    assert thresholds.for_f1().min_score == 0.8
    never = Thresholds([Judged(0, 0.9, False), Judged(0, 0.8, True)], 1).for_precision(0.9)
    assert (never.min_score, never.point) == (None, None)


@settings(max_examples=60, deadline=None)  # each one draws its intervals
@given(documents=JUDGED, target=st.sampled_from([0.1, 0.5, 0.8, 0.95, 1.0]))
def test_suggestions_are_the_best_there_are(documents: list[Judged], target: float) -> None:
    """Before rounding, no score of the data does better as a threshold; rounded, each keeps its promise."""
    thresholds = Thresholds(documents, 5)
    tried = [thresholds.point(document.p_yes) for document in documents]
    recall = thresholds.for_recall(target)
    enough = [point for point in tried if point.recall >= target - 1e-9]
    assert before(thresholds, recall).kept_per_query == min(point.kept_per_query for point in enough)
    assert after(recall).recall >= target - 1e-9
    precise = [point for point in tried if point.recall and (point.precision or 0) >= target - 1e-9]
    precision = thresholds.for_precision(target)
    assert (precision.point is None) == (not precise)
    if precise:
        assert before(thresholds, precision).recall == max(point.recall for point in precise)
        assert (after(precision).precision or 0) >= target - 1e-9
    f1 = thresholds.for_f1()
    assert before(thresholds, f1).f1 == pytest.approx(max(point.f1 for point in tried))
    assert after(f1).f1 >= max(point.f1 for point in tried) - 0.03 - 1e-9
    for one in (recall, f1):
        assert 0 <= after(one).threshold <= 1
        assert len(repr(after(one).threshold)) <= max(len(repr(one.exact.value)), 3)


def before(thresholds: Thresholds, suggestion: Suggestion) -> Point:
    """What the threshold does before it is rounded."""
    assert suggestion.exact.value is not None
    return thresholds.point(suggestion.exact.value)


def after(suggestion: Suggestion) -> Point:
    assert suggestion.point is not None
    return suggestion.point


def many(queries: int) -> list[Judged]:
    """Four documents per query, of which one is relevant; scores with many decimals that overlap."""
    rng = random.Random(5)  # noqa: S311 - no secret
    return [
        Judged(query, 1 / (1 + math.exp(-rng.gauss(2 if place == 0 else -2, 1.5))), place == 0)
        for query in range(queries)
        for place in range(4)
    ]


def test_few_queries_give_few_decimals() -> None:
    """What other queries of the same kind would move isn't printed; more queries tell more."""
    digits = []
    for queries in (20, 20_000):
        suggestion = Thresholds(many(queries), queries).for_recall(0.95)
        exact = suggestion.exact
        assert suggestion.min_score is not None
        assert exact.low is not None
        assert exact.high is not None
        assert exact.low <= suggestion.min_score <= exact.high
        digits.append(len(str(suggestion.min_score)))
    assert digits[0] == len("0.5")
    assert digits[1] > digits[0]


def test_a_threshold_that_leaves_queries_with_nothing_says_so() -> None:
    """More than a tenth of them; a tenth is not more."""
    twenty = [Judged(query, 0.9 if query > 2 else 0.2, relevant=True) for query in range(20)]
    assert Thresholds(twenty, 20).for_recall(0.5).warning == "leaves 3 of 20 queries with nothing"
    assert Thresholds(twenty, 20).for_recall(1).warning is None
    assert Thresholds(twenty[1:], 20).for_recall(0.5).warning == "leaves 3 of 20 queries with nothing"
    assert Thresholds([one for one in twenty if one.query > 0] + [Judged(0, 0.9, relevant=True)], 20).for_recall(
        0.5
    ).warning is None  # fmt: skip


def test_rounded() -> None:
    """As short as the interval and the goal allow; never to nothing."""
    assert rounded(0.8213, 0.7, 0.95, lambda one: one <= 0.8213) == 0.8
    assert rounded(0.8213, 0.7, 0.95, lambda one: one >= 0.8213) == 0.9
    assert rounded(0.8213, 0.815, 0.83, lambda one: True) == 0.82
    assert rounded(0.0321, 0.0, 0.04, lambda one: True) == 0.03
    assert rounded(0.8213, 0.8213, 0.8213, lambda one: False) == 0.8213


def test_a_curve_has_the_suggested_thresholds() -> None:
    """So that a slider can start there."""
    assert 0.12345 in [point.threshold for point in Thresholds(FOUR, 2).curve([0.12345])]


@pytest.mark.parametrize(
    ("below", "highest", "found"),
    [(0.41, 0.8213, 0.8), (0.81, 0.8213, 0.82), (-1, 0.05, 0.0), (0.9999998, 0.99999991, 0.9999999), (0.3, 1.0, 1.0)],
)
def test_roundest(below: float, highest: float, found: float) -> None:
    """As few decimals as keep it between the two."""
    assert roundest(below, highest) == found


def test_calibration() -> None:
    """Ten bins; 1.0 belongs to the last; the error is weighted by documents."""
    bins = Thresholds([Judged(0, 1.0, True), Judged(0, 0.95, False), Judged(0, 0.2, False)], 1).calibration()
    assert [one.count for one in bins] == [0, 0, 1, 0, 0, 0, 0, 0, 0, 2]
    assert (bins[9].p_yes, bins[9].relevant) == (0.975, 0.5)
    assert (bins[2].p_yes, bins[2].relevant) == (0.2, 0)
    assert [(one.low, one.high) for one in bins] == [(n / 10, (n + 1) / 10) for n in range(10)]
    assert {(one.p_yes, one.relevant) for one in bins if not one.count} == {(0, 0)}
    assert calibration_error(bins) == pytest.approx((2 * 0.475 + 0.2) / 3)


def test_intervals() -> None:
    """Seeded, around the value, as wide as the usual formula says; none for a single query."""
    values = [0.0, 1.0] * 50
    estimate = mean(values)
    assert estimate == mean(values)
    assert estimate.value == 0.5
    assert estimate.low is not None
    assert estimate.high is not None
    half = 1.96 * 0.5 / math.sqrt(100)
    assert (estimate.low, estimate.high) == (pytest.approx(0.5 - half, abs=0.02), pytest.approx(0.5 + half, abs=0.02))
    assert (mean([0.3]).value, mean([0.3]).low) == (0.3, None)
    assert ratio([0, 0], [0, 0]).value is None
    assert ratio([0, 3], [0, 4]).value == 0.75


def test_the_thresholds_of_a_curve() -> None:
    """Hundredths, and closer ones where rerankers put most scores; a table has some of them, and both ends."""
    ends = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999]
    assert sorted({*(n / 100 for n in range(101)), *ends}) == GRID
    assert list(SHORT_GRID) == [0, 0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1]
    assert set(SHORT_GRID) <= set(GRID)


@pytest.mark.parametrize("target", [0.5, 0.95])
def test_how_far_a_threshold_moves(target: float) -> None:
    """Over 200 draws of as many queries, with a fixed seed, the middle 95 %; each threshold found by brute force."""
    queries = 12
    documents = many(queries)
    draws = np.random.default_rng(20)
    found = []
    for _ in range(200):
        times = draws.multinomial(queries, [1 / queries] * queries)
        relevant = [one.p_yes for one in documents for _ in range(times[one.query]) if one.relevant]
        enough = [p for p in relevant if sum(q >= p for q in relevant) >= target * len(relevant) - 1e-9]
        found.append(max(enough))
    exact = Thresholds(documents, queries).for_recall(target).exact
    low, high = np.quantile(found, [0.025, 0.975])
    assert (exact.low, exact.high) == (pytest.approx(low), pytest.approx(high))


def test_the_figures_of_a_suggestion() -> None:
    """Precision and recall of its threshold, per query, with the interval over queries."""
    suggestion = Thresholds(FOUR, 2).for_recall(0.95)
    assert suggestion.goal == "recall of at least 0.95"
    assert suggestion.precision == ratio([1, 1], [2, 1])
    assert suggestion.recall == ratio([1, 1], [1, 1])
    assert suggestion.exact.value == 0.8
    assert Thresholds(FOUR, 2).for_precision(0.9).goal == "precision of at least 0.9"
    point = Thresholds(FOUR, 2).point(0.8)
    assert (point.precision, point.recall, point.kept_per_query, point.empty_queries) == (2 / 3, 1, 1.5, 0)
    assert point.f1 == pytest.approx(0.8)


def test_an_interval_is_the_percentiles() -> None:
    """Of 2,000 draws of whole queries: a share of a share is drawn together, never apart."""
    above, below = [1.0, 0.0, 2.0, 3.0, 0.0], [1.0, 1.0, 4.0, 3.0, 2.0]
    estimate = ratio(above, below)
    assert estimate.value == pytest.approx(6 / 11)
    assert estimate.low is not None
    assert estimate.high is not None
    assert 0.1 < estimate.low < 0.35
    assert 0.75 < estimate.high <= 1
    assert ratio(below, below) == Estimate(1, 1, 1)
    assert ratio([1.0], [2.0]) == Estimate(0.5)
    assert ratio([], []) == Estimate(None)
    two = ratio([1.0, 3.0], [2.0, 4.0])
    assert (two.value, two.low, two.high) == (pytest.approx(4 / 6), 0.5, 0.75)
