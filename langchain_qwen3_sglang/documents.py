"""LangChain's documents and the core's results, from one to the other. No I/O, and nothing given is changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from langchain_core.documents import Document
from typing_extensions import TypedDict

from qwen3_sglang import RerankResult
from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.options.keywords import refuse_unknown
from qwen3_sglang.prompts.records import TEXT_FIELDS, read_record

_SCORE, _TRUNCATED, _ERROR = "relevance_score", "rerank_truncated", "rerank_error"
# The best chunk's place in page_content, and how many chunks were scored.
_CHUNK = ("rerank_chunk_start", "rerank_chunk_end", "rerank_chunks")
_OURS = frozenset({_SCORE, _TRUNCATED, _ERROR, *_CHUNK})
_RETRIEVAL_SCORE = "retrieval_score"
_SHAPE = 'pass {"query": a string, "documents": a list of Document}'


class RerankInput(TypedDict):
    """What the reranker takes as a Runnable."""

    query: str
    documents: Sequence[Document]


class Overrides(TypedDict, total=False):
    """Per-call overrides of the reranker's fields. None keeps all documents, or means Qwen's own instruction."""

    top_n: int | None
    min_score: float | None
    instruction: str | None


def as_input(query: str, documents: object) -> RerankInput:
    """Query and documents as an input, unchecked; an iterator is read here, since a tracer reads it too."""
    read = list(documents) if isinstance(documents, Iterator) else documents
    return cast("RerankInput", {"query": query, "documents": read})


def check_order(documents: object, query: object) -> None:
    """Refuse a query in the documents' place, where the documents come first.

    Raises:
        InvalidInputError: they are swapped.
    """
    if isinstance(documents, str) and not isinstance(query, str):
        raise InvalidInputError("documents", documents, "here the documents come first: (documents, query)")


def read_input(value: object) -> RerankInput:
    """A Runnable's input, checked; other keys are ignored. Documents may be any iterable, read once.

    Raises:
        InvalidInputError: it isn't a RerankInput.
    """
    if not isinstance(value, Mapping) or not {"query", "documents"} <= set(value):
        shown = sorted(map(str, value)) if isinstance(value, Mapping) else value
        raise InvalidInputError("input", shown, _SHAPE)
    query, documents = value["query"], value["documents"]
    if isinstance(documents, str) and not isinstance(query, str):
        raise InvalidInputError("query", query, "the query comes first: rerank(query, documents)")
    if isinstance(documents, (str, bytes, Mapping, Document)) or not isinstance(documents, Iterable):
        raise InvalidInputError("documents", documents, _SHAPE)
    return RerankInput(query=query, documents=[_document(place, one) for place, one in enumerate(documents)])


def _document(place: int, value: object) -> Document:
    """A Document as it is; a string or a mapping with a text as a new one."""
    if isinstance(value, Document):
        return value
    if isinstance(value, str):
        return Document(value)
    record = read_record(value)
    if record is None:
        remedy = f"pass a Document, a string, or a mapping with its text under {' or '.join(TEXT_FIELDS)}"
        raise InvalidInputError(f"documents[{place}]", value, remedy)
    return Document(record.text, id=record.id, metadata=record.metadata)


def read_overrides(given: Mapping[str, Any], elsewhere: Mapping[str, str] | None = None) -> Overrides:
    """A call's keyword arguments, checked by name; `elsewhere` says where others belong.

    Raises:
        UnknownOptionError: a name that isn't an override's.
    """
    refuse_unknown(given, list(Overrides.__annotations__), elsewhere)
    return cast("Overrides", given)


def ranked(
    documents: Sequence[Document], results: Sequence[RerankResult], *, keep_retrieval_score: bool
) -> list[Document]:
    """Fresh copies in the results' order, scores in their metadata."""
    return [_scored(documents[result.index], result, keep_retrieval_score) for result in results]


def _scored(document: Document, result: RerankResult, keep_retrieval_score: bool) -> Document:
    metadata = dict(document.metadata)
    if not _OURS.isdisjoint(metadata):  # from a first stage, or from an earlier reranking
        if keep_retrieval_score and _SCORE in metadata:
            metadata[_RETRIEVAL_SCORE] = metadata[_SCORE]
        metadata = {key: value for key, value in metadata.items() if key not in _OURS}
    if result.error is None:
        metadata[_SCORE] = result.score
    else:
        metadata[_ERROR] = result.error
    if result.truncated:
        metadata[_TRUNCATED] = True
    if result.chunk is not None:
        metadata.update(zip(_CHUNK, result.chunk, strict=True))
    # A copy, not Document(...): it keeps `id`, `type` and subclasses with fields of their own. These are the steps
    # of model_copy(update=...), without those that take most of its time and do nothing here.
    fresh = document.__copy__()
    fresh.__dict__["metadata"] = metadata
    fresh.__pydantic_fields_set__.add("metadata")
    return fresh
