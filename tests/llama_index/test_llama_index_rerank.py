"""Every case runs on both paths, over a real socket."""

from __future__ import annotations

import copy
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers.no_text import NoText
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import ImageNode, MetadataMode, NodeWithScore, QueryBundle, TextNode

from llama_index_qwen3_sglang import Qwen3SGLangRerank
from qwen3_sglang.errors import InvalidInputError, ServerUnreachableError, UnknownOptionError

KEY = "sk-made-up-0123456789"
Call = Callable[..., Awaitable[list[NodeWithScore]]]


async def _sync(reranker: Qwen3SGLangRerank, nodes: list[NodeWithScore], query: str | None) -> Any:
    try:
        return reranker.postprocess_nodes(nodes, query_str=query)
    finally:
        reranker.close()


async def _async(reranker: Qwen3SGLangRerank, nodes: list[NodeWithScore], query: str | None) -> Any:
    try:
        return await reranker.apostprocess_nodes(nodes, query_str=query)
    finally:
        await reranker.aclose()


@pytest.fixture(params=[_sync, _async], ids=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Any:
    return request.param


class Events(BaseEventHandler):
    seen: list[Any] = []  # noqa: RUF012 - pydantic copies it for every instance

    def handle(self, event: Any, **kwargs: Any) -> None:
        if isinstance(event, ReRankStartEvent | ReRankEndEvent | ExceptionEvent):
            self.seen.append(event)


@pytest.fixture
def events() -> Iterator[list[Any]]:
    root, handler = get_dispatcher(), Events()
    root.add_event_handler(handler)
    yield handler.seen
    root.event_handlers.remove(handler)


class Callbacks(BaseCallbackHandler):
    def __init__(self) -> None:
        super().__init__([], [])
        self.seen: list[tuple[str, dict[Any, Any]]] = []

    def on_event_start(self, event_type: Any, payload: Any = None, *args: Any, **kwargs: Any) -> str:
        if event_type == CBEventType.RERANKING:
            self.seen.append(("start", payload))
        return ""

    def on_event_end(self, event_type: Any, payload: Any = None, *args: Any, **kwargs: Any) -> None:
        if event_type == CBEventType.RERANKING:
            self.seen.append(("end", payload))

    def start_trace(self, trace_id: str | None = None) -> None: ...

    def end_trace(self, trace_id: str | None = None, trace_map: Any = None) -> None: ...


class Found(BaseRetriever):
    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return _nodes()


def _nodes() -> list[NodeWithScore]:
    return [
        NodeWithScore(node=TextNode(text="low p=0.1", id_="a", metadata={"source": "a.txt"}), score=0.7),
        NodeWithScore(node=ImageNode(text="high p=0.9", id_="b", metadata={"source": "b.txt"}), score=0.6),
        NodeWithScore(node=TextNode(text="mid p=0.5", id_="c"), score=None),
    ]


def _ids(nodes: Sequence[NodeWithScore]) -> list[str]:
    return [scored.node.node_id for scored in nodes]


async def test_nodes_are_untouched_where_their_score_is_kept(server: Any, call: Call) -> None:
    nodes = _nodes()
    before = copy.deepcopy(nodes)
    ranked = await call(Qwen3SGLangRerank(base_url=server.url, keep_retrieval_score=True), nodes, "q")
    assert nodes == before
    assert isinstance(ranked[0].node, ImageNode)
    assert ranked[0].node.metadata["source"] == "b.txt"


async def test_retrieval_score_is_kept_but_not_read_by_models(server: Any, call: Call) -> None:
    reranker = Qwen3SGLangRerank(base_url=server.url, keep_retrieval_score=True)
    best, unscored, _ = await call(reranker, _nodes(), "q")
    assert best.node.metadata["retrieval_score"] == 0.6
    assert "retrieval_score" not in unscored.node.metadata
    for mode in (MetadataMode.EMBED, MetadataMode.LLM):
        assert "retrieval_score" not in best.node.get_content(metadata_mode=mode)
    again = (await call(reranker, [best], "q"))[0].node
    assert again.metadata["retrieval_score"] == pytest.approx(0.9)
    assert again.excluded_llm_metadata_keys == ["retrieval_score"]


async def test_the_mark_of_a_cut_node_is_hidden_from_both_models(server: Any, call: Call) -> None:
    nodes = [NodeWithScore(node=TextNode(text="p=0.7" + " word" * 900))]
    [cut] = await call(Qwen3SGLangRerank(base_url=server.url, max_length=700), nodes, "q")
    assert cut.node.metadata == {"rerank_truncated": True}
    for mode in (MetadataMode.EMBED, MetadataMode.LLM):
        assert "truncated" not in cut.node.get_content(metadata_mode=mode)


@pytest.mark.parametrize(("mode", "read"), [(MetadataMode.EMBED, True), (MetadataMode.NONE, False)])
async def test_metadata_mode(server: Any, call: Call, mode: MetadataMode, read: bool) -> None:
    await call(Qwen3SGLangRerank(base_url=server.url, metadata_mode=mode), _nodes()[:1], "q")
    assert ("source: a.txt" in server.prompts[0]) is read


async def test_nothing_to_rank_asks_nothing(server: Any, call: Call, events: list[Any]) -> None:
    callbacks = Callbacks()
    reranker = Qwen3SGLangRerank(base_url=server.url, callback_manager=CallbackManager([callbacks]))
    assert await call(reranker, [], "q") == []
    assert server.asked == []
    assert [type(event) for event in events] == [ReRankStartEvent, ReRankEndEvent]
    assert [what for what, _ in callbacks.seen] == ["start", "end"]


async def test_a_query_is_needed(call: Call) -> None:
    with pytest.raises(InvalidInputError, match="query"):
        await call(Qwen3SGLangRerank(), _nodes(), None)


@pytest.mark.parametrize(
    ("foreign", "said"),
    [
        ("top_n", r"pass top_n to rerank\(query, nodes, ...\)"),
        ("top_k", r"pass top_n to rerank\(query, nodes, ...\)"),
        ("query", "it is called query_str here"),
    ],
)
@pytest.mark.parametrize("way", ["sync", "async"])
async def test_a_keyword_that_the_framework_lacks(way: str, foreign: str, said: str) -> None:
    reranker: Any = Qwen3SGLangRerank()

    async def call(**given: Any) -> Any:
        if way == "sync":
            return reranker.postprocess_nodes(_nodes(), **given)
        return await reranker.apostprocess_nodes(_nodes(), **given)

    with pytest.raises(UnknownOptionError, match=f"unknown option {foreign}: {said}"):
        await call(**{foreign: 3})


async def test_server_down_is_raised_and_seen(nobody: str, call: Call, events: list[Any]) -> None:
    callbacks = Callbacks()
    reranker = Qwen3SGLangRerank(base_url=nobody, timeout=5.0, callback_manager=CallbackManager([callbacks]))
    with pytest.raises(ServerUnreachableError) as caught:
        await call(reranker, _nodes(), "q")
    assert [type(event) for event in events] == [ReRankStartEvent, ExceptionEvent, ReRankEndEvent]
    assert events[1].exception is caught.value
    assert events[2].nodes == []
    assert callbacks.seen[-1] == ("end", {EventPayload.EXCEPTION: caught.value})
    assert len(callbacks.seen) == 2


@pytest.mark.parametrize("model", [None, "toy"])
async def test_events(server: Any, call: Call, events: list[Any], model: str | None) -> None:
    callbacks = Callbacks()
    reranker = Qwen3SGLangRerank(
        base_url=server.url, model=model, top_n=2, callback_manager=CallbackManager([callbacks])
    )
    ranked = await call(reranker, _nodes(), "q")
    start, end = events
    assert (start.query, start.top_n, len(start.nodes)) == ("q", 2, 3)
    assert start.model_name == (model or "Qwen3-Reranker")
    assert end.nodes == ranked
    (_, opened), (_, closed) = callbacks.seen
    assert (opened[EventPayload.QUERY_STR], opened[EventPayload.TOP_K]) == ("q", 2)
    assert closed == {EventPayload.NODES: ranked, EventPayload.MODEL_NAME: "toy"}
    method = "_postprocess_nodes" if call is _sync else "_apostprocess_nodes"
    assert {event.span_id.split("-")[0] for event in events} == {f"Qwen3SGLangRerank.{method}"}


async def test_query_engine(server: Any, call: Call) -> None:
    reranker = Qwen3SGLangRerank(base_url=server.url, top_n=2)
    engine = RetrieverQueryEngine.from_args(
        Found(), llm=MockLLM(), response_synthesizer=NoText(llm=MockLLM()), node_postprocessors=[reranker]
    )
    response = engine.query("q") if call is _sync else await engine.aquery("q")
    assert _ids(response.source_nodes) == ["b", "c"]
    await reranker.aclose()


def test_serialized_and_back() -> None:
    options: dict[str, Any] = {"top_n": 3, "min_score": 0.2, "metadata_mode": MetadataMode.LLM, "model": "m"}
    reranker = Qwen3SGLangRerank(base_url="http://gpu:30000", api_key=KEY, instruction="i", **options)
    assert "api_key" not in json.loads(reranker.to_json())
    assert reranker.to_dict()["class_name"] == Qwen3SGLangRerank.class_name() == "Qwen3SGLangRerank"
    for other in (
        Qwen3SGLangRerank.from_json(reranker.to_json()),
        Qwen3SGLangRerank.from_dict(reranker.to_dict()),
    ):
        assert other.to_dict() == reranker.to_dict()
        assert other.api_key is None
        assert other.metadata_mode is MetadataMode.LLM
