"""A first stage and the reranker, as one retriever."""

from __future__ import annotations

from typing import Any

import pytest
from chain_parts import Found, Go, Runs, Words, documents, ids
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore
from pydantic import ValidationError

from fake_server import FakeServer
from langchain_qwen3_sglang import Qwen3SGLangRerank, Qwen3SGLangRetriever
from qwen3_sglang.errors import InvalidInputError, UnknownOptionError

KEY = "sk-made-up-0123456789"
TEXTS = [f"passage {place} p=0.{place}" for place in range(1, 10)]


class Ranked(BaseRetriever):
    """A retriever with a `k`, as BM25's."""

    k: int = 4

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [Document(text) for text in TEXTS[: self.k]]


class OtherName(BaseRetriever):
    """A retriever that has its own name for the query."""

    def _get_relevant_documents(self, question: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return documents()


def store() -> InMemoryVectorStore:
    """TEXTS, in memory."""
    return InMemoryVectorStore.from_texts(TEXTS, Words(), metadatas=[{"place": place} for place in range(1, 10)])


def over(base: Any, server: FakeServer, **options: Any) -> Qwen3SGLangRetriever:
    """A retriever over `base`."""
    return Qwen3SGLangRetriever(base_retriever=base, reranker=Qwen3SGLangRerank(base_url=server.url), **options)


@pytest.mark.parametrize(
    "base",
    [
        lambda: store().as_retriever(),
        lambda: store().as_retriever(search_kwargs={"k": 2}),
        lambda: store().as_retriever(search_type="mmr", search_kwargs={"fetch_k": 2}),
        lambda: store().as_retriever(search_type="mmr"),
        Ranked,
    ],
    ids=["similarity", "similarity, k set", "mmr, fetch_k set", "mmr", "a k of its own"],
)
async def test_fetch_k(server: FakeServer, go: Go, base: Any) -> None:
    """That many candidates are scored; the base retriever stays as it is."""
    first = base()
    before = first.model_copy(deep=True).model_dump(exclude={"vectorstore"})
    retriever = over(first, server, fetch_k=8, top_n=2)
    found = await go(retriever, "invoke", "passage")
    assert len(server.prompts) == 8
    assert len(found) == 2
    assert found[0].metadata["relevance_score"] > found[1].metadata["relevance_score"]
    await go(retriever, "invoke", "passage", fetch_k=3)
    assert len(server.prompts) == 11
    assert first.model_dump(exclude={"vectorstore"}) == before
    await retriever.reranker.aclose()


async def test_limits(server: FakeServer, go: Go) -> None:
    """The retriever's top_n before the reranker's; a call's before both."""
    retriever = over(Found(), server)
    assert ids(await go(retriever, "invoke", "q")) == "bca"
    retriever.reranker.top_n = 2
    assert ids(await go(retriever, "invoke", "q")) == "bc"
    assert ids(await go(over(Found(), server, top_n=1), "invoke", "q")) == "b"
    assert ids(await go(retriever, "invoke", "q", top_n=None, min_score=0.2)) == "bc"
    await go(retriever, "invoke", "q", instruction="Find the law")
    assert "Find the law" in server.prompts[-1]
    await retriever.reranker.aclose()


async def test_other_keywords_go_to_the_first_stage(server: FakeServer, go: Go) -> None:
    """A vector store's filter, for example."""
    retriever = over(store().as_retriever(), server, fetch_k=9)
    found = await go(retriever, "invoke", "passage", filter=lambda document: document.metadata["place"] > 6)
    assert [document.metadata["place"] for document in found] == [9, 8, 7]
    await retriever.reranker.aclose()


async def test_any_runnable_that_finds_documents(server: FakeServer, go: Go) -> None:
    """A chain may be the first stage."""
    retriever = over(RunnableLambda(lambda _: documents()), server, top_n=1)
    assert ids(await go(retriever, "invoke", "q")) == "b"
    assert [ids(found) for found in await go(retriever, "batch", ["q", "r"])] == ["b", "b"]
    await retriever.reranker.aclose()


@pytest.mark.parametrize(
    ("keyword", "said"),
    [
        ("top_k", "it is called top_n here"),
        ("filter", "there are fetch_k, "),
        ("topn", "it is called top_n here"),
        ("model_name", "pass model to its reranker"),
    ],
)
async def test_keywords_that_reach_nothing(server: FakeServer, go: Go, keyword: str, said: str) -> None:
    """LangChain drops them silently where a retriever's method takes none; a mistake is told instead."""
    with pytest.raises(UnknownOptionError, match=f"unknown option {keyword}.*{said}"):
        await go(over(Found(), server), "invoke", "q", **{keyword: 3})
    with pytest.raises(UnknownOptionError, match=f"unknown option {keyword}.*{said}"):
        await go(over(OtherName(), server), "invoke", "q", **{keyword: 3})
    assert server.asked == []


@pytest.mark.parametrize("keyword", ["topn", "top_N", "min_scores", "intruction", "fetchk"])
async def test_a_slip_of_the_pen(server: FakeServer, go: Go, keyword: str) -> None:
    """Is told also where the first stage takes any keyword; a word of the first stage's own is passed on."""
    retriever = over(store().as_retriever(), server)
    with pytest.raises(UnknownOptionError, match=f"unknown option {keyword}: it is called"):
        await go(retriever, "invoke", "passage", **{keyword: 3})
    assert server.asked == []
    assert len(await go(retriever, "invoke", "passage", k=3)) == 3
    await retriever.reranker.aclose()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"top_k": 3}, "top_k: it is called top_n here"),
        ({"retriever": Found()}, "retriever: it is called base_retriever here"),
        ({"compressor": 1}, "compressor: it is called reranker here"),
        ({"num_candidates": 3}, "num_candidates: it is called fetch_k here"),
        ({"score_threshold": 0.5}, "score_threshold: pass min_score to its reranker"),
        ({"document_prompt": 1}, "document_prompt: pass document_prompt to its reranker"),
        ({"api_key": KEY}, "api_key: pass api_key to its reranker"),
    ],
)
def test_unknown_options(given: dict[str, Any], said: str) -> None:
    """Another library's word, or an option of the reranker; no value is shown."""
    with pytest.raises(ValidationError, match=f"unknown option {said}") as caught:
        Qwen3SGLangRetriever(base_retriever=Found(), **given)
    assert KEY not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize("value", [0, True, 1.5])
def test_unusable_fetch_k(server: FakeServer, value: Any) -> None:
    """Refused at once."""
    with pytest.raises((InvalidInputError, ValidationError), match="fetch_k"):
        over(Ranked(), server, fetch_k=value)


def test_limits_that_cannot_be_met(server: FakeServer) -> None:
    """Fewer candidates than are to be kept, a base that can't be told how many, an impossible top_n."""
    with pytest.raises(InvalidInputError, match="top_n=5"):
        over(Ranked(), server, fetch_k=3, top_n=5)
    with pytest.raises(InvalidInputError, match="Found has no k"):
        over(Found(), server, fetch_k=3)
    with pytest.raises(InvalidInputError, match="top_n"):
        over(Found(), server, top_n=0)
    with pytest.raises(ValidationError):
        over("not a retriever", server)
    with pytest.raises(InvalidInputError, match="no k"):
        over(Found(), server).invoke("q", fetch_k=3)


async def test_runs_are_nested(server: FakeServer, go: Go, runs: Runs) -> None:
    """Both stages under the retriever's own run."""
    retriever = over(Found(), server)
    await go(retriever, "invoke", "q", {"callbacks": [runs]})
    [root] = runs.roots
    assert [(run.run_type, run.name) for run in (root, *root.child_runs)] == [
        ("retriever", "Qwen3SGLangRetriever"),
        ("retriever", "Found"),
        ("retriever", "Qwen3SGLangRerank"),
    ]
    await retriever.reranker.aclose()
