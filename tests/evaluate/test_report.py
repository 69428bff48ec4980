"""What a report is made of: counted by hand, and said in the terminal and on the page.

Tests of `evaluate/report.py`, `evaluate/tables.py`, `evaluate/html.py`.
"""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from qwen3_sglang.evaluate import html, tables
from qwen3_sglang.evaluate.dataset import Dataset, Document, Query, Skipped
from qwen3_sglang.evaluate.report import Goals, Metric, QueryOutcome, Ranked, Report, make_report
from qwen3_sglang.evaluate.scoring import Scored
from qwen3_sglang.evaluate.statistics import Estimate
from qwen3_sglang.ranking import Chunk, Score

DASH = "\N{EN DASH}"
# query -> grades by document, in the first stage's order; "z" wasn't found by it. Then P(yes) of each.
QUERIES: dict[str, tuple[dict[str, int], list[float]]] = {
    "one": ({"a": 0, "b": 2, "c": 0, "z": 1}, [0.2, 0.9, 0.1]),
    "two": ({"a": 1, "b": 0}, [0.3, 0.6]),
    "three": ({"a": 0, "b": -1}, [0.7, 0.4]),
    "four": ({"a": 0, "b": 0, "z": 3, "y": 0}, [0.5, 0.05]),
}


def scored(*instructions: str, **more: Any) -> Scored:
    """All of QUERIES, under each instruction alike but for the last, which turns the scores round."""
    queries = []
    for name, (grades, scores) in QUERIES.items():
        found = tuple(Document(one, f"text {one}") for one in list(grades)[: len(scores)])
        queries.append(Query(name, f"{name}?", found, grades))
    by_instruction = {}
    for place, instruction in enumerate(instructions):
        turned = 0 < place == len(instructions) - 1
        by_instruction[instruction] = [
            [Score(1 - p if turned else p, -p if turned else p, p == 0.05) for p in scores]
            for _, scores in QUERIES.values()
        ]
    dataset = Dataset("tiny", "a run", tuple(queries), (Skipped("blank", "the query is blank"),), ("be careful",))
    return Scored(dataset, "toy", by_instruction, 5, 4, **more)


def report(*instructions: str, goals: Goals | None = None, **more: Any) -> Report:
    return make_report(scored(*instructions, **more), goals or Goals(), "2026-01-02T03:04:05+00:00")


def test_what_is_counted() -> None:
    """Queries, judged ones, documents, relevant ones and those of them that the first stage found."""
    found = report("task")
    assert (found.queries, found.judged, found.pairs, found.relevant, found.found) == (4, 3, 9, 4, 2)
    assert (found.asked, found.kept, found.truncated) == (5, 4, 1)
    assert (found.data, found.first_stage, found.model) == ("tiny", "a run", "toy")
    assert found.created == "2026-01-02T03:04:05+00:00"
    assert found.skipped == (Skipped("blank", "the query is blank"),)
    assert found.cautions[0] == "Be careful."
    assert "Only 2 queries have a relevant document" in found.cautions[-1]
    assert report("task", "other").truncated == 2


def test_metrics_by_hand() -> None:
    """Of the queries that have a relevant document, whether or not it was found."""
    [variant] = report("task", goals=Goals(recall_at=(1, 2))).variants
    assert [metric.name for metric in variant.metrics] == ["nDCG@10", "MRR@10", "MAP", "recall@1", "recall@2"]
    mrr, recall = variant.metric("MRR@10"), variant.metric("recall@1")
    assert (mrr.before.value, mrr.after.value) == (pytest.approx((1 / 2 + 1) / 3), pytest.approx((1 + 1 / 2) / 3))
    assert (recall.before.value, recall.after.value) == (pytest.approx(1 / 3), pytest.approx((1 / 2) / 3))
    assert recall.difference.value == pytest.approx(-1 / 6)
    assert recall.to_first is None


def test_instructions_are_compared_to_the_first() -> None:
    """Paired by query: the last one turns all orders round."""
    first, same, turned = report("task", "again", "turned").variants
    assert first.metric("MRR@10").to_first is None
    assert same.metric("MRR@10").to_first == Estimate(0, 0, 0)
    other = turned.metric("MRR@10").to_first
    assert other is not None
    assert other.value == pytest.approx(((1 / 3 - 1) + (1 - 1 / 2)) / 3)
    assert "No instruction differs measurably from the first." in report("task", "again").verdict
    assert "instruction" not in report("task").verdict


def test_what_became_of_a_query() -> None:
    """Its documents best first, with their places before; what the first stage missed; metrics where it was judged."""
    one, _, three, four = report("task").variants[0].queries
    assert (one.id, one.text, one.missed, three.missed, four.missed) == ("one", "one?", 1, 0, 1)
    assert [(d.id, d.p_yes, d.grade, d.before) for d in one.documents] == [
        ("b", 0.9, 2, 2),
        ("a", 0.2, 0, 1),
        ("c", 0.1, 0, 3),
    ]
    assert [(d.grade, d.truncated) for d in four.documents] == [(0, False), (0, True)]
    assert (one.before["MRR@10"], one.after["MRR@10"]) == (0.5, 1)
    assert (three.before, three.after) == ({}, {})
    assert four.after["MRR@10"] == 0


def test_the_queries_that_came_out_worst() -> None:
    """By nDCG, then by how much it fell; those without a judgement, and those that are perfect, aren't among them."""
    variant = report("task").variants[0]
    assert [query.id for query in variant.worst(9)] == ["four", "two", "one"]
    assert [query.id for query in variant.worst(1)] == ["four"]
    assert {query.after["nDCG@10"] for query in variant.worst(9) if query.id == "four"} == {0}

    def query(name: str, before: float, after: float) -> QueryOutcome:
        return QueryOutcome(name, name, {"nDCG@10": before}, {"nDCG@10": after}, (), 0)

    queries = (query("rose", 0.1, 0.5), query("fell", 0.9, 0.5), query("all", 0.2, 1 - 1e-9), query("nearly", 1, 0.999))
    assert [one.id for one in replace(variant, queries=queries).worst(9)] == ["fell", "rose", "nearly"]


def test_thresholds_for_each_goal() -> None:
    """Recall and precision as wished, and F1 always; the first that can be reached is where all begins."""
    [plain] = report("task").variants
    assert [one.goal for one in plain.suggestions] == ["recall of at least 0.95", "highest F1"]
    [both] = report("task", goals=Goals(recall=0.5, precision=0.9)).variants
    goals = ["recall of at least 0.5", "precision of at least 0.9", "highest F1"]
    assert [one.goal for one in both.suggestions] == goals
    [none] = report("task", goals=Goals(recall=None)).variants
    assert [one.goal for one in none.suggestions] == ["highest F1"]
    assert plain.suggested == plain.suggestions[0].min_score
    assert plain.suggested in [point.threshold for point in plain.curve]
    unmet = replace(plain.suggestions[0], point=None)
    assert replace(plain, suggestions=(unmet, plain.suggestions[1])).suggested == plain.suggestions[1].min_score
    assert replace(plain, suggestions=(unmet,)).suggested is None


def test_the_points_that_a_table_has_room_for() -> None:
    """Few of the curve, and the suggested ones."""
    [variant] = report("task").variants
    shown = [point.threshold for point in variant.short_curve]
    assert shown == sorted(shown)
    assert {0, 0.5, 1, variant.suggested} <= set(shown)
    assert len(shown) < 25 < len(variant.curve)


def test_plain_types_without_texts() -> None:
    """As JSON has it: how it was drawn, each suggestion with its threshold, documents by id."""
    made = report("task").to_dict()
    assert made["version"] == 1
    assert made["bootstrap"] == {"confidence": 0.95, "resamples": 2000, "seed": 20}
    [variant] = made["variants"]
    assert [one["min_score"] for one in variant["suggestions"]] == [
        one.min_score for one in report("task").variants[0].suggestions
    ]
    best = variant["queries"][0]["documents"][0]
    assert best == {
        "id": "b", "p_yes": 0.9, "grade": 2, "before": 2, "truncated": False, "chunk": None,
    }  # fmt: skip


def printed(made: Report) -> str:
    """In a terminal of 100 columns."""
    file = io.StringIO()
    console = Console(file=file, width=100, highlight=False)
    tables.print_figures(made, console)
    tables.print_suggestions(made, console)
    return file.getvalue()


def cells(text: str, first: str) -> list[str]:
    """The table's row that begins with this."""
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    return next(row for row in rows if row[0] == first)


def test_the_terminal_says_what_was_counted() -> None:
    """Each fact that there is, and none that there isn't."""
    said = printed(report("task [b]"))
    for fact in (
        "tiny: 4 queries, 9 documents",
        "first stage: a run; it found 2 of 4 relevant documents",
        "model: toy; 5 scores asked for, 4 kept from before",
        "1 queries without a relevant document: not in the ranking metrics",
        "1 documents were too long: the model didn't read their end",
        "instruction: task [b]",
        "note Be careful.",
    ):
        assert fact in said
    assert "in chunks" not in said
    plain = replace(report("task"), judged=4, truncated=0, long_documents="chunks")
    assert "long documents: scored in chunks, the best counts" in printed(plain)
    assert "without a relevant document:" not in printed(plain)
    assert "too long" not in printed(plain)


def test_the_terminals_figures() -> None:
    """Three decimals, signed differences with their interval, a dash where nothing is defined."""
    made = report("task", goals=Goals(recall=1, precision=0.99))
    [variant] = made.variants
    said, metric = printed(made), variant.metric("MRR@10")
    assert metric.difference.low is not None
    interval = f"+0.000 ({metric.difference.low:+.3f} to {metric.difference.high:+.3f})"
    assert cells(said, "MRR@10") == ["MRR@10", "0.500", "0.500", interval]
    half = variant.curve[[point.threshold for point in variant.curve].index(0.5)]
    figures = [f"{half.precision:.3f}", f"{half.recall:.3f}", f"{half.f1:.3f}", f"{half.kept_per_query:.1f}"]
    assert cells(said, "0.5") == ["0.5", *figures, f"{half.empty_queries}"]
    assert cells(said, "1")[1:3] == ["-", "0.000"]
    unmet = replace(made, variants=(replace(variant, suggestions=(replace(variant.suggestions[0], point=None),)),))
    assert cells(printed(unmet), "recall of at least 1")[1:3] == ["none", "no threshold reaches it"]


def test_the_terminal_numbers_instructions() -> None:
    """From 1, where there are several; beside each other, then each on its own."""
    said = printed(report("first task", "second task"))
    assert "instruction 1: first task" in said
    assert "instruction 2: second task" in said
    assert cells(said, "1")[1:4] == [
        "first task",
        f"{report('first task').variants[0].metrics[0].after.value:.3f}",
        "-",
    ]
    assert cells(said, "2")[1] == "second task"
    assert "to the first" not in printed(report("task"))


@pytest.mark.parametrize(
    ("estimate", "said"),
    [
        (None, "-"),
        (Estimate(None), "-"),
        (Estimate(0.25), "+0.250"),
        (Estimate(-0.25, None, 0.1), "-0.250"),
        (Estimate(-0.25, -0.5, 0.125), "-0.250 (-0.500 to +0.125)"),
    ],
)
def test_a_difference_in_a_cell(estimate: Estimate | None, said: str) -> None:
    """With its interval where there is one."""
    assert tables._signed(estimate) == said


def test_a_figure_with_its_interval() -> None:
    """On two lines; alone where one query says nothing of others."""
    assert tables._with_interval(Estimate(0.5, 0.25, 0.75)) == "0.500\n0.25 to 0.75"
    assert tables._with_interval(Estimate(0.5, 0.25)) == tables._with_interval(Estimate(0.5, None, 0.75)) == "0.500"
    assert tables._with_interval(Estimate(None)) == "-"


def test_figures_on_the_page() -> None:
    """As in the terminal, with a longer dash."""
    assert [html.figure(value) for value in (None, 0.12345, 1.0)] == [DASH, "0.123", "1.000"]
    assert [html.signed(one) for one in (None, Estimate(None), Estimate(0.1), Estimate(-0.1))] == [
        DASH, DASH, "+0.100", "-0.100",
    ]  # fmt: skip
    estimates = (None, Estimate(0.5), Estimate(0.5, 0.1), Estimate(0.5, None, 0.9), Estimate(0.5, 0.1, 0.9))
    assert [html.interval(one) for one in estimates] == ["", "", "", "", "0.100 to 0.900"]
    assert [html.probability(p) for p in (0.001, 0.00099, 0.999, 0.9991)] == ["0.001", "<0.001", "0.999", ">0.999"]


def test_texts_on_the_page() -> None:
    """A folder's last part; the first 700 characters."""
    assert html.model_name("/models/reranker") == "reranker"
    assert html.model_name("Qwen/Qwen3-Reranker-0.6B") == "Qwen/Qwen3-Reranker-0.6B"
    assert html.excerpt("x" * 700) == "x" * 700
    assert html.excerpt("x" * 699 + " y") == "x" * 699 + "…"


def test_documents_on_the_page() -> None:
    """The first five, and the relevant ones wherever they are."""
    documents = tuple(Ranked(str(n), "", 0.5, int(n == 8), n, False, Chunk(0, 1, 2)) for n in range(10))
    query = QueryOutcome("q", "q", {}, {}, documents, 0)
    assert [(place, one.id) for place, one in html.shown(query)] == [
        (1, "0"), (2, "1"), (3, "2"), (4, "3"), (5, "4"), (9, "8"),
    ]  # fmt: skip


def test_scores_that_do_not_fit_the_data() -> None:
    """One too few, of a query or of all, is a fault that no figure hides."""
    whole = scored("task")
    lists = whole.by_instruction["task"]
    for wrong in (lists[:-1], [*lists[:-1], lists[-1][:-1]]):
        with pytest.raises(ValueError, match="shorter"):
            make_report(replace(whole, by_instruction={"task": wrong}), Goals(), "now")


def test_a_metric_by_its_name() -> None:
    """An unknown one is nowhere."""
    [variant] = report("task").variants
    assert isinstance(variant.metric("MAP"), Metric)
    with pytest.raises(StopIteration):
        variant.metric("P@1")
