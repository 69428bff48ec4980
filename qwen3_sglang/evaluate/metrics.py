"""Ranking metrics before and after, by ir-measures (trec_eval's definitions)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ir_measures
from ir_measures import AP, RR, R, nDCG

from qwen3_sglang.evaluate.dataset import Query
from qwen3_sglang.evaluate.grades import HIGHEST, grade_of

DEPTH = 10  # of nDCG and MRR
Ranking = Sequence[str]
Values = dict[str, list[float]]


def measures(recall_at: Sequence[int]) -> dict[str, Any]:
    """ir-measures' objects by the names that reports use."""
    recalls = {f"recall@{k}": R @ k for k in sorted(set(recall_at))}
    return {f"nDCG@{DEPTH}": nDCG @ DEPTH, f"MRR@{DEPTH}": RR @ DEPTH, "MAP": AP, **recalls}


def values(queries: Sequence[Query], rankings: Mapping[str, Ranking], recall_at: Sequence[int]) -> Values:
    """Each metric's values, one per query, in the queries' order; a query without a ranking counts 0.

    Args:
        queries: all of them with a relevant document.
        rankings: document ids by query id, best first.
        recall_at: the cut-offs of recall.

    Raises:
        InvalidInputError: a grade that trec_eval, which is written in C, can't take.
    """
    wanted = measures(recall_at)
    qrels = {query.id: {name: _gain(query, name) for name in query.grades} for query in queries}
    # Places, not scores: trec_eval reads scores as float32 and orders ties by id, which isn't what users see.
    run = {query: {name: float(-place) for place, name in enumerate(names)} for query, names in rankings.items()}
    found = {(str(m.measure), m.query_id): float(m.value) for m in ir_measures.iter_calc(wanted.values(), qrels, run)}
    return {name: [found[str(measure), query.id] for query in queries] for name, measure in wanted.items()}


def _gain(query: Query, document: str) -> int:
    """A grade as gain; the readers check grades too, but a data set may be put together by hand."""
    return max(0, grade_of(f"query {query.id}, grade of {document}", query.grades[document], least=-HIGHEST))
