"""Thresholds in as few decimals as the data can tell apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import ROUND_DOWN, ROUND_UP, Decimal

_DIGITS = 17  # of a float


def roundest(below: float, highest: float) -> float:
    """The number with the fewest decimals in (below, highest]: all of them keep the same documents."""
    for shorter in _shorter(highest):
        if below < shorter <= highest:
            return shorter
    return highest


def rounded(exact: float, low: float, high: float, meets: Callable[[float], bool]) -> float:
    """`exact` with as few decimals as keep it in [low, high] and meet the goal: the data tell no more than that.

    Never 0: dropping nothing is different advice from dropping little.
    """
    for shorter in _shorter(exact):
        if shorter > 0 and low <= shorter <= high and meets(shorter):
            return shorter
    return exact


def _shorter(number: float) -> Iterator[float]:
    exact = Decimal(number)
    for digits in range(1, _DIGITS + 1):
        for rounding in (ROUND_DOWN, ROUND_UP):
            yield float(exact.quantize(Decimal(1).scaleb(-digits), rounding))
