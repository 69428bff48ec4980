"""Configurable fields, fallbacks and the like behind LangChain's own compression retriever; sync and async."""

from __future__ import annotations

from typing import Any

import pytest
from chain_parts import Found, Go, Runs, documents, ids
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import DocumentCompressorPipeline
from langchain_core.documents import Document
from langchain_core.runnables import ConfigurableField, Runnable, RunnableLambda
from pydantic import ValidationError

from fake_server import FakeServer
from langchain_qwen3_sglang import Qwen3SGLangRerank, RunnableCompressor
from qwen3_sglang.errors import InvalidInputError, ServerUnreachableError

FIELDS: Any = {"top_n": ConfigurableField(id="top_n"), "instruction": ConfigurableField(id="instruction")}


def behind(runnable: Runnable[Any, list[Document]]) -> ContextualCompressionRetriever:
    """A compression retriever with this as its compressor."""
    return ContextualCompressionRetriever(base_compressor=RunnableCompressor(runnable=runnable), base_retriever=Found())


async def test_configurable_fields(server: FakeServer, go: Go) -> None:
    """The config of the chain that the retriever is part of reaches the reranker; calls share its connections."""
    rerank = Qwen3SGLangRerank(base_url=server.url)
    chain = behind(rerank.configurable_fields(**FIELDS)) | RunnableLambda(ids)
    assert await go(chain, "invoke", "q") == "bca"
    chosen = {"configurable": {"top_n": 2, "instruction": "Find the law"}}
    assert await go(chain, "invoke", "q", chosen) == "bc"
    assert "Find the law" in server.prompts[-1]
    assert await go(chain.with_config(configurable={"top_n": 1}), "invoke", "q") == "b"
    assert [path for path, _ in server.asked].count("/v1/models") == 1
    await rerank.aclose()


async def test_a_retrievers_own_config_is_not_handed_on(server: FakeServer, go: Go) -> None:
    """By LangChain, as the page says: a chain around it is needed."""
    rerank = Qwen3SGLangRerank(base_url=server.url)
    retriever = behind(rerank.configurable_fields(**FIELDS))
    assert ids(await go(retriever, "invoke", "q", {"configurable": {"top_n": 1}})) == "bca"
    await rerank.aclose()


async def test_fallbacks(server: FakeServer, nobody: str, go: Go) -> None:
    """Another server where the first doesn't answer; the first stage is asked once."""
    first = Qwen3SGLangRerank(base_url=nobody, max_retries=0)
    second = Qwen3SGLangRerank(base_url=server.url, top_n=2)
    safe = first.with_fallbacks([second], exceptions_to_handle=(ServerUnreachableError,))
    assert ids(await go(behind(safe), "invoke", "q")) == "bc"
    # The first stage's own order, where no server answers.
    unranked = RunnableLambda(lambda asked: asked["documents"])
    assert ids(await go(behind(first.with_fallbacks([unranked])), "invoke", "q")) == "abc"
    await first.aclose()
    await second.aclose()


async def test_fallbacks_of_configurable_fields(server: FakeServer, nobody: str, go: Go) -> None:
    """Both at once."""
    first = Qwen3SGLangRerank(base_url=nobody, max_retries=0).configurable_fields(**FIELDS)
    second = Qwen3SGLangRerank(base_url=server.url).configurable_fields(**FIELDS)
    chain = behind(first.with_fallbacks([second])) | RunnableLambda(ids)
    assert await go(chain, "invoke", "q", {"configurable": {"top_n": 2}}) == "bc"
    await second.default.aclose()  # type: ignore[attr-defined] # a reranker


async def test_bound_and_in_a_pipeline(server: FakeServer, go: Go) -> None:
    """What `bind` and `with_retry` return, alone or as a stage."""
    rerank = Qwen3SGLangRerank(base_url=server.url)
    compressor = RunnableCompressor(runnable=rerank.bind(top_n=1).with_retry())
    pipeline = DocumentCompressorPipeline(transformers=[compressor])
    retriever = ContextualCompressionRetriever(base_compressor=pipeline, base_retriever=Found())
    assert ids(await go(retriever, "invoke", "q")) == "b"
    await rerank.aclose()


async def test_runs_are_nested(server: FakeServer, go: Go, runs: Runs) -> None:
    """Under the retriever, with its tags."""
    rerank = Qwen3SGLangRerank(base_url=server.url)
    await go(behind(rerank.bind(top_n=1)), "invoke", "q", {"callbacks": [runs], "tags": ["search"]})
    [root] = runs.roots
    [_, reranked] = root.child_runs
    assert (reranked.name, reranked.run_type) == ("Qwen3SGLangRerank", "retriever")
    assert "search" in (reranked.tags or [])
    await rerank.aclose()


async def test_swapped(go: Go) -> None:
    """Documents come first, as in LangChain."""
    compressor = RunnableCompressor(runnable=Qwen3SGLangRerank())
    with pytest.raises(InvalidInputError, match="documents come first"):
        await go(compressor, "compress_documents", "q", documents())


def test_only_a_runnable_is_taken() -> None:
    """And no other option."""
    with pytest.raises(ValidationError):
        RunnableCompressor(runnable="no")  # type: ignore[arg-type] # what is tested
    with pytest.raises(ValidationError):
        RunnableCompressor(runnable=Qwen3SGLangRerank(), top_n=3)  # type: ignore[call-arg] # what is tested
