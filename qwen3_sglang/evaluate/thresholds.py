"""What a `min_score` keeps and loses, and which one to take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from qwen3_sglang.evaluate.rounding import rounded, roundest
from qwen3_sglang.evaluate.statistics import CONFIDENCE, SEED, Estimate, ratio
from qwen3_sglang.evaluate.verdict import leaves_nothing

_LOW_END = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005)  # rerankers put most scores close to 0 and 1
_HIGH_END = (0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999)
GRID = sorted({*_LOW_END, *_HIGH_END, *(step / 100 for step in range(101))})
SHORT_GRID = (0, 0.001, 0.01, 0.05, *(step / 10 for step in range(1, 10)), 0.95, 0.99, 0.999, 1)
BINS = 10
_EXACT = 1e-9  # 0.95 * 20 is a little more than 19
_RESAMPLES = 200  # of the queries, for how far a threshold moves: two of its digits are wanted, not more
_F1_COST = 0.03  # what a shorter threshold may cost
Pick = Callable[[np.ndarray, np.ndarray], int | None]  # documents kept and relevant ones by level -> a level


@dataclass(frozen=True, slots=True)
class Judged:
    """One document that was scored and judged.

    Attributes:
        query: the query's position.
        p_yes: its score.
        relevant: whether its grade is at least 1.
    """

    query: int
    p_yes: float
    relevant: bool


@dataclass(frozen=True, slots=True)
class Point:
    """What one threshold does.

    Attributes:
        threshold: documents with at least this P(yes) are kept.
        precision: share of the kept that is relevant; None where nothing is kept.
        recall: share of the relevant documents that the first stage found that is kept.
        f1: harmonic mean of the two.
        kept_per_query: mean number of documents.
        empty_queries: queries left with nothing.
    """

    threshold: float
    precision: float | None
    recall: float
    f1: float
    kept_per_query: float
    empty_queries: int


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A `min_score` for a goal.

    Attributes:
        goal: what was asked for, in words.
        point: what it does on these data; None where no threshold reaches the goal.
        precision: with its interval over queries.
        recall: with its interval over queries.
        exact: the threshold before it was rounded, with the interval that other queries of the same kind would put
            it in; the rounded one lies in it.
        warning: what to know before it is used; None where there is nothing.
    """

    goal: str
    point: Point | None
    precision: Estimate
    recall: Estimate
    exact: Estimate
    warning: str | None = None

    @property
    def min_score(self) -> float | None:
        """What to pass to the reranker."""
        return None if self.point is None else self.point.threshold


@dataclass(frozen=True, slots=True)
class Bin:
    """Documents whose P(yes) is alike.

    Attributes:
        low: lower end, included.
        high: upper end, excluded but for 1.
        count: documents.
        p_yes: their mean P(yes); 0 where there are none.
        relevant: the share that is relevant; 0 where there are none.
    """

    low: float
    high: float
    count: int
    p_yes: float
    relevant: float


class Thresholds:
    """Precision and recall over all thresholds."""

    def __init__(self, documents: Sequence[Judged], queries: int) -> None:
        """`documents` of `queries` queries, at least one of them relevant."""
        self._p = np.array([d.p_yes for d in documents], float)
        self._relevant = np.array([d.relevant for d in documents], bool)
        self._query = np.array([d.query for d in documents], int)
        self._queries = queries
        # Where a threshold makes a difference, highest first, and what it then keeps.
        order = np.argsort(-self._p, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(self._p[order]) != 0, True))
        self._order, self._ends = order, ends
        self._levels = self._p[order][ends]
        self._kept = ends + 1
        self._hits = np.cumsum(self._relevant[order])[ends]

    def point(self, threshold: float) -> Point:
        """What `threshold` does."""
        keep = self._p >= threshold
        kept, hits, total = int(keep.sum()), int(self._relevant[keep].sum()), int(self._relevant.sum())
        empty = self._queries - len(np.unique(self._query[keep]))
        precision = hits / kept if kept else None
        return Point(threshold, precision, hits / total, 2 * hits / (kept + total), kept / self._queries, empty)

    def curve(self, more: Iterable[float] = ()) -> list[Point]:
        """A point for each threshold of GRID (0, 0.01, … 1 and some close to both ends), and for `more`."""
        return [self.point(threshold) for threshold in sorted({*GRID, *more})]

    def for_recall(self, target: float) -> Suggestion:
        """The highest threshold that keeps `target` of the relevant documents."""

        def pick(kept: np.ndarray, hits: np.ndarray) -> int | None:
            return int(np.argmax(hits >= target * hits[-1] - _EXACT)) if hits[-1] else None

        goal = f"recall of at least {target:g}"
        return self._suggestion(goal, pick, lambda point: point.recall >= target - _EXACT)

    def for_precision(self, target: float) -> Suggestion:
        """The threshold with the highest recall among those that reach `target`."""

        def pick(kept: np.ndarray, hits: np.ndarray) -> int | None:
            reached = np.flatnonzero((hits >= target * kept - _EXACT) & (hits > 0))
            return int(reached[np.argmax(hits[reached])]) if len(reached) else None

        goal = f"precision of at least {target:g}"
        return self._suggestion(goal, pick, lambda point: (point.precision or 0) >= target - _EXACT)

    def for_f1(self) -> Suggestion:
        """The threshold with the highest F1."""

        def pick(kept: np.ndarray, hits: np.ndarray) -> int | None:
            return int(np.argmax(2 * hits / (kept + hits[-1]))) if hits[-1] else None

        best = max(2 * self._hits / (self._kept + self._hits[-1]))
        return self._suggestion("highest F1", pick, lambda point: point.f1 >= best - _F1_COST)

    def _suggestion(self, goal: str, pick: Pick, meets: Callable[[Point], bool]) -> Suggestion:
        level = pick(self._kept, self._hits)
        if level is None:
            return Suggestion(goal, None, Estimate(None), Estimate(None), Estimate(None))
        below = float(self._levels[level + 1]) if level + 1 < len(self._levels) else -1.0
        exact, low, high = roundest(below, float(self._levels[level])), *self._spread(pick)
        threshold = rounded(exact, low, high, lambda one: meets(self.point(one)))
        point, (kept, hits, relevant) = self.point(threshold), self._per_query(threshold)
        return Suggestion(
            goal,
            point,
            ratio(hits, kept),
            ratio(hits, relevant),
            Estimate(exact, low, high),
            leaves_nothing(point.empty_queries, self._queries),
        )

    def _spread(self, pick: Pick) -> tuple[float, float]:
        """The interval of the threshold over resampled queries: it is known no better than that."""
        random, found = np.random.default_rng(SEED), []
        query, relevant = self._query[self._order], self._relevant[self._order]
        for _ in range(_RESAMPLES):
            drawn = random.multinomial(self._queries, np.full(self._queries, 1 / self._queries))[query]
            kept, hits = np.cumsum(drawn)[self._ends], np.cumsum(drawn * relevant)[self._ends]
            level = pick(np.maximum(kept, 1), hits)
            if level is not None:
                found.append(self._levels[level])
        tail = (1 - CONFIDENCE) / 2
        low, high = np.quantile(found or [0.0], [tail, 1 - tail])
        return float(low), float(high)

    def _per_query(self, threshold: float) -> tuple[list[float], list[float], list[float]]:
        keep = self._p >= threshold
        count = self._queries
        kept = np.bincount(self._query[keep], minlength=count).astype(float)
        hits = np.bincount(self._query[keep & self._relevant], minlength=count).astype(float)
        relevant = np.bincount(self._query[self._relevant], minlength=count).astype(float)
        return kept.tolist(), hits.tolist(), relevant.tolist()

    def calibration(self) -> list[Bin]:
        """Ten bins of equal width: is P(yes) = 0.8 relevant eight times in ten?"""
        place = np.minimum((self._p * BINS).astype(int), BINS - 1)
        return [self._bin(number, place == number) for number in range(BINS)]

    def _bin(self, number: int, inside: np.ndarray) -> Bin:
        low, high, count = number / BINS, (number + 1) / BINS, int(inside.sum())
        if not count:
            return Bin(low, high, 0, 0.0, 0.0)
        return Bin(low, high, count, float(self._p[inside].mean()), float(self._relevant[inside].mean()))


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error: mean |share relevant - mean P(yes)| over documents (Guo et al., 2017, eq. 3)."""
    full = [one for one in bins if one.count]
    return sum(one.count * abs(one.relevant - one.p_yes) for one in full) / sum(one.count for one in full)
