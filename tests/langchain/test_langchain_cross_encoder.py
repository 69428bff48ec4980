"""Scores of pairs, as LangChain's cross encoders give them."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from chain_parts import Found, Go, ids
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import CrossEncoderReranker
from pydantic import ValidationError

from fake_server import FakeServer
from langchain_qwen3_sglang import Qwen3SGLangCrossEncoder, Qwen3SGLangRerank
from qwen3_sglang.connection import Connection
from qwen3_sglang.errors import AuthenticationError, InvalidInputError, UnknownOptionError

PAIRS = [("one", "p=0.1"), ("two", "p=0.1"), ("one", "p=0.9"), ("one", "p=0.1")]


async def test_scores_in_order(server: FakeServer, go: Go) -> None:
    """Several queries in one list, each distinct pair once, with the encoder's instruction."""
    encoder = Qwen3SGLangCrossEncoder(base_url=server.url, instruction="Find the law")
    assert await go(encoder, "score", PAIRS) == [0.1, 0.1, 0.9, 0.1]
    assert await go(encoder, "score", []) == []
    assert [path for path, _ in server.asked] == ["/v1/models", "/v1/classify"]
    assert len(server.prompts) == 3
    assert all("Find the law" in prompt for prompt in server.prompts)
    await encoder.aclose()


async def test_in_cross_encoder_reranker(server: FakeServer, go: Go) -> None:
    """Which is what it is for."""
    reranker = CrossEncoderReranker(model=Qwen3SGLangCrossEncoder(base_url=server.url), top_n=2)
    retriever = ContextualCompressionRetriever(base_compressor=reranker, base_retriever=Found())
    assert ids(await go(retriever, "invoke", "q")) == "bc"


async def test_errors(server: FakeServer, go: Go) -> None:
    """The core's own."""
    encoder = Qwen3SGLangCrossEncoder(base_url=server.url)
    with pytest.raises(InvalidInputError, match=r"pairs\[1\]"):
        await go(encoder, "score", [("q", "d"), ("", "d")])
    server.fault = 401, {"error": "Unauthorized"}
    with pytest.raises(AuthenticationError):
        await go(encoder, "score", PAIRS)
    await encoder.aclose()


def test_settings_are_the_rerankers() -> None:
    """All of a connection's, checked alike, and the key never shown."""
    assert set(Qwen3SGLangCrossEncoder.model_fields) == set(Connection.model_fields)
    assert set(Connection.model_fields) < set(Qwen3SGLangRerank.model_fields)
    with pytest.raises(InvalidInputError, match="base_url"):
        Qwen3SGLangCrossEncoder(base_url="nonsense")
    wrong: Any = {"topn": 3, "api_key": "sk-made-up"}
    with pytest.raises(ValidationError) as caught:
        Qwen3SGLangCrossEncoder(**wrong)
    assert "sk-made-up" not in str(caught.value)
    encoder = Qwen3SGLangCrossEncoder(api_key="sk-made-up", timeout=9.0)
    for copied in (copy.copy(encoder), copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):  # noqa: S301 - its own
        assert copied.timeout == 9.0
    assert "sk-made-up" not in repr(encoder)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"top_k": 3}, "top_k: pass top_n to CrossEncoderReranker"),
        ({"document_prompt": 1}, "document_prompt: pass document_prompt to Qwen3SGLangRerank, which takes documents"),
        ({"model_name": "m"}, "model_name: it is called model here"),
    ],
)
def test_unknown_options(given: dict[str, Any], said: str) -> None:
    """The message says what takes them."""
    with pytest.raises(ValidationError, match=f"unknown option {said}"):
        Qwen3SGLangCrossEncoder(**given)


async def test_unknown_arguments(go: Go) -> None:
    """Of a call."""
    with pytest.raises(UnknownOptionError, match="instruct: pass instruction to Qwen3SGLangCrossEncoder"):
        await go(Qwen3SGLangCrossEncoder(), "score", [("q", "d")], instruct="x")
    with pytest.raises(UnknownOptionError, match="sentences: it is called text_pairs here"):
        await go(Qwen3SGLangCrossEncoder(), "score", sentences=[("q", "d")])
