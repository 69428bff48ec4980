"""What OpenInference (Phoenix, Arize, Langfuse by OpenTelemetry) shows of the reranker; sync and async."""

from __future__ import annotations

import json
from typing import Any

import pytest
from chain_parts import Found, Go
from langchain_classic.retrievers import ContextualCompressionRetriever

from fake_server import FakeServer
from langchain_qwen3_sglang import Qwen3SGLangRerank, Qwen3SGLangRetriever
from qwen3_sglang.errors import AuthenticationError

pytest.importorskip("openinference.instrumentation.langchain")

from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.trace import StatusCode

from spans import named, parents, traced, written

KEY = "sk-made-up-0123456789"


@pytest.mark.parametrize("ours", [True, False], ids=["Qwen3SGLangRetriever", "ContextualCompressionRetriever"])
async def test_a_reranker_is_a_retriever(server: FakeServer, go: Go, ours: bool) -> None:
    """A span of kind RETRIEVER beside the first stage's; documents in their new order, with their scores."""
    rerank = Qwen3SGLangRerank(base_url=server.url, api_key=KEY, top_n=2)
    retriever: Any = (
        Qwen3SGLangRetriever(base_retriever=Found(), reranker=rerank)
        if ours
        else ContextualCompressionRetriever(base_compressor=rerank, base_retriever=Found())
    )
    with traced(LangChainInstrumentor()) as spans:
        await go(retriever, "invoke", "what")
        await rerank.aclose()
        found = spans.taken()
    whole = type(retriever).__name__
    assert parents(found) == [("Found", whole), ("Qwen3SGLangRerank", whole), (whole, None)]
    shown = named(found, "Qwen3SGLangRerank")
    assert (shown["openinference.span.kind"], shown["input.value"]) == ("RETRIEVER", "what")
    documents = [
        (shown[f"retrieval.documents.{n}.document.content"], shown[f"retrieval.documents.{n}.document.metadata"])
        for n in range(2)
    ]
    assert documents == [("high p=0.9", '{"relevance_score": 0.9}'), ("mid p=0.5", '{"relevance_score": 0.5}')]
    assert "retrieval.documents.2.document.content" not in shown
    metadata = json.loads(shown["metadata"])
    asked = {name: metadata[f"rerank_{name}"] for name in ("model", "top_n", "input_ids", "received", "dropped")}
    assert asked == {"model": "toy", "top_n": 2, "input_ids": ["a", "b", "c"], "received": 3, "dropped": 1}
    assert metadata["ls_retriever_name"] == "qwen3sglangrerank"
    assert KEY not in written(found)


async def test_as_a_chain(server: FakeServer, go: Go) -> None:
    """With run_type="chain": JSON, as of any other step."""
    rerank = Qwen3SGLangRerank(base_url=server.url, run_type="chain")
    with traced(LangChainInstrumentor()) as spans:
        await go(rerank, "rerank", "what", [{"text": "p=0.5"}])
        await rerank.aclose()
        shown = named(spans.taken(), "Qwen3SGLangRerank")
    assert shown["openinference.span.kind"] == "CHAIN"
    assert json.loads(shown["output.value"])["scores"] == [0.5]
    assert not [name for name in shown if name.startswith("retrieval.documents")]


async def test_a_failure(server: FakeServer, go: Go) -> None:
    """The span's status, and the error as an event; no key, although the server repeats it."""
    server.fault = 401, {"error": f"Unauthorized: {KEY}"}
    rerank = Qwen3SGLangRerank(base_url=server.url, api_key=KEY)
    with traced(LangChainInstrumentor()) as spans:
        with pytest.raises(AuthenticationError):
            await go(rerank, "rerank", "what", [{"text": "p=0.5"}])
        await rerank.aclose()
        [span] = spans.taken()
    assert span.status.status_code is StatusCode.ERROR
    assert [(event.attributes or {})["exception.type"] for event in span.events] == [
        "qwen3_sglang.errors.AuthenticationError"
    ]
    assert KEY not in written([span])
