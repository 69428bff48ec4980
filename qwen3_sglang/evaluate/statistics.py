"""Means and ratios over queries, with bootstrap intervals."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap

SEED = 20
RESAMPLES = 2000
CONFIDENCE = 0.95
_NUMBERS_AT_ONCE = 2_000_000  # bounds the memory, whatever the number of queries


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its confidence interval.

    Attributes:
        value: of the data as they are; None where it isn't defined (a precision of nothing).
        low: lower end of the 95 % interval; None where fewer than two queries count.
        high: its upper end.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


def mean(values: Sequence[float]) -> Estimate:
    """The mean over queries; for a paired difference, pass each query's difference."""
    return ratio(values, [1.0] * len(values))


def ratio(above: Sequence[float], below: Sequence[float]) -> Estimate:
    """sum(above) / sum(below) over queries, resampled by whole queries: pairs of one query aren't independent.

    The interval is the percentile bootstrap's (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
    chapter 13), with a fixed seed.
    """
    value = _ratio(np.asarray(above, float), np.asarray(below, float))
    if len(above) < 2 or np.isnan(value):  # noqa: PLR2004 - one query says nothing of others
        return Estimate(None if np.isnan(value) else float(value))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a resample in which nothing was kept has no precision
        drawn = bootstrap(
            (np.asarray(above, float), np.asarray(below, float)),
            _ratio,
            n_resamples=RESAMPLES,
            batch=max(1, _NUMBERS_AT_ONCE // len(above)),
            paired=True,
            vectorized=True,
            method="percentile",
            rng=np.random.default_rng(SEED),
        ).bootstrap_distribution
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    return Estimate(float(value), float(low), float(high))


def _ratio(above: np.ndarray, below: np.ndarray, axis: int = -1) -> np.ndarray:
    total = below.sum(axis=axis)
    return np.where(total > 0, above.sum(axis=axis) / np.where(total > 0, total, 1), np.nan)
