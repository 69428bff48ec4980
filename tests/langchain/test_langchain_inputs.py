"""What LangChain's reranker takes for documents, and per call; sync and async."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.documents import Document

from fake_server import FakeServer
from langchain_qwen3_sglang import Qwen3SGLangRerank
from qwen3_sglang.errors import InvalidInputError, UnknownOptionError

MIXED: list[Any] = [
    "low p=0.1",
    {"text": "high p=0.9", "id": 7, "source": "a.txt"},
    {"page_content": "mid p=0.5", "metadata": {"page": 3}},
    Document("least p=0.05", id="x"),
]


async def rerank(way: str, reranker: Qwen3SGLangRerank, documents: Any, **overrides: Any) -> list[Document]:
    """One call."""
    if way == "sync":
        return reranker.rerank("q", documents, **overrides)
    ranked = await reranker.arerank("q", documents, **overrides)
    await reranker.aclose()
    return ranked


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_strings_and_mappings_are_documents(server: FakeServer, way: str) -> None:
    """Beside Documents; what a mapping has beside its text is metadata."""
    ranked = await rerank(way, Qwen3SGLangRerank(base_url=server.url), MIXED)
    assert [document.page_content.split()[0] for document in ranked] == ["high", "mid", "low", "least"]
    assert (ranked[0].id, ranked[0].metadata["source"], ranked[1].metadata["page"]) == ("7", "a.txt", 3)
    assert MIXED[1] == {"text": "high p=0.9", "id": 7, "source": "a.txt"}


@pytest.mark.parametrize("wrong", [3, {"body": "a"}, {"text": 3}, None])
def test_anything_else_is_refused(wrong: Any) -> None:
    """With its place, and the names a text may have."""
    with pytest.raises(InvalidInputError, match=r"documents\[1\].*page_content or text or content"):
        Qwen3SGLangRerank().rerank("q", ["a", wrong])


@pytest.mark.parametrize("documents", [Document("a"), "one text", {"text": "a"}, 3])
def test_what_holds_no_documents_is_refused(documents: Any) -> None:
    """Not read letter by letter."""
    with pytest.raises(InvalidInputError, match="documents="):
        Qwen3SGLangRerank().rerank("q", documents)


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_compress_documents_takes_overrides(server: FakeServer, way: str) -> None:
    """As `rerank` does; another library's word names the right one."""
    reranker, documents = Qwen3SGLangRerank(base_url=server.url), [Document("a p=0.2"), Document("b p=0.8")]
    limits: dict[str, Any] = {"top_n": 1, "min_score": 0.5, "instruction": "Find the law"}
    if way == "sync":
        kept = reranker.compress_documents(documents, "q", None, **limits)
    else:
        kept = list(await reranker.acompress_documents(documents, "q", None, **limits))
        await reranker.aclose()
    assert [document.page_content for document in kept] == ["b p=0.8"]
    assert "<Instruct>: Find the law" in server.prompts[0]
    foreign: dict[str, Any] = {"top_k": 1}
    with pytest.raises(InvalidInputError, match="it is called top_n here"):
        reranker.compress_documents(documents, "q", **foreign)


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_an_option_of_the_constructor(way: str) -> None:
    """Under another library's name too, is named with what takes it."""
    for foreign, ours in (("model_name", "model"), ("max_tokens_per_doc", "max_length")):
        with pytest.raises(UnknownOptionError, match=rf"{foreign}: pass {ours} to Qwen3SGLangRerank\(...\)"):
            await rerank(way, Qwen3SGLangRerank(), [], **{foreign: 9})


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_query_and_documents_swapped(way: str) -> None:
    """Here the documents come first: that is LangChain's own order."""

    async def compress(*given: Any) -> list[Document]:
        if way == "sync":
            return Qwen3SGLangRerank().compress_documents(*given)
        return list(await Qwen3SGLangRerank().acompress_documents(*given))

    with pytest.raises(InvalidInputError, match=r"the documents come first: \(documents, query\)"):
        await compress("q", [Document("a")])


def test_a_chunk_is_a_place_in_page_content(server: FakeServer) -> None:
    """Also where the model reads metadata in front of it."""
    text = "words of no use " * 60 + "p=0.9 is it" + " and more words" * 60
    reranker = Qwen3SGLangRerank(base_url=server.url, long_documents="chunks", max_length=700, metadata_keys=["title"])
    [found] = reranker.rerank("q p=0.1", [Document(text, metadata={"title": "A title of some length"})])
    start, end = found.metadata["rerank_chunk_start"], found.metadata["rerank_chunk_end"]
    assert any(f"<Document>: {text[start:end]}<|im_end|>" in prompt for prompt in server.prompts)
    assert "p=0.9" in text[start:end]
