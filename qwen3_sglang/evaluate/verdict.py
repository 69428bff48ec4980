"""What a report says first: did reranking help, and how far the figures can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

from qwen3_sglang.evaluate.dataset import Skipped
from qwen3_sglang.evaluate.statistics import Estimate

FEWEST = 50  # queries with a relevant document; with 50, a recall of 0.95 is known to about 0.06
_NAMED = 5  # queries that are left out, by name
_SMALL = 0.01


def verdict(metric: str, difference: Estimate, queries: int) -> str:
    """One sentence on the difference that reranking makes.

    Args:
        metric: its name.
        difference: after less before, with its interval over queries.
        queries: how many it is a mean of.
    """
    on = "on 1 query" if queries == 1 else f"on {queries:,} queries"
    value, low, high = difference.value or 0.0, difference.low, difference.high
    if low is None or high is None:
        return f"No measurable difference {on}: {metric} changed by {value:+.2f} there, and one query tells no more."
    if low <= 0 <= high:
        return f"No measurable difference {on}: {metric} changed by {value:+.2f}, {low:+.2f} to {high:+.2f}."
    changed, ends = "raised" if value > 0 else "lowered", sorted((abs(low), abs(high)))
    figures = [_figure(one, ends[0]) for one in (abs(value), *ends)]
    return f"Reranking {changed} {metric} by {figures[0]}, {figures[1]} to {figures[2]}, {on}."


def between_instructions(metric: str, differences: Sequence[Estimate]) -> str:
    """One sentence on the instructions after the first, by their paired differences to it."""
    numbered = enumerate(differences, 2)
    told = {n: one for n, one in numbered if one.low is not None and one.high is not None and one.low * one.high > 0}
    if not told:
        return "No instruction differs measurably from the first."
    parts = [f"under {number} by {one.value:+.2f} ({one.low:+.2f} to {one.high:+.2f})" for number, one in told.items()]
    return f"Against instruction 1, {metric} changes {', '.join(parts)}."


def cautions(notes: Sequence[str], skipped: Sequence[Skipped], judged: int) -> list[str]:
    """What to know before the figures are used, the gravest first."""
    said = [f"{note[:1].upper()}{note[1:]}." for note in notes]
    if skipped:
        some = ", ".join(f"{one.id} ({one.reason})" for one in skipped[:_NAMED])
        more = ", …" if len(skipped) > _NAMED else ""
        count = "1 query is" if len(skipped) == 1 else f"{len(skipped)} queries are"
        said.append(f"{count} left out of all figures: {some}{more}.")
    if judged < FEWEST:
        said.append(
            f"Only {judged} queries have a relevant document among those reranked: with fewer than {FEWEST}, any "
            "min_score is a guess."
        )
    return said


def leaves_nothing(empty: int, queries: int) -> str | None:
    """A warning where a threshold leaves more than a tenth of the queries without a document."""
    if 10 * empty <= queries:  # a tenth
        return None
    return f"leaves {empty} of {queries} queries with nothing"


def _figure(value: float, least: float) -> str:
    return f"{value:.2f}" if least >= _SMALL else f"{value:.3f}"
