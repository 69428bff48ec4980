"""LangChain's documents and the core's results, from one to the other. No I/O, and nothing given is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.documents import Document
from typing_extensions import TypedDict

from qwen3_sglang import RerankResult
from qwen3_sglang.errors import InvalidInputError

_SCORE, _TRUNCATED, _ERROR = "relevance_score", "rerank_truncated", "rerank_error"
_OURS = frozenset({_SCORE, _TRUNCATED, _ERROR})
_SHAPE = 'pass {"query": a string, "documents": a list of Document}'


class RerankInput(TypedDict):
    """What the reranker takes as a Runnable."""

    query: str
    documents: Sequence[Document]


class Overrides(TypedDict, total=False):
    """What one call may have otherwise than the reranker says. None keeps all, and means Qwen's own instruction."""

    top_n: int | None
    min_score: float | None
    instruction: str | None


def read_input(value: object) -> RerankInput:
    """A Runnable's input, checked; a chain's other keys are let be.

    Raises:
        InvalidInputError: it isn't a RerankInput.
    """
    if not isinstance(value, Mapping) or not {"query", "documents"} <= set(value):
        shown = sorted(map(str, value)) if isinstance(value, Mapping) else value
        raise InvalidInputError("input", shown, _SHAPE)
    documents = value["documents"]
    if isinstance(documents, str) or not isinstance(documents, Sequence):
        raise InvalidInputError("documents", documents, _SHAPE)
    for place, document in enumerate(documents):
        if not isinstance(document, Document):
            raise InvalidInputError(f"documents[{place}]", document, "pass a Document, for example Document(text)")
    return RerankInput(query=value["query"], documents=documents)


def read_overrides(given: Mapping[str, Any]) -> Overrides:
    """A call's keyword arguments, checked by name.

    Raises:
        InvalidInputError: a name that isn't an override's.
    """
    for name in given:
        if name not in Overrides.__annotations__:
            raise InvalidInputError(name, given[name], f"pass one of {', '.join(Overrides.__annotations__)}")
    return cast("Overrides", given)


def texts_of(documents: Sequence[Document]) -> list[str]:
    """What the model reads."""
    return [document.page_content for document in documents]


def ranked(documents: Sequence[Document], results: Sequence[RerankResult]) -> list[Document]:
    """Fresh copies in the results' order, scores in their metadata."""
    return [_scored(documents[result.index], result) for result in results]


def _scored(document: Document, result: RerankResult) -> Document:
    metadata = dict(document.metadata)
    if not _OURS.isdisjoint(metadata):  # from an earlier reranking
        metadata = {key: value for key, value in metadata.items() if key not in _OURS}
    if result.error is None:
        metadata[_SCORE] = result.score
    else:
        metadata[_ERROR] = result.error
    if result.truncated:
        metadata[_TRUNCATED] = True
    # A copy, not Document(...): it keeps `id`, `type` and subclasses with fields of their own. These are the steps
    # of model_copy(update=...), without those that take most of its time and do nothing here.
    fresh = document.__copy__()
    fresh.__dict__["metadata"] = metadata
    fresh.__pydantic_fields_set__.add("metadata")
    return fresh
