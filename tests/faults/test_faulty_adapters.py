"""What fail-open looks like inside the two frameworks."""

from __future__ import annotations

import asyncio
from typing import Any

import faulty as faults
import pytest
from asked import DOCUMENTS, QUERY
from faulty import Faulty
from langchain_core.documents import Document
from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode

from langchain_qwen3_sglang import Qwen3SGLangRerank as Compressor
from llama_index_qwen3_sglang import Qwen3SGLangRerank as Postprocessor
from qwen3_sglang.errors import ServerUnreachableError

REFUSED = faults.answer(400, b'{"message":"The input is too long"}')
STALE = {"relevance_score": 0.9, "rerank_error": "an old one", "rerank_truncated": True}


def compress(mode: str, url: str, documents: list[Document], **options: Any) -> list[Document]:
    """One call, whichever way."""
    reranker = Compressor(base_url=url, max_retries=0, **options)
    if mode == "sync":
        found = list(reranker.compress_documents(documents, QUERY))
        reranker.close()
        return found

    async def work() -> list[Document]:
        found = list(await reranker.acompress_documents(documents, QUERY))
        await reranker.aclose()
        return found

    return asyncio.run(work())


def postprocess(mode: str, url: str, nodes: list[NodeWithScore], **options: Any) -> list[NodeWithScore]:
    """One call, whichever way."""
    reranker = Postprocessor(base_url=url, max_retries=0, **options)
    if mode == "sync":
        found = reranker.postprocess_nodes(nodes, query_str=QUERY)
        reranker.close()
        return found

    async def work() -> list[NodeWithScore]:
        found = await reranker.apostprocess_nodes(nodes, query_str=QUERY)
        await reranker.aclose()
        return found

    return asyncio.run(work())


def documents() -> list[Document]:
    """Reranked before, with what that left behind."""
    return [Document(text, metadata={"source": "s", **STALE}) for text in DOCUMENTS]


def nodes() -> list[NodeWithScore]:
    """The same as nodes."""
    stale = {key: value for key, value in STALE.items() if key != "relevance_score"}
    return [NodeWithScore(node=TextNode(text=text, metadata={"source": "s", **stale}), score=0.9) for text in DOCUMENTS]


def test_langchain_gives_them_back(nobody: str, mode: str) -> None:
    """The order given, cut to top_n, marked, without a score from before; the caller's stay as they were."""
    given = documents()
    found = compress(mode, nobody, given, on_error="passthrough", top_n=3, min_score=0.5)
    assert [document.page_content for document in found] == DOCUMENTS[:3]
    assert all(set(document.metadata) == {"source", "rerank_error"} for document in found)
    assert all("base_url" in document.metadata["rerank_error"] for document in found)
    assert given == documents()


def test_llama_index_gives_them_back(nobody: str, mode: str) -> None:
    """The same; the mark reaches neither the embedding nor the language model."""
    given = nodes()
    found = postprocess(mode, nobody, given, on_error="passthrough", top_n=3, min_score=0.5)
    assert [scored.node.get_content() for scored in found] == DOCUMENTS[:3]
    assert [scored.score for scored in found] == [None] * 3
    assert all(set(scored.node.metadata) == {"source", "rerank_error"} for scored in found)
    for metadata_mode in (MetadataMode.EMBED, MetadataMode.LLM):
        assert all("rerank_error" not in scored.node.get_content(metadata_mode) for scored in found)
    assert [scored.node.metadata["rerank_error"] for scored in given] == ["an old one"] * len(given)


def test_one_refused_document_comes_last(faulty: Faulty, mode: str) -> None:
    """The scored ones keep no mark from before, the refused one is marked."""
    faulty.fail(faults.refusing(lambda texts: any("Gravity" in text for text in texts), REFUSED), always=True)
    [*scored, last] = compress(mode, faulty.url, documents(), on_error="passthrough")
    assert last.page_content == DOCUMENTS[0]
    assert set(last.metadata) == {"source", "rerank_error"}
    assert all(set(document.metadata) == {"source", "relevance_score"} for document in scored)
    [*ranked, end] = postprocess(mode, faulty.url, nodes(), on_error="passthrough")
    assert (end.node.get_content(), end.score) == (DOCUMENTS[0], None)
    assert all(set(node.node.metadata) == {"source"} and node.score is not None for node in ranked)


def test_raised_unless_asked_otherwise(nobody: str, mode: str) -> None:
    """Fail-open is never the default."""
    with pytest.raises(ServerUnreachableError):
        compress(mode, nobody, documents())
    with pytest.raises(ServerUnreachableError):
        postprocess(mode, nobody, nodes())
