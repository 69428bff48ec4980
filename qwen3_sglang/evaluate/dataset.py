"""What is judged: queries, the documents that a first stage found for each, and which of them are relevant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from qwen3_sglang.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Document:
    """One document that the first stage found.

    Attributes:
        id: its name within the query (its index, where the file names none) or the corpus (BEIR).
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
class Skipped:
    """A query that no figure counts, and why."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """What `evaluate` runs on.

    Attributes:
        name: what the report calls it.
        first_stage: where the documents' first order comes from.
        queries: at least one of them with a relevant document among its documents.
        skipped: queries that can't be asked about, such as blank ones.
        notes: what whoever reads the figures should know of the data.
    """

    name: str
    first_stage: str
    queries: tuple[Query, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def judged(self) -> tuple[Query, ...]:
        """The queries that ranking metrics are a mean of."""
        return tuple(query for query in self.queries if query.judged)

    def without(self, skipped: Sequence[Skipped]) -> Dataset:
        """The same without these queries.

        Raises:
            InvalidInputError: nothing is left to measure.
        """
        gone = {one.id for one in skipped}
        left = tuple(query for query in self.queries if query.id not in gone)
        if not any(query.grade(document) for query in left for document in query.documents):
            first = skipped[0]
            remedy = f"no query with a relevant document is left; {len(gone)} were left out: {first.reason}"
            raise InvalidInputError(f"query {first.id}", len(gone), remedy)
        return replace(self, queries=left, skipped=(*self.skipped, *skipped))


def make_dataset(
    name: str, first_stage: str, queries: Sequence[Query], notes: Sequence[str] = (), *, file: str = ""
) -> Dataset:
    """A data set that can be evaluated; blank queries are set apart.

    Args:
        name: what the report calls it.
        first_stage: where the documents' first order comes from.
        queries: as they were read.
        notes: what the reader of the file noticed.
        file: what the user named, where it isn't `name`.

    Raises:
        InvalidInputError: no query, or no relevant document among those to rerank.
    """
    at, usable = file or name, [query for query in queries if query.text.strip()]
    if not queries:
        raise InvalidInputError("data", at, "holds no query; add one JSON object per line, or name the right file")
    if not any(query.judged for query in usable):
        blank = len(queries) - len(usable)
        left_out = f" ({blank} of {len(queries)} queries are blank)" if blank else ""
        remedy = f"no document is marked relevant{left_out}, so there is nothing to measure against"
        raise InvalidInputError("data", at, remedy)
    if not any(query.grade(document) for query in usable for document in query.documents):
        remedy = "the first stage found no relevant document, so reranking can't help; do its ids and the qrels' match?"
        raise InvalidInputError("data", at, "; ".join([remedy, *notes]))
    skipped = [Skipped(query.id, "the query is blank") for query in queries if not query.text.strip()]
    return Dataset(name, first_stage, tuple(usable), tuple(skipped), tuple(notes))
