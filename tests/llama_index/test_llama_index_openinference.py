"""What OpenInference (Phoenix, Arize, Langfuse by OpenTelemetry) shows of the reranker; sync and async."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers.no_text import NoText
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from llama_index_qwen3_sglang import Qwen3SGLangRerank
from qwen3_sglang.errors import AuthenticationError

pytest.importorskip("openinference.instrumentation.llama_index")

from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from opentelemetry.trace import StatusCode

from spans import Spans, named, parents, traced, written

KEY = "sk-made-up-0123456789"


class Found(BaseRetriever):
    """Finds three nodes, whatever is asked."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [
            NodeWithScore(node=TextNode(text=f"text p=0.{p}", id_=name), score=0.3)
            for name, p in (("a", 1), ("b", 9), ("c", 5))
        ]


async def ask(way: str, engine: RetrieverQueryEngine) -> Any:
    """One question."""
    return engine.query("what") if way == "sync" else await engine.aquery("what")


def engine_of(reranker: Qwen3SGLangRerank) -> RetrieverQueryEngine:
    """An engine with that reranker."""
    llm = MockLLM()
    return RetrieverQueryEngine.from_args(
        Found(), llm=llm, response_synthesizer=NoText(llm=llm), node_postprocessors=[reranker]
    )


def rows(shown: dict[str, Any], side: str) -> list[tuple[str, str, float]]:
    """(id, text, score) of the documents on one side of the reranker."""
    found = []
    while (start := f"reranker.{side}_documents.{len(found)}.document") + ".id" in shown:
        found.append((shown[f"{start}.id"], shown[f"{start}.content"], shown[f"{start}.score"]))
    return found


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_a_reranker(server: Any, way: str) -> None:
    """A span of kind RERANKER inside the query's: what came in, what was kept, and both scores."""
    reranker = Qwen3SGLangRerank(base_url=server.url, api_key=KEY, top_n=2)
    with traced(LlamaIndexInstrumentor()) as spans:
        await ask(way, engine_of(reranker))
        await reranker.aclose()
        found = spans.taken()
    method = "_postprocess_nodes" if way == "sync" else "_apostprocess_nodes"
    name, parent = f"Qwen3SGLangRerank.{method}", f"RetrieverQueryEngine.{'_query' if way == 'sync' else '_aquery'}"
    assert (name, parent) in parents(found)
    shown = named(found, name)
    assert (shown["openinference.span.kind"], shown["reranker.query"], shown["reranker.top_k"]) == (
        "RERANKER",
        "what",
        2,
    )
    assert rows(shown, "input") == [("a", "text p=0.1", 0.3), ("b", "text p=0.9", 0.3), ("c", "text p=0.5", 0.3)]
    assert rows(shown, "output") == [("b", "text p=0.9", 0.9), ("c", "text p=0.5", 0.5)]
    assert KEY not in written(found)


async def models(spans: Spans, reranker: Qwen3SGLangRerank, way: str) -> list[str]:
    """The models that two calls name."""
    for _ in range(2):
        await ask(way, engine_of(reranker))
    await reranker.aclose()
    return [
        str((span.attributes or {})["reranker.model_name"])
        for span in spans.taken()
        if span.name.startswith("Qwen3SGLangRerank.")
    ]


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_the_model(server: Any, way: str) -> None:
    """The served model's name once it is known: from the start where `model` is given, else after the first call."""
    with traced(LlamaIndexInstrumentor()) as spans:
        assert await models(spans, Qwen3SGLangRerank(base_url=server.url), way) == ["Qwen3-Reranker", "toy"]
        assert await models(spans, Qwen3SGLangRerank(base_url=server.url, model="toy"), way) == ["toy", "toy"]


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_a_failure(server: Any, way: str) -> None:
    """The span's status, and the error as an event; no key, although the server repeats it."""
    server.fault = 401, {"error": f"Unauthorized: {KEY}"}
    reranker = Qwen3SGLangRerank(base_url=server.url, api_key=KEY)
    with traced(LlamaIndexInstrumentor()) as spans:
        with pytest.raises(AuthenticationError):
            await ask(way, engine_of(reranker))
        await reranker.aclose()
        found = spans.taken()
    [span] = [span for span in found if span.name.startswith("Qwen3SGLangRerank.")]
    assert span.status.status_code is StatusCode.ERROR
    assert [(event.attributes or {})["exception.type"] for event in span.events] == [
        "qwen3_sglang.errors.AuthenticationError"
    ]
    assert KEY not in written(found)
