"""Scores and judgements -> everything a report shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qwen3_sglang.evaluate.dataset import Dataset, Query, Skipped
from qwen3_sglang.evaluate.metrics import DEPTH, Values, values
from qwen3_sglang.evaluate.scoring import Scored
from qwen3_sglang.evaluate.statistics import CONFIDENCE, RESAMPLES, SEED, Estimate, mean
from qwen3_sglang.evaluate.thresholds import SHORT_GRID, Bin, Judged, Point, Suggestion, Thresholds, calibration_error
from qwen3_sglang.evaluate.verdict import between_instructions, cautions, verdict
from qwen3_sglang.ranking import Chunk, Score, rank

MAIN_METRIC = f"nDCG@{DEPTH}"
_PERFECT = 1 - 1e-6
VERSION = 1  # of the JSON


@dataclass(frozen=True, slots=True)
class Goals:
    """What thresholds are suggested for.

    Attributes:
        recall: share of the relevant documents to keep; None: no suggestion for it.
        precision: share of the kept that is to be relevant; None: no suggestion for it.
        recall_at: cut-offs of the metric recall@k.
    """

    recall: float | None = 0.95
    precision: float | None = None
    recall_at: tuple[int, ...] = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A document after reranking.

    Attributes:
        id: its name.
        text: what the model read.
        p_yes: its score.
        grade: its relevance, 0 for none.
        before: its place in the first stage, from 1.
        truncated: the model didn't read its end.
        chunk: the best chunk, whose score this is; None where the document wasn't divided.
    """

    id: str
    text: str
    p_yes: float
    grade: int
    before: int
    truncated: bool
    chunk: Chunk | None = None


@dataclass(frozen=True, slots=True)
class QueryOutcome:
    """What became of one query; metrics are empty where nothing is relevant."""

    id: str
    text: str
    before: dict[str, float]
    after: dict[str, float]
    documents: tuple[Ranked, ...]
    missed: int


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric over all queries that have a relevant document.

    Attributes:
        name: such as nDCG@10.
        before: the first stage's.
        after: the reranker's.
        difference: after - before, paired by query.
        to_first: after - after under the first instruction, paired; None for the first itself.
    """

    name: str
    before: Estimate
    after: Estimate
    difference: Estimate
    to_first: Estimate | None


@dataclass(frozen=True, slots=True)
class Variant:
    """All about one instruction."""

    instruction: str
    metrics: tuple[Metric, ...]
    curve: tuple[Point, ...]
    suggestions: tuple[Suggestion, ...]
    calibration: tuple[Bin, ...]
    calibration_error: float
    queries: tuple[QueryOutcome, ...]

    def metric(self, name: str) -> Metric:
        """The metric of that name."""
        return next(metric for metric in self.metrics if metric.name == name)

    @property
    def short_curve(self) -> list[Point]:
        """The points that a table has room for."""
        wanted = {*SHORT_GRID, *(one.min_score for one in self.suggestions)}
        return [point for point in self.curve if point.threshold in wanted]

    @property
    def suggested(self) -> float | None:
        """The `min_score` that everything starts from: the first goal's that can be reached."""
        return next((one.min_score for one in self.suggestions if one.min_score is not None), None)

    def worst(self, count: int) -> list[QueryOutcome]:
        """The queries that came out worst, none of them perfect: by nDCG, then by how much it fell."""
        judged = [query for query in self.queries if query.after and query.after[MAIN_METRIC] < _PERFECT]
        return sorted(judged, key=lambda q: (q.after[MAIN_METRIC], q.after[MAIN_METRIC] - q.before[MAIN_METRIC]))[
            :count
        ]


@dataclass(frozen=True, slots=True)
class Report:
    """The result of an evaluation.

    Attributes:
        data: the data set's name.
        first_stage: where the order before comes from.
        model: the served model's name.
        queries: in all.
        judged: with a relevant document; the ranking metrics are a mean of these.
        pairs: documents scored per instruction.
        relevant: documents that are relevant, in all.
        found: of these, how many the first stage found. The rest no reranker can bring back.
        long_documents: "chunks" where documents that didn't fit were scored in chunks, else "truncate".
        truncated: scored pairs of which the model didn't read the document's end.
        asked: scores that the server gave this time.
        kept: scores that were there from an earlier run.
        created: when, in ISO 8601.
        variants: one per instruction, in the order given.
        verdict: whether reranking helped, in a sentence.
        cautions: what to know before the figures are used.
        skipped: queries that no figure counts, such as blank ones.
    """

    data: str
    first_stage: str
    model: str
    queries: int
    judged: int
    pairs: int
    relevant: int
    found: int
    long_documents: str
    truncated: int
    asked: int
    kept: int
    created: str
    variants: tuple[Variant, ...]
    verdict: str
    cautions: tuple[str, ...]
    skipped: tuple[Skipped, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON; document texts are left out, ids stay."""
        plain = asdict(self)
        for variant, source in zip(plain["variants"], self.variants, strict=True):
            for made, suggestion in zip(variant["suggestions"], source.suggestions, strict=True):
                made["min_score"] = suggestion.min_score
            for query in variant["queries"]:
                for document in query["documents"]:
                    del document["text"]
        settings = {"confidence": CONFIDENCE, "resamples": RESAMPLES, "seed": SEED}
        return {"version": VERSION, "bootstrap": settings, **plain}


def make_report(scored: Scored, goals: Goals, created: str) -> Report:
    """Metrics, thresholds, calibration and queries under each instruction."""
    dataset = scored.dataset
    first: Values | None = None
    variants = []
    for instruction, scores in scored.by_instruction.items():
        variant, after = _variant(dataset, instruction, scores, goals, first)
        first = after if first is None else first
        variants.append(variant)
    documents = [(query, document) for query in dataset.queries for document in query.documents]
    return Report(
        data=dataset.name,
        first_stage=dataset.first_stage,
        model=scored.model,
        queries=len(dataset.queries),
        judged=len(dataset.judged),
        pairs=len(documents),
        relevant=sum(grade > 0 for query in dataset.queries for grade in query.grades.values()),
        found=sum(query.grade(document) > 0 for query, document in documents),
        long_documents=scored.long_documents,
        truncated=sum(s.truncated for lists in scored.by_instruction.values() for part in lists for s in part),
        asked=scored.asked,
        kept=scored.kept,
        created=created,
        variants=tuple(variants),
        verdict=_verdict(variants, len(dataset.judged)),
        cautions=tuple(cautions(dataset.notes, dataset.skipped, _found(dataset))),
        skipped=dataset.skipped,
    )


def _verdict(variants: Sequence[Variant], judged: int) -> str:
    first, *others = [variant.metric(MAIN_METRIC) for variant in variants]
    said = verdict(MAIN_METRIC, first.difference, judged)
    if not others:
        return said
    return f"{said} {between_instructions(MAIN_METRIC, [one.to_first for one in others if one.to_first is not None])}"


def _found(dataset: Dataset) -> int:
    """Queries that a threshold can be chosen on."""
    return sum(any(query.grade(document) for document in query.documents) for query in dataset.queries)


def _variant(
    dataset: Dataset, instruction: str, scores: Sequence[Sequence[Score]], goals: Goals, first: Values | None
) -> tuple[Variant, Values]:
    orders = [[result.index for result in rank(part)] for part in scores]
    pairs = list(zip(dataset.queries, orders, strict=True))
    ranking_before = {query.id: [d.id for d in query.documents] for query in dataset.queries}
    ranking_after = {query.id: [query.documents[index].id for index in order] for query, order in pairs}
    before = values(dataset.judged, ranking_before, goals.recall_at)
    after = values(dataset.judged, ranking_after, goals.recall_at)
    thresholds = Thresholds(_judged(dataset, scores), len(dataset.queries))
    bins, suggestions = thresholds.calibration(), _suggestions(thresholds, goals)
    variant = Variant(
        instruction=instruction,
        metrics=tuple(_metric(name, before[name], after[name], first) for name in before),
        curve=tuple(thresholds.curve(one.min_score for one in suggestions if one.min_score is not None)),
        suggestions=tuple(suggestions),
        calibration=tuple(bins),
        calibration_error=calibration_error(bins),
        queries=tuple(_outcomes(dataset, scores, orders, before, after)),
    )
    return variant, after


def _judged(dataset: Dataset, scores: Sequence[Sequence[Score]]) -> list[Judged]:
    return [
        Judged(number, score.p_yes, query.grade(document) > 0)
        for number, (query, part) in enumerate(zip(dataset.queries, scores, strict=True))
        for document, score in zip(query.documents, part, strict=True)
    ]


def _suggestions(thresholds: Thresholds, goals: Goals) -> list[Suggestion]:
    wanted = [] if goals.recall is None else [thresholds.for_recall(goals.recall)]
    if goals.precision is not None:
        wanted.append(thresholds.for_precision(goals.precision))
    return [*wanted, thresholds.for_f1()]


def _metric(name: str, before: list[float], after: list[float], first: Values | None) -> Metric:
    difference = mean(_minus(after, before))
    return Metric(
        name, mean(before), mean(after), difference, None if first is None else mean(_minus(after, first[name]))
    )


def _minus(these: list[float], those: list[float]) -> list[float]:
    return [one - other for one, other in zip(these, those, strict=True)]


def _outcomes(
    dataset: Dataset, scores: Sequence[Sequence[Score]], orders: list[list[int]], before: Values, after: Values
) -> list[QueryOutcome]:
    places = {query.id: place for place, query in enumerate(dataset.judged)}
    return [
        QueryOutcome(
            query.id,
            query.text,
            _at(before, places.get(query.id)),
            _at(after, places.get(query.id)),
            tuple(_ranked(query, part, index) for index in order),
            len({name for name, grade in query.grades.items() if grade > 0} - {d.id for d in query.documents}),
        )
        for query, part, order in zip(dataset.queries, scores, orders, strict=True)
    ]


def _at(metrics: Values, place: int | None) -> dict[str, float]:
    return {} if place is None else {name: column[place] for name, column in metrics.items()}


def _ranked(query: Query, scores: Sequence[Score], index: int) -> Ranked:
    document, score = query.documents[index], scores[index]
    grade = query.grade(document)
    return Ranked(document.id, document.text, score.p_yes, grade, index + 1, score.truncated, score.chunk)
