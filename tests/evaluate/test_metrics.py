"""The metrics are what a small computation of our own gives, on the shipped corpus with the toy reranker."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from qwen3_sglang import InvalidInputError, RerankClient
from qwen3_sglang.evaluate import evaluate, load_dataset
from qwen3_sglang.evaluate.dataset import Dataset, Document, Query
from qwen3_sglang.evaluate.metrics import values
from qwen3_sglang.evaluate.report import Report
from qwen3_sglang.local import run_in_thread

pytest.importorskip("torch")
EXAMPLE = Path(__file__).parents[2] / "examples" / "evaluate.py"
Grades = Sequence[int]


def ndcg(grades: Grades, ideal: Grades) -> float:
    """DCG@10 with the grade as gain, over the best there is (Järvelin and Kekäläinen, 2002)."""

    def dcg(of: Grades) -> float:
        return sum(grade / math.log2(place + 2) for place, grade in enumerate(of[:10]))

    return dcg(grades) / dcg(sorted(ideal, reverse=True))


def reciprocal_rank(grades: Grades, ideal: Grades) -> float:
    """1 / place of the first relevant one among ten."""
    return next((1 / place for place, grade in enumerate(grades[:10], 1) if grade), 0.0)


def average_precision(grades: Grades, ideal: Grades) -> float:
    """Mean of the precision at each relevant one; those not found count 0."""
    places = [place for place, grade in enumerate(grades, 1) if grade]
    return sum(number / place for number, place in enumerate(places, 1)) / sum(map(bool, ideal))


def recall(k: int) -> Callable[[Grades, Grades], float]:
    return lambda grades, ideal: sum(map(bool, grades[:k])) / sum(map(bool, ideal))


OURS: dict[str, Callable[[Grades, Grades], float]] = {
    "nDCG@10": ndcg,
    "MRR@10": reciprocal_rank,
    "MAP": average_precision,
    "recall@1": recall(1),
    "recall@5": recall(5),
    "recall@10": recall(10),
}


def mean(name: str, orders: Sequence[Sequence[Document]], queries: Sequence[Query]) -> float:
    results = [
        OURS[name]([query.grade(d) for d in order], list(query.grades.values()))
        for query, order in zip(queries, orders, strict=True)
    ]
    return sum(results) / len(results)


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """examples/evaluate.py, which writes the shipped corpus as a BEIR folder."""
    spec = importlib.util.spec_from_file_location("evaluate_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def demo(example: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The demo's questions with BM25's top 6."""
    folder = tmp_path_factory.mktemp("demo") / "corpus"
    example.write_beir(folder)
    return load_dataset(folder, top_k=6)


@pytest.fixture(scope="module")
def base_url(converted_toy: Path) -> Iterator[str]:
    """The toy behind the embedded server."""
    with run_in_thread(converted_toy, device="cpu", dtype="float32") as url:
        yield url


@pytest.fixture(scope="module")
def report(demo: Dataset, base_url: str, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The whole evaluation, once."""
    with RerankClient(base_url, timeout=600) as client:
        return evaluate(client, demo, scores=tmp_path_factory.mktemp("scores") / "scores.sqlite")


@pytest.mark.parametrize("name", OURS)
def test_metrics_of_the_demo_corpus(report: Report, demo: Dataset, name: str) -> None:
    """Before and after, from the report's own orders; the difference is that of the two."""
    [variant] = report.variants
    metric = variant.metric(name)
    after = [[Document(d.id, d.text) for d in outcome.documents] for outcome in variant.queries]
    assert metric.before.value == pytest.approx(mean(name, [query.documents for query in demo.queries], demo.queries))
    assert metric.after.value == pytest.approx(mean(name, after, demo.queries))
    assert metric.difference.value == pytest.approx((metric.after.value or 0) - (metric.before.value or 0))
    for estimate in (metric.before, metric.after, metric.difference):
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low - 1e-9 <= (estimate.value or 0) <= estimate.high + 1e-9


def test_order_and_scores_are_the_servers(report: Report, demo: Dataset, base_url: str) -> None:
    """What the report calls after is what `rerank` gives."""
    query, outcome = demo.queries[3], report.variants[0].queries[3]
    with RerankClient(base_url) as client:
        results = client.rerank(query.text, [document.text for document in query.documents])
    assert [document.before - 1 for document in outcome.documents] == [result.index for result in results]
    assert [document.p_yes for document in outcome.documents] == pytest.approx([r.score for r in results], abs=1e-5)


def test_thresholds_of_the_demo_corpus(report: Report) -> None:
    """Counted over the documents that the report lists."""
    variant = report.variants[0]
    documents = [document for outcome in variant.queries for document in outcome.documents]
    relevant = sum(document.grade > 0 for document in documents)
    assert relevant == report.found
    for point in variant.curve:
        kept = [document for document in documents if document.p_yes >= point.threshold]
        hits = sum(document.grade > 0 for document in kept)
        assert point.recall == pytest.approx(hits / relevant)
        assert point.precision == (pytest.approx(hits / len(kept)) if kept else None)
        assert point.kept_per_query == pytest.approx(len(kept) / 20)
        empty = [q for q in variant.queries if all(d.p_yes < point.threshold for d in q.documents)]
        assert point.empty_queries == len(empty)


def test_places_decide_not_ids_or_rounded_scores() -> None:
    """trec_eval would order ties by id; a query without a ranking counts 0; grades below 0 count as 0."""
    queries = [
        Query("q", "text", (), {"a": 1, "b": -2}),
        Query("r", "text", (), {"a": 1}),
    ]
    found = values(queries, {"q": ["a", "z"]}, [1])
    assert found["recall@1"] == [1, 0]
    assert found["nDCG@10"] == [1, 0]
    assert values(queries, {"q": ["z", "a"]}, [1])["MRR@10"] == [0.5, 0]


@pytest.mark.parametrize("grade", [10**12, 10**30, -(10**12), float("nan"), float("inf"), 0.5])
def test_grades_that_would_crash_the_interpreter_are_refused(grade: Any) -> None:
    """Of a data set that was put together by hand; a reader names the line instead."""
    with pytest.raises(InvalidInputError, match="query q, grade of a="):
        values([Query("q", "text", (), {"a": grade})], {"q": ["a"]}, [1])


def test_the_example_writes_a_report(
    example: ModuleType, base_url: str, tmp_path: Path, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As its docstring says; an unreachable server is one line."""
    monkeypatch.setattr(example, "TOP_K", 2)  # enough to see that it runs
    assert example.main([str(tmp_path / "report.html"), "--url", base_url]) == 0
    assert "Which min_score" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert example.main([str(tmp_path / "other.html"), "--url", nobody]) == 1
    assert not (tmp_path / "other.html").exists()
