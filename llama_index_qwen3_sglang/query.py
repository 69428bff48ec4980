"""LlamaIndex's query -> the text, limits and instruction of one call. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from llama_index.core.schema import QueryBundle

from qwen3_sglang.errors import InvalidInputError

T = TypeVar("T")


class Unset(Enum):
    """Tells "not given" from None, which is a value: keep all, or Qwen's own instruction."""

    UNSET = "not given"

    def __repr__(self) -> str:
        """As it reads in a signature."""
        return self.value


UNSET = Unset.UNSET


@dataclass
class RerankQueryBundle(QueryBundle):
    """A query that brings its own instruction: every query engine, chat engine and retriever takes it.

    Whatever makes a new bundle on the way (a query transform, a sub-question) leaves the instruction behind;
    the reranker's own applies then.

    Attributes:
        instruction: the task, in the model's template, for this query only; None: the reranker's own.

    Example:
        >>> engine.query(RerankQueryBundle("gravity", instruction="Find passages that name a physicist"))
    """

    instruction: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything about one call but its nodes.

    Attributes:
        query: what nodes are judged against.
        top_n: nodes to keep; None keeps all.
        min_score: least P(yes) to keep; None keeps all.
        instruction: the task; None is Qwen's own.
    """

    query: str
    top_n: int | None
    min_score: float | None
    instruction: str | None


def given(value: T | Unset, otherwise: T) -> T:
    """`value`, where there is one."""
    return otherwise if isinstance(value, Unset) else value


def query_text(query: str | QueryBundle | None) -> str:
    """The query's text.

    Raises:
        InvalidInputError: there is none.
    """
    text = query.query_str if isinstance(query, QueryBundle) else query
    if not isinstance(text, str):
        raise InvalidInputError("query_bundle", text, "pass query_bundle or query_str")
    return text


def query_instruction(query: str | QueryBundle | None) -> str | None:
    """The instruction that a RerankQueryBundle brings; None for any other query."""
    return query.instruction if isinstance(query, RerankQueryBundle) else None
