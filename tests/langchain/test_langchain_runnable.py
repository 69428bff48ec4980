"""The compressor as a Runnable: in chains, in batches, with settings of a call's own.

Tests of `rerank.py`, `configurable.py`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from chain_parts import Found, Go, documents, ids
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import DocumentCompressorPipeline
from langchain_core.documents import Document
from langchain_core.load import dumps, loads
from langchain_core.runnables import ConfigurableField, RunnableLambda, RunnablePassthrough
from langchain_core.runnables.configurable import RunnableConfigurableFields

from fake_server import FakeServer
from langchain_qwen3_sglang import Qwen3SGLangRerank
from qwen3_sglang.errors import AuthenticationError, InvalidInputError

KEY = "sk-made-up-0123456789"
FIELDS = {name: ConfigurableField(id=name) for name in ("top_n", "min_score", "instruction")}


def question(query: str = "q", found: list[Document] | None = None) -> Any:
    return {"query": query, "documents": documents() if found is None else found}


async def test_in_a_chain(server: FakeServer, go: Go) -> None:
    """Behind a retriever, in front of anything; a chain's other keys are let be."""
    rerank = Qwen3SGLangRerank(base_url=server.url, top_n=2)
    gathered: Any = {"documents": Found(), "query": RunnablePassthrough(), "language": RunnableLambda(lambda _: "en")}
    assert await go(gathered | rerank | RunnableLambda(ids), "invoke", "q") == "bc"
    assert [ids(found) for found in await go(gathered | rerank, "batch", ["q", "r"])] == ["bc", "bc"]
    await rerank.aclose()


@pytest.mark.parametrize("pipeline", [False, True])
async def test_compression_retriever(server: FakeServer, go: Go, pipeline: bool) -> None:
    """Alone, and as a stage of langchain-classic's pipeline."""
    rerank = Qwen3SGLangRerank(base_url=server.url, top_n=2)
    compressor: Any = DocumentCompressorPipeline(transformers=[rerank]) if pipeline else rerank
    retriever = ContextualCompressionRetriever(base_compressor=compressor, base_retriever=Found())
    assert ids(await go(retriever, "invoke", "q")) == "bc"
    await rerank.aclose()


@pytest.mark.parametrize(
    ("overrides", "kept"), [({"top_n": 1}, "b"), ({"top_n": None}, "bca"), ({"min_score": 0.6}, "b"), ({}, "bc")]
)
async def test_overrides(server: FakeServer, go: Go, overrides: dict[str, Any], kept: str) -> None:
    """As keyword arguments of a call, bound, and in a config."""
    rerank = Qwen3SGLangRerank(base_url=server.url, top_n=2)
    assert ids(await go(rerank, "rerank", "q", documents(), **overrides)) == kept
    assert ids(await go(rerank, "invoke", question(), **overrides)) == kept
    assert ids(await go(rerank.bind(**overrides), "invoke", question())) == kept
    configurable = rerank.configurable_fields(**FIELDS)
    assert ids(await go(configurable, "invoke", question(), {"configurable": overrides})) == kept
    assert ids(await go(configurable.with_config(configurable=overrides), "invoke", question())) == kept
    await rerank.aclose()


async def test_configured_calls_share_connections_and_model(server: FakeServer, go: Go) -> None:
    """LangChain makes a new reranker for each; the server is asked for its model once. Another server is another."""
    rerank = Qwen3SGLangRerank(base_url=server.url, cache_size=9)
    fields = FIELDS | {"batch_size": ConfigurableField(id="batch_size")}
    configurable = rerank.configurable_fields(**fields)
    for top_n in (1, 2, 3):
        assert len(await go(configurable, "invoke", question(), {"configurable": {"top_n": top_n}})) == top_n
    instructed = {"configurable": {"instruction": "Find the law"}}
    await go(configurable, "invoke", question(), instructed)
    assert [path for path, _ in server.asked] == ["/v1/models", "/v1/classify", "/v1/classify"]
    assert "Find the law" in server.prompts[-1]
    await go(configurable, "invoke", question(), {"configurable": {"batch_size": 1}})
    assert [path for path, _ in server.asked].count("/v1/models") == 2
    await rerank.aclose()


@pytest.mark.parametrize("configurable", [False, True])
async def test_batch_shares_lists(server: FakeServer, go: Go, configurable: bool) -> None:
    """Documents of several queries in one request; each query has its own ranking."""
    rerank: Any = Qwen3SGLangRerank(base_url=server.url)
    inputs = [question("one"), question("two", documents()[:2]), question("three", [])]
    config = {"configurable": {"top_n": 2}}
    if configurable:
        found = await go(rerank.configurable_fields(**FIELDS), "batch", inputs, config)
    else:
        found = await go(rerank, "batch", inputs, top_n=2)
    assert [ids(own) for own in found] == ["bc", "ba", ""]
    assert [path for path, _ in server.asked] == ["/v1/models", "/v1/classify"]
    assert [("<Query>: one" in prompt) for prompt in server.prompts] == [True] * 3 + [False] * 2
    await rerank.aclose()


async def test_batch_with_settings_of_each(server: FakeServer, go: Go) -> None:
    """Configs that differ are calls that differ."""
    rerank = Qwen3SGLangRerank(base_url=server.url)
    configs = [{"configurable": {"top_n": top_n}} for top_n in (1, 2)]
    found = await go(rerank.configurable_fields(**FIELDS), "batch", [question(), question()], configs)
    assert [ids(own) for own in found] == ["b", "bc"]
    assert await go(rerank, "batch", []) == []
    await rerank.aclose()


async def test_a_bad_input_costs_the_others_nothing(server: FakeServer, go: Go) -> None:
    """Where exceptions are to be returned; else the first is raised."""
    rerank = Qwen3SGLangRerank(base_url=server.url, top_n=1)
    inputs = [question(), question(" "), {"query": "q"}, question("r")]
    one, blank, shapeless, other = await go(rerank, "batch", inputs, return_exceptions=True)
    assert (ids(one), ids(other)) == ("b", "b")
    assert isinstance(blank, InvalidInputError)
    assert isinstance(shapeless, InvalidInputError)
    with pytest.raises(InvalidInputError, match="query"):
        await go(rerank, "batch", inputs[:2])
    server.fault = 401, {"error": "Unauthorized"}
    failed = await go(rerank, "batch", [question(), question("r")], return_exceptions=True)
    assert [type(error) for error in failed] == [AuthenticationError] * 2
    assert [path for path, _ in server.asked].count("/v1/classify") == 3
    await rerank.aclose()


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ("q", "input"),
        ({"query": "q"}, "input"),
        ({"query": "q", "documents": "text"}, "documents"),
        ({"query": "q", "documents": [7]}, r"documents\[0\]"),
        ({"query": 3, "documents": documents()}, "query"),
    ],
)
async def test_unusable_input(server: FakeServer, go: Go, given: Any, field: str) -> None:
    """The message says what to pass."""
    with pytest.raises(InvalidInputError, match=field):
        await go(Qwen3SGLangRerank(base_url=server.url), "invoke", given)
    assert server.asked == []


async def test_unknown_override(go: Go) -> None:
    """Named, with those that there are."""
    with pytest.raises(InvalidInputError, match=r"topn.*top_n"):
        await go(Qwen3SGLangRerank(), "invoke", question(), topn=1)


def test_schemas() -> None:
    """What LangServe, LangGraph and `get_graph` show."""
    rerank = Qwen3SGLangRerank()
    assert set(rerank.get_input_jsonschema()["$defs"]["RerankInput"]["properties"]) == {"query", "documents"}
    assert rerank.get_output_jsonschema()["type"] == "array"
    assert rerank.get_name() == "Qwen3SGLangRerank"


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
@pytest.mark.parametrize("configurable", [False, True])
def test_dumped_and_loaded(configurable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting comes back; of the key only where to find it is written."""
    rerank: Any = Qwen3SGLangRerank(
        base_url="http://gpu:30000", api_key=KEY, top_n=3, min_score=0.2, instruction="i", tokenizer="."
    )
    given = rerank.configurable_fields(**FIELDS) if configurable else rerank
    text = dumps(given)
    assert KEY not in text
    monkeypatch.setenv("QWEN3_SGLANG_API_KEY", KEY)
    back: Any = loads(
        text,
        allowed_objects=[Qwen3SGLangRerank, RunnableConfigurableFields],
        valid_namespaces=["langchain_qwen3_sglang"],
        secrets_from_env=True,
    )
    loaded = back.default if configurable else back
    assert loaded.model_dump() == rerank.model_dump()
    assert loaded.api_key.get_secret_value() == KEY


def test_async_batches_overlap(server: FakeServer) -> None:
    """Lists of a batch are in flight together."""
    rerank = Qwen3SGLangRerank(base_url=server.url, batch_size=3)
    inputs = [question(f"q{i}") for i in range(4)]
    assert [ids(found) for found in asyncio.run(rerank.abatch(inputs))] == ["bca"] * 4
    assert [path for path, _ in server.asked].count("/v1/classify") == 4
