"""What became of a call's documents, told to the log."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from qwen3_sglang.ranking import Failure, Outcome, Score, Scores
from qwen3_sglang.scoring.asked import Asked
from qwen3_sglang.scoring.queries import told_by_query

_log = logging.getLogger(__name__)


def failed(asked: Asked, failure: Failure) -> list[Outcome]:
    """The failure as every document's outcome, where failures are collected."""
    if asked.by_query:
        failure = told_by_query(failure, asked.counts)
    if not asked.collect:
        raise failure from None
    count = sum(asked.counts)
    _log.warning("%d documents passed through unscored: %s", count, failure)
    return [failure] * count


def tell(outcomes: Sequence[Outcome], places: Sequence[int], room: str) -> None:
    """Log which documents were cut, and warn of those that have no score."""
    if isinstance(outcomes, Scores):  # the usual case
        return
    cut = [place for place, one in zip(places, outcomes, strict=True) if isinstance(one, Score) and one.truncated]
    if cut:
        _log.info("%d of %d documents were cut to %s: %s", len(cut), len(outcomes), room, _some(cut))
    guilty = {p: one for p, one in zip(places, outcomes, strict=True) if not isinstance(one, Score)}
    if guilty:
        said = next(iter(guilty.values()))
        _log.warning("%d of %d documents have no score: %s: %s", len(guilty), len(outcomes), _some(list(guilty)), said)


def _some(indices: list[int], most: int = 10) -> str:
    return ", ".join(map(str, indices[:most])) + (", …" if len(indices) > most else "")
