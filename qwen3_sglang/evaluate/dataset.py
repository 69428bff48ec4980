"""What is judged: queries, the documents that a first stage found for each, and which of them are relevant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qwen3_sglang.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Document:
    """One document that the first stage found.

    Attributes:
        id: its name within the query (JSONL: its index) or the corpus (BEIR).
        text: what the model reads.
    """

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Query:
    """One query with its judgements.

    Attributes:
        id: unique within the data set.
        text: what the model reads.
        documents: in the first stage's order, best first.
        grades: relevance by document id; below 1, or missing: not relevant. It may name documents that the
            first stage missed; they count in recall, MAP and nDCG.
    """

    id: str
    text: str
    documents: tuple[Document, ...]
    grades: Mapping[str, int]

    @property
    def judged(self) -> bool:
        """Whether any document is relevant; without one, no ranking is better than another."""
        return any(grade > 0 for grade in self.grades.values())

    def grade(self, document: Document) -> int:
        """The document's relevance, 0 where nobody judged it."""
        return max(0, self.grades.get(document.id, 0))


@dataclass(frozen=True, slots=True)
class Dataset:
    """What `evaluate` runs on.

    Attributes:
        name: what the report calls it.
        first_stage: where the documents' first order comes from.
        queries: at least one of them with a relevant document among its documents.
    """

    name: str
    first_stage: str
    queries: tuple[Query, ...]

    @property
    def judged(self) -> tuple[Query, ...]:
        """The queries that ranking metrics are a mean of."""
        return tuple(query for query in self.queries if query.judged)


def make_dataset(name: str, first_stage: str, queries: list[Query]) -> Dataset:
    """A data set that can be evaluated.

    Raises:
        InvalidInputError: no query, or no relevant document among those to rerank.
    """
    if not queries:
        raise InvalidInputError("data", name, "holds no query; add one JSON object a line, or name the right file")
    if not any(query.judged for query in queries):
        raise InvalidInputError("data", name, "no document is marked relevant, so there is nothing to measure against")
    if not any(query.grade(document) for query in queries for document in query.documents):
        remedy = "the first stage found no relevant document, so reranking can't help; do its ids and the qrels' match?"
        raise InvalidInputError("data", name, remedy)
    return Dataset(name, first_stage, tuple(queries))
