"""The sentence that a report opens with, and what it warns of."""

from __future__ import annotations

import pytest

from qwen3_sglang.evaluate.dataset import Skipped
from qwen3_sglang.evaluate.statistics import Estimate
from qwen3_sglang.evaluate.verdict import between_instructions, cautions, leaves_nothing, verdict


@pytest.mark.parametrize(
    ("difference", "queries", "said"),
    [
        (Estimate(0.0612, 0.031, 0.094), 120, "Reranking raised nDCG@10 by 0.06, 0.03 to 0.09, on 120 queries."),
        (Estimate(-0.0612, -0.094, -0.031), 120, "Reranking lowered nDCG@10 by 0.06, 0.03 to 0.09, on 120 queries."),
        (Estimate(0.0061, 0.0042, 0.0083), 999, "Reranking raised nDCG@10 by 0.006, 0.004 to 0.008, on 999 queries."),
        (
            Estimate(0.02, -0.03, 0.07),
            20,
            "No measurable difference on 20 queries: nDCG@10 changed by +0.02, -0.03 to +0.07.",
        ),
        (Estimate(0, 0, 0), 20, "No measurable difference on 20 queries: nDCG@10 changed by +0.00, +0.00 to +0.00."),
        (
            Estimate(0.5),
            1,
            "No measurable difference on 1 query: nDCG@10 changed by +0.50 there, and one query tells no more.",
        ),
    ],
)
def test_verdict(difference: Estimate, queries: int, said: str) -> None:
    """By the interval: where it includes 0, nothing is claimed."""
    assert verdict("nDCG@10", difference, queries) == said


def test_between_instructions() -> None:
    """Only what is significant is told."""
    none, better = Estimate(0.01, -0.02, 0.04), Estimate(0.04, 0.01, 0.07)
    assert between_instructions("nDCG@10", [none]) == "No instruction differs measurably from the first."
    said = between_instructions("nDCG@10", [none, better])
    assert said == "Against instruction 1, nDCG@10 changes under 3 by +0.04 (+0.01 to +0.07)."


def test_cautions() -> None:
    """The data's own first, then who was left out, then that there are few queries."""
    skipped = [Skipped(f"q{number}", "the query is blank") for number in range(7)]
    found = cautions(["most queries match nothing"], skipped, 20)
    assert found[0] == "Most queries match nothing."
    assert found[1].startswith("7 queries are left out of all figures: q0 (the query is blank), q1")
    assert found[1].endswith("q4 (the query is blank), ….")
    assert "Only 20 queries have a relevant document" in found[2]
    assert cautions([], skipped[:1], 50) == ["1 query is left out of all figures: q0 (the query is blank)."]
    assert cautions([], [], 50) == []


def test_leaves_nothing() -> None:
    """More than a tenth."""
    assert leaves_nothing(2, 20) is None
    assert leaves_nothing(3, 20) == "leaves 3 of 20 queries with nothing"
