"""The reranker in LlamaIndex's own engines: a real index, a real server; only the language model is a mock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import NodeWithScore
from llama_index.core.tools import RetrieverTool
from llama_index.core.workflow import Event, StartEvent, StopEvent, Workflow, step

from llama_index_qwen3_sglang import Qwen3SGLangRerank
from word_index import PASSAGES, QUESTION, word_index

TOP_K = len(PASSAGES)


@pytest.fixture
def index() -> VectorStoreIndex:
    return word_index()


@pytest.fixture
async def reranker(toy_url: str) -> AsyncIterator[Qwen3SGLangRerank]:
    made = Qwen3SGLangRerank(base_url=toy_url, top_n=2)
    yield made
    await made.aclose()


def _check(nodes: list[NodeWithScore]) -> None:
    """The answer first although the index found another passage first; scores are P(yes)."""
    assert [scored.node_id for scored in nodes] == ["beijing", "tea"]
    assert nodes[0].get_score() > 0.5 > nodes[1].get_score()


def test_the_index_alone_finds_another(index: VectorStoreIndex) -> None:
    """What makes the tests below mean something."""
    assert index.as_retriever(similarity_top_k=1).retrieve(QUESTION)[0].node_id == "lot"


async def _query(engine: Any) -> Any:
    return engine.query(QUESTION)


async def _aquery(engine: Any) -> Any:
    return await engine.aquery(QUESTION)


@pytest.fixture(params=[_query, _aquery], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Callable[[Any], Awaitable[Any]]:
    return request.param  # type: ignore[no-any-return]


async def test_query_engine(index: VectorStoreIndex, reranker: Qwen3SGLangRerank, ask: Any) -> None:
    """The language model reads what was kept, best first, and nothing else."""
    engine = index.as_query_engine(similarity_top_k=TOP_K, node_postprocessors=[reranker], llm=MockLLM())
    response = await ask(engine)
    _check(response.source_nodes)
    read = str(response)  # MockLLM answers with its prompt
    assert read.index(PASSAGES["beijing"]) < read.index(PASSAGES["tea"])
    assert PASSAGES["gravity"] not in read


async def test_streaming_query_engine(index: VectorStoreIndex, reranker: Qwen3SGLangRerank, ask: Any) -> None:
    """Sources are there before the first token is."""
    engine = index.as_query_engine(
        similarity_top_k=TOP_K, node_postprocessors=[reranker], llm=MockLLM(), streaming=True
    )
    response = await ask(engine)
    _check(response.source_nodes)
    tokens = list(response.response_gen) if ask is _query else [token async for token in response.async_response_gen()]
    assert PASSAGES["beijing"] in "".join(tokens)


async def test_retriever_query_engine(index: VectorStoreIndex, reranker: Qwen3SGLangRerank, ask: Any) -> None:
    """The engine built by hand."""
    retriever = index.as_retriever(similarity_top_k=TOP_K)
    engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM(), node_postprocessors=[reranker])
    _check((await ask(engine)).source_nodes)


class Spans(SimpleSpanHandler):
    """Keeps what ended."""


@pytest.fixture
def spans() -> Iterator[Spans]:
    root, handler = get_dispatcher(), Spans()
    root.add_span_handler(handler)
    yield handler
    root.span_handlers.remove(handler)


async def test_it_is_seen_inside_the_query(
    index: VectorStoreIndex, reranker: Qwen3SGLangRerank, ask: Any, spans: Spans
) -> None:
    """The engine's callback manager gets the event, and the span lies within the query's."""
    debug = LlamaDebugHandler(print_trace_on_end=False)
    engine = RetrieverQueryEngine.from_args(
        index.as_retriever(similarity_top_k=TOP_K),
        llm=MockLLM(),
        node_postprocessors=[reranker],
        callback_manager=CallbackManager([debug]),
    )
    await ask(engine)
    [(start, end)] = debug.get_event_pairs(CBEventType.RERANKING)
    assert (start.payload or {})[EventPayload.QUERY_STR] == QUESTION
    _check((end.payload or {})[EventPayload.NODES])
    [span] = [span for span in spans.completed_spans if span.id_.startswith("Qwen3SGLangRerank.")]
    assert (span.parent_id or "").startswith(f"RetrieverQueryEngine.{'_query' if ask is _query else '_aquery'}-")


async def _chat(engine: Any) -> Any:
    return engine.chat(QUESTION)


async def _achat(engine: Any) -> Any:
    return await engine.achat(QUESTION)


async def _stream_chat(engine: Any) -> Any:
    response = engine.stream_chat(QUESTION)
    list(response.response_gen)
    return response


async def _astream_chat(engine: Any) -> Any:
    response = await engine.astream_chat(QUESTION)
    async for _ in response.async_response_gen():
        pass
    return response


@pytest.mark.parametrize("chat", [_chat, _achat, _stream_chat, _astream_chat])
@pytest.mark.parametrize("mode", ["context", "condense_plus_context"])
async def test_chat_engine(index: VectorStoreIndex, reranker: Qwen3SGLangRerank, chat: Any, mode: str) -> None:
    """Sync, async and streamed, in both modes that retrieve."""
    engine: Any = index.as_chat_engine(
        chat_mode=mode,
        similarity_top_k=TOP_K,
        node_postprocessors=[reranker],
        llm=MockLLM(max_tokens=5),
        memory=ChatMemoryBuffer.from_defaults(),  # the default one's sqlite thread outlives the test's event loop
    )
    _check((await chat(engine)).source_nodes)


async def test_fusion_retriever(index: VectorStoreIndex, reranker: Qwen3SGLangRerank, ask: Any) -> None:
    """Two retrievers fused, then reranked; fusion scores make way for P(yes)."""
    fused = QueryFusionRetriever(
        [index.as_retriever(similarity_top_k=TOP_K), index.as_retriever(similarity_top_k=2)],
        llm=MockLLM(),
        mode="reciprocal_rerank",  # type: ignore[arg-type] # as LlamaIndex's own pages write it
        similarity_top_k=TOP_K,
        num_queries=1,  # no queries of the model's making
        use_async=False,
    )
    engine = RetrieverQueryEngine.from_args(fused, llm=MockLLM(), node_postprocessors=[reranker])
    _check((await ask(engine)).source_nodes)


async def test_retriever_tool(index: VectorStoreIndex, reranker: Qwen3SGLangRerank) -> None:
    """What an agent calls."""
    tool = RetrieverTool.from_defaults(index.as_retriever(similarity_top_k=TOP_K), node_postprocessors=[reranker])
    for output in (tool.call(QUESTION), await tool.acall(QUESTION)):
        _check(output.raw_output)
        assert output.content.index(PASSAGES["beijing"]) < output.content.index(PASSAGES["tea"])


class Found(Event):
    """What the first step of the workflow hands to the second."""

    nodes: list[NodeWithScore]
    query: str


class Search(Workflow):
    """Retrieve, then rerank, as steps."""

    def __init__(self, index: VectorStoreIndex, reranker: Qwen3SGLangRerank) -> None:
        super().__init__()
        self._retriever, self._reranker = index.as_retriever(similarity_top_k=TOP_K), reranker

    @step
    async def retrieve(self, event: StartEvent) -> Found:
        return Found(nodes=await self._retriever.aretrieve(event.query), query=event.query)

    @step
    async def rerank(self, event: Found) -> StopEvent:
        return StopEvent(result=await self._reranker.arerank(event.query, event.nodes))


async def test_workflow(index: VectorStoreIndex, reranker: Qwen3SGLangRerank) -> None:
    """A reranking step of a workflow."""
    _check(await Search(index, reranker).run(query=QUESTION))
