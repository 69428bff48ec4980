"""The reranker's own fields: strict, with defaults that change nothing, and checked as soon as one is made.

Tests of `options.py`, `retriever.py`, `compressor.py`.
"""

from __future__ import annotations

from typing import Any

import pytest
from chain_parts import Found
from pydantic import ValidationError

from langchain_qwen3_sglang import Qwen3SGLangRerank, Qwen3SGLangRetriever, RunnableCompressor
from langchain_qwen3_sglang.options import RerankOptions
from langchain_qwen3_sglang.reading import Reading
from qwen3_sglang.connection import Connection
from qwen3_sglang.errors import InvalidInputError, UnknownOptionError

OWN = set(RerankOptions.model_fields) - set(Connection.model_fields)


def test_the_defaults() -> None:
    """All documents are kept, page_content is read, a call is a retriever's run."""
    rerank = Qwen3SGLangRerank()
    assert {name: getattr(rerank, name) for name in OWN} == {
        "top_n": None,
        "min_score": None,
        "document_prompt": None,
        "metadata_keys": None,
        "keep_retrieval_score": False,
        "run_type": "retriever",
    }
    assert rerank._reading() == Reading(None, None, collect=False)
    assert Qwen3SGLangRerank(on_error="passthrough")._reading().collect
    retriever = Qwen3SGLangRetriever(base_retriever=Found())
    assert (retriever.fetch_k, retriever.top_n) == (None, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("top_n", "3"),
        ("top_n", 3.0),
        ("min_score", "0.5"),
        ("metadata_keys", ("title",)),
        ("metadata_keys", [1]),
        ("keep_retrieval_score", 1),
        ("keep_retrieval_score", "true"),
    ],
)
def test_nothing_is_converted(name: str, value: Any) -> None:
    """A number in a string is a mistake that is better told."""
    with pytest.raises(ValidationError, match=name):
        Qwen3SGLangRerank(**{name: value})


@pytest.mark.parametrize(("name", "value"), [("top_n", "3"), ("fetch_k", "30"), ("fetch_k", 30.0), ("top_n", 3.0)])
def test_nor_by_the_retriever(name: str, value: Any) -> None:
    """The same."""
    with pytest.raises(ValidationError, match=name):
        Qwen3SGLangRetriever(base_retriever=Found(), **{name: value})


@pytest.mark.parametrize("kind", [Qwen3SGLangRetriever, RunnableCompressor])
def test_unknown_names_are_refused(kind: Any) -> None:
    """Instead of being kept for nobody."""
    given = {"base_retriever": Found()} if kind is Qwen3SGLangRetriever else {"runnable": Qwen3SGLangRerank()}
    assert kind(**given)
    with pytest.raises(ValidationError, match="colour"):
        kind(**given, colour=1)


def test_an_override_that_is_an_option() -> None:
    """Belongs to where the reranker is made, and the message says so."""
    with pytest.raises(UnknownOptionError, match=r"timeout: pass timeout to Qwen3SGLangRerank\(...\)"):
        Qwen3SGLangRerank().rerank("q", [], timeout=3)  # type: ignore[call-arg] # what is wrong
    with pytest.raises(InvalidInputError, match="min_score=2"):
        Qwen3SGLangRerank(min_score=2)
    with pytest.raises(InvalidInputError, match="instruction=' '"):
        Qwen3SGLangRerank(instruction=" ")


def test_as_many_candidates_as_are_kept() -> None:
    """Are enough; one fewer is not, whether the retriever or its reranker says how many are kept."""

    class WithK(Found):
        k: int = 4

    assert Qwen3SGLangRetriever(base_retriever=WithK(), fetch_k=3, top_n=3).fetch_k == 3
    with pytest.raises(InvalidInputError, match="fetch_k=2: pass at least top_n=3"):
        Qwen3SGLangRetriever(base_retriever=WithK(), fetch_k=2, top_n=3)
    kept = Qwen3SGLangRerank(top_n=3)
    with pytest.raises(InvalidInputError, match="fetch_k=2: pass at least top_n=3"):
        Qwen3SGLangRetriever(base_retriever=WithK(), reranker=kept, fetch_k=2)
    assert Qwen3SGLangRetriever(base_retriever=WithK(), reranker=kept, fetch_k=2, top_n=2).top_n == 2
    assert Qwen3SGLangRetriever(base_retriever=WithK(), fetch_k=1).fetch_k == 1
