"""What a `min_score` keeps and loses, and which one to take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

import numpy as np

from qwen3_sglang.evaluate.statistics import Estimate, ratio

_LOW_END = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005)  # rerankers put most scores close to 0 and 1
_HIGH_END = (0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999)
GRID = sorted({*_LOW_END, *_HIGH_END, *(step / 100 for step in range(101))})
SHORT_GRID = (0, 0.001, 0.01, 0.05, *(step / 10 for step in range(1, 10)), 0.95, 0.99, 0.999, 1)
BINS = 10
_EXACT = 1e-9  # 0.95 * 20 is a little more than 19


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
    """

    goal: str
    point: Point | None
    precision: Estimate
    recall: Estimate

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

    def curve(self) -> list[Point]:
        """A point for each threshold of GRID: 0, 0.01, … 1 and some close to both ends."""
        return [self.point(threshold) for threshold in GRID]

    def for_recall(self, target: float) -> Suggestion:
        """The highest threshold that keeps `target` of the relevant documents."""
        reached = np.flatnonzero(self._hits >= target * self._hits[-1] - _EXACT)
        return self._suggestion(f"recall of at least {target:g}", int(reached[0]))

    def for_precision(self, target: float) -> Suggestion:
        """The threshold with the highest recall among those that reach `target`."""
        goal = f"precision of at least {target:g}"
        reached = np.flatnonzero((self._hits >= target * self._kept - _EXACT) & (self._hits > 0))
        if not len(reached):
            return Suggestion(goal, None, Estimate(None), Estimate(None))
        best = reached[self._hits[reached] == self._hits[reached].max()][0]
        return self._suggestion(goal, int(best))

    def for_f1(self) -> Suggestion:
        """The threshold with the highest F1."""
        return self._suggestion("highest F1", int(np.argmax(2 * self._hits / (self._kept + self._hits[-1]))))

    def _suggestion(self, goal: str, level: int) -> Suggestion:
        below = float(self._levels[level + 1]) if level + 1 < len(self._levels) else -1.0
        threshold = roundest(below, float(self._levels[level]))
        kept, hits, relevant = self._per_query(threshold)
        return Suggestion(goal, self.point(threshold), ratio(hits, kept), ratio(hits, relevant))

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


def roundest(below: float, highest: float) -> float:
    """The number with the fewest decimals in (below, highest]: all of them keep the same documents."""
    exact = Decimal(highest)
    for digits in range(1, 18):
        shorter = float(exact.quantize(Decimal(1).scaleb(-digits), ROUND_DOWN))
        if below < shorter <= highest:
            return shorter
    return highest
