"""One call's own limits and instruction, prompts, progress, cancelling; sync and async by the same tests.

Tests of `rerank.py`, `query.py`, `progress.py`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from llama_index.core.callbacks.schema import CBEventType
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.instrumentation.span import SimpleSpan
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from llama_index_qwen3_sglang import Qwen3SGLangRerank, RerankQueryBundle
from option_values import OPTIONS
from qwen3_sglang import DEFAULT_INSTRUCTION
from qwen3_sglang.errors import InvalidInputError, UnknownOptionError

Call = Callable[..., Awaitable[list[NodeWithScore]]]


async def _rerank(reranker: Qwen3SGLangRerank, *args: Any, **options: Any) -> list[NodeWithScore]:
    try:
        return reranker.rerank(*args, **options)
    finally:
        reranker.close()


async def _arerank(reranker: Qwen3SGLangRerank, *args: Any, **options: Any) -> list[NodeWithScore]:
    try:
        return await reranker.arerank(*args, **options)
    finally:
        await reranker.aclose()


@pytest.fixture(params=[_rerank, _arerank], ids=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    return request.param  # type: ignore[no-any-return]


def _nodes() -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=f"p={p}", id_=p), score=0.5) for p in ("0.2", "0.9", "0.6")]


class Found(BaseRetriever):
    """Any retriever."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return _nodes()


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, ["0.9", "0.6"]),
        ({"top_n": 1}, ["0.9"]),
        ({"top_n": None}, ["0.9", "0.6"]),
        ({"min_score": 0.7}, ["0.9"]),
        ({"top_n": None, "min_score": None}, ["0.9", "0.6", "0.2"]),
    ],
)
async def test_limits_of_one_call(server: Any, call: Call, options: dict[str, Any], kept: list[str]) -> None:
    """None is a value too; what isn't given is the field's; the field stays."""
    reranker = Qwen3SGLangRerank(base_url=server.url, top_n=2, min_score=0.4)
    assert [scored.node_id for scored in await call(reranker, "q", _nodes(), **options)] == kept
    assert (reranker.top_n, reranker.min_score) == (2, 0.4)


@pytest.mark.parametrize("options", [{"top_n": 0}, {"min_score": 2}, {"instruction": " "}])
async def test_unusable_wishes_are_refused(call: Call, options: dict[str, Any]) -> None:
    [name] = options
    with pytest.raises(InvalidInputError, match=name):
        await call(Qwen3SGLangRerank(), "q", _nodes(), **options)


@pytest.mark.parametrize("query", ["q", QueryBundle("q"), RerankQueryBundle("q", instruction="the query's")])
@pytest.mark.parametrize("field", [None, "the field's"])
@pytest.mark.parametrize("own", [{}, {"instruction": None}, {"instruction": "the call's"}])
async def test_instruction_of_one_call(
    server: Any, call: Call, query: str | QueryBundle, field: str | None, own: dict[str, str | None]
) -> None:
    """The call's, else the query's, else the field's, else Qwen's."""
    brought = query.instruction if isinstance(query, RerankQueryBundle) else None
    expected = own["instruction"] if own else brought or field
    await call(Qwen3SGLangRerank(base_url=server.url, instruction=field), query, _nodes()[:1], **own)
    assert f"<Instruct>: {expected or DEFAULT_INSTRUCTION}\n" in server.prompts[0]


@pytest.mark.parametrize("blocking", [True, False], ids=["sync", "async"])
async def test_instruction_through_a_query_engine(server: Any, blocking: bool) -> None:
    """One engine, two tasks; retriever and language model take the bundle as any other."""
    reranker = Qwen3SGLangRerank(base_url=server.url, top_n=1)
    engine = RetrieverQueryEngine.from_args(Found(), llm=MockLLM(), node_postprocessors=[reranker])
    query = RerankQueryBundle("q", instruction="Find recipes")
    response = engine.query(query) if blocking else await engine.aquery(query)
    assert [scored.node_id for scored in response.source_nodes] == ["0.9"]
    assert all("<Instruct>: Find recipes\n<Query>: q\n" in prompt for prompt in server.prompts)
    engine.query("q")
    assert f"<Instruct>: {DEFAULT_INSTRUCTION}\n" in server.prompts[-1]
    await reranker.aclose()


async def test_instruction_may_change_between_calls(server: Any, call: Call) -> None:
    """It goes along with every call, so the client needn't be built anew."""
    reranker = Qwen3SGLangRerank(base_url=server.url)
    for reranker.instruction in ("Find recipes", None):
        await call(reranker, "q", _nodes()[:1])
        assert f"<Instruct>: {reranker.instruction or DEFAULT_INSTRUCTION}\n" in server.prompts[-1]


async def test_nodes_strings_and_mappings(server: Any, call: Call) -> None:
    """Beside scored nodes; what a mapping has beside text and id is metadata."""
    mapping = {"text": "p=0.8", "id": 7, "source": "a.txt"}
    given = [TextNode(text="p=0.1", id_="node"), "p=0.3", mapping, *_nodes()[:1]]
    ranked = await call(Qwen3SGLangRerank(base_url=server.url, metadata_mode="none"), "q", iter(given))
    assert [scored.text for scored in ranked] == ["p=0.8", "p=0.3", "p=0.2", "p=0.1"]
    assert (ranked[0].node_id, ranked[0].metadata, ranked[3].node_id) == ("7", {"source": "a.txt"}, "node")
    assert mapping == {"text": "p=0.8", "id": 7, "source": "a.txt"}


@pytest.mark.parametrize("item", [7, None, {"body": "p=0.1"}, {"text": 7}])
async def test_only_what_has_a_text_is_taken(call: Call, item: Any) -> None:
    """The message says which, and where a mapping may have its text."""
    with pytest.raises(InvalidInputError, match=r"nodes\[3\].*page_content or text or content"):
        await call(Qwen3SGLangRerank(), "q", [*_nodes(), item])


@pytest.mark.parametrize(("foreign", "ours"), [("top_k", "top_n"), ("threshold", "min_score"), ("docs", "nodes")])
async def test_another_librarys_word(call: Call, foreign: str, ours: str) -> None:
    """Names the right one."""
    with pytest.raises(UnknownOptionError, match=f"unknown option {foreign}: it is called {ours} here"):
        await call(Qwen3SGLangRerank(), "q", _nodes(), **{foreign: 1})
    with pytest.raises(UnknownOptionError, match=r"model_name: pass model to Qwen3SGLangRerank\(...\)"):
        await call(Qwen3SGLangRerank(), "q", _nodes(), model_name="m")


@pytest.mark.parametrize("show", [True, False])
async def test_progress(server: Any, call: Call, capsys: pytest.CaptureFixture[str], show: bool) -> None:
    """A bar on stderr, as LlamaIndex's own; each distinct text counts once."""
    reranker = Qwen3SGLangRerank(base_url=server.url, batch_size=1, show_progress=show)
    assert len(await call(reranker, "q", [*_nodes(), *_nodes()])) == 6
    printed = capsys.readouterr()
    assert ("Reranking" in printed.err) is show
    assert ("3/3" in printed.err) is show
    assert printed.out == ""


async def test_nothing_to_show(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert await call(Qwen3SGLangRerank(show_progress=True), "q", []) == []
    assert "0node" in capsys.readouterr().err


def test_a_path_is_serialized() -> None:
    """to_json can't write a Path by itself."""
    reranker = Qwen3SGLangRerank(tokenizer=Path("/models/reranker"))
    assert Qwen3SGLangRerank.from_json(reranker.to_json()).tokenizer == "/models/reranker"


SECRETS = {"api_key", "headers"}  # a stored pipeline holds none


def test_every_field_comes_back() -> None:
    """from_dict is given all that to_dict wrote."""
    values: dict[str, Any] = {
        **{name: value for name, (value, _) in OPTIONS.items() if name not in SECRETS},
        "metadata_mode": "llm",
        "keep_retrieval_score": True,
        "show_progress": True,
    }
    written = Qwen3SGLangRerank(**values, api_key="sk-made-up").to_dict()
    assert written == values | {"class_name": "Qwen3SGLangRerank"}
    unlisted = set(Qwen3SGLangRerank.model_fields) - set(values) - SECRETS - {"callback_manager"}
    assert not unlisted, "add it above: it must come back too"
    assert Qwen3SGLangRerank.from_dict(written).to_dict() == written


class Events(BaseEventHandler):
    seen: list[Any] = []  # noqa: RUF012 - pydantic copies it for every instance

    def handle(self, event: Any, **kwargs: Any) -> None:
        if isinstance(event, ReRankStartEvent | ReRankEndEvent):
            self.seen.append(event)


class Spans(SimpleSpanHandler):
    """Names of the spans that ended well and badly."""

    def names(self) -> tuple[list[str], list[str]]:
        def short(spans: list[SimpleSpan]) -> list[str]:
            return [span.id_.partition("-")[0].partition(".")[2] for span in spans if "Rerank." in span.id_]

        return short(self.completed_spans), short(self.dropped_spans)


@pytest.fixture
def watched() -> Any:
    root, events, spans = get_dispatcher(), Events(), Spans()
    root.add_event_handler(events)
    root.add_span_handler(spans)
    yield events.seen, spans
    root.event_handlers.remove(events)
    root.span_handlers.remove(spans)


@pytest.mark.parametrize("works", [True, False])
async def test_spans_and_events(server: Any, nobody: str, call: Call, watched: Any, works: bool) -> None:
    """One span a call, sync and async; it ends, and so does the event, when the call fails."""
    events, spans = watched
    debug = LlamaDebugHandler(print_trace_on_end=False)
    reranker = Qwen3SGLangRerank(base_url=server.url if works else nobody, callback_manager=CallbackManager([debug]))
    if works:
        await call(reranker, "q", _nodes(), top_n=1)
    else:
        with pytest.raises(Exception, match=nobody):
            await call(reranker, "q", _nodes(), top_n=1)
    done, dropped = spans.names()
    assert (done if works else dropped) == ["rerank" if call is _rerank else "arerank"]
    assert not (dropped if works else done)
    start, end = events
    assert (start.top_n, start.query, len(end.nodes)) == (1, "q", 1 if works else 0)
    assert {start.span_id, end.span_id} == {start.span_id}
    assert len(debug.get_event_pairs(CBEventType.RERANKING)) == 1


async def test_base_methods_have_a_span_each(server: Any, watched: Any) -> None:
    """The base class gives one to the sync method alone."""
    reranker = Qwen3SGLangRerank(base_url=server.url)
    reranker.postprocess_nodes(_nodes(), query_str="q")
    await reranker.apostprocess_nodes(_nodes(), query_str="q")
    assert watched[1].names()[0] == ["_postprocess_nodes", "_apostprocess_nodes"]
    await reranker.aclose()


class Hanging:
    """In the place of the fake server's barrier: says when a request has come, and holds it."""

    def __init__(self) -> None:
        self.loop, self.came, self.go = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def wait(self, timeout: float) -> None:
        self.loop.call_soon_threadsafe(self.came.set)
        self.go.wait(timeout)


async def test_a_cancelled_call_ends_its_event(server: Any, watched: Any) -> None:
    server.barrier = hanging = Hanging()
    reranker = Qwen3SGLangRerank(base_url=server.url)
    task = asyncio.create_task(reranker.arerank("q", _nodes()))
    await hanging.came.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    hanging.go.set()
    events, _ = watched
    assert [type(event) for event in events] == [ReRankStartEvent, ReRankEndEvent]
    await reranker.aclose()
