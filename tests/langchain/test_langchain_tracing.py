"""What callbacks and tracers are told: a run for each query, under whatever asked."""

from __future__ import annotations

from typing import Any

import pytest
from chain_parts import Found, Go, Runs, documents, ids
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from fake_server import FakeServer
from langchain_qwen3_sglang import Qwen3SGLangRerank
from qwen3_sglang.errors import AuthenticationError, InvalidInputError

KEY = "sk-made-up-0123456789"


def five() -> list[Document]:
    """Of which one is a duplicate, and one is cut."""
    return [*documents(), Document("mid p=0.5", id="d"), Document("p=0.7" + " word" * 900, id="e")]


async def test_a_retrievers_run(server: FakeServer, go: Go, runs: Runs) -> None:
    """The query; the documents with their scores; in the run's own metadata the model, the limits and what became."""
    rerank = Qwen3SGLangRerank(base_url=server.url, api_key=KEY, min_score=0.4, max_length=700)
    config: Any = {"callbacks": [runs], "metadata": {"model": "the application's"}}
    kept = await go(rerank, "invoke", {"query": "what", "documents": five()}, config, top_n=3)
    [run] = runs.roots
    assert (run.name, run.run_type, run.error) == ("Qwen3SGLangRerank", "retriever", None)
    assert run.inputs == {"query": "what"}
    assert run.outputs == {"documents": kept}
    assert [document.metadata["relevance_score"] for document in kept] == [0.9, 0.7, 0.5]
    assert run.extra["metadata"] == {
        "model": "the application's",
        "ls_retriever_name": "qwen3sglangrerank",
        "rerank_model": "toy",
        "rerank_top_n": 3,
        "rerank_min_score": 0.4,
        "rerank_instruction": None,
        "rerank_input_ids": ["a", "b", "c", "d", "e"],
        "rerank_received": 5,
        "rerank_duplicates": 1,
        "rerank_sent": 4,
        "rerank_truncated": 1,
        "rerank_dropped": 2,
    }
    assert KEY not in run.model_dump_json()
    await rerank.aclose()


@pytest.mark.parametrize("model", [None, "toy"])
async def test_the_model_is_named_as_soon_as_it_is_known(
    server: FakeServer, go: Go, runs: Runs, model: str | None
) -> None:
    """At the start where it was given or learned by an earlier call; else when the first call ends, not if it fails."""
    rerank = Qwen3SGLangRerank(base_url=server.url, model=model, max_retries=0)
    server.fault = 401, {"error": "Unauthorized"}
    with pytest.raises(AuthenticationError):
        await go(rerank, "rerank", "q", documents(), callbacks=[runs])
    server.fault = None
    for _ in range(2):
        await go(rerank, "rerank", "q", documents(), callbacks=[runs])
    named = [run.extra["metadata"].get("rerank_model") for run in runs.roots]
    assert named == [model, "toy", "toy"]
    await rerank.aclose()


async def test_a_chains_run(server: FakeServer, go: Go, runs: Runs) -> None:
    """On demand: the question and its limits; the documents, their scores, and what became of the others."""
    found = five()
    rerank = Qwen3SGLangRerank(base_url=server.url, min_score=0.4, max_length=700, run_type="chain")
    kept = await go(rerank, "rerank", "what", found, callbacks=[runs], top_n=3)
    [run] = runs.roots
    assert (run.name, run.run_type, run.error) == ("Qwen3SGLangRerank", "chain", None)
    assert run.inputs == {
        "query": "what",
        "documents": found,
        "top_n": 3,
        "min_score": 0.4,
        "instruction": None,
    }
    assert run.outputs == {
        "documents": kept,
        "scores": [0.9, 0.7, 0.5],
        "model": "toy",
        "received": 5,
        "duplicates": 1,
        "sent": 4,
        "truncated": 1,
        "dropped": 2,
    }
    await rerank.aclose()


class Retrieved(BaseCallbackHandler):
    """Collects what retrievers return, as an application does that shows its sources."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def on_retriever_end(self, documents: Any, **_: Any) -> None:
        self.found.append(ids(documents))


@pytest.mark.parametrize(("run_type", "seen"), [("retriever", ["abc", "bca", "bca"]), ("chain", ["abc", "bca"])])
async def test_who_collects_retrievers_ends(server: FakeServer, go: Go, run_type: Any, seen: list[str]) -> None:
    """Sees the first stage, the reranker and the whole; with run_type="chain" as without a reranker's run."""
    rerank, handler = Qwen3SGLangRerank(base_url=server.url, run_type=run_type), Retrieved()
    retriever = ContextualCompressionRetriever(base_compressor=rerank, base_retriever=Found())
    await go(retriever, "invoke", "q", {"callbacks": [handler]})
    assert handler.found == seen
    await rerank.aclose()


@pytest.mark.parametrize(("run_type", "where"), [("chain", "outputs"), ("retriever", "metadata")])
async def test_a_cache_leaves_open_what_was_sent(
    server: FakeServer, go: Go, runs: Runs, run_type: Any, where: str
) -> None:
    """Rather than a number that may be wrong."""
    rerank = Qwen3SGLangRerank(base_url=server.url, cache_size=9, run_type=run_type)
    await go(rerank, "rerank", "q", documents(), callbacks=[runs])
    notes: Any = runs.roots[0].outputs if where == "outputs" else runs.roots[0].extra["metadata"]
    assert {"received", "rerank_received"} & set(notes)
    assert not {"sent", "rerank_sent"} & set(notes)
    await rerank.aclose()


async def test_notes_are_not_handed_on(server: FakeServer, go: Go, runs: Runs) -> None:
    """The parent's metadata stays its own, and so does that of a run beside it."""
    rerank, metadata = Qwen3SGLangRerank(base_url=server.url), {"user": 1}
    retriever = ContextualCompressionRetriever(base_compressor=rerank, base_retriever=Found())
    for _ in range(2):
        await go(retriever, "invoke", "q", {"callbacks": [runs], "metadata": metadata})
    for root in runs.roots:
        first, reranked = root.child_runs
        assert not [name for run in (root, first) for name in run.extra["metadata"] if name.startswith("rerank_")]
        assert reranked.extra["metadata"]["rerank_received"] == 3
    assert metadata == {"user": 1}
    await rerank.aclose()


async def test_nested_under_the_retriever(server: FakeServer, go: Go, runs: Runs) -> None:
    """In a compression retriever, and where a function calls it without passing callbacks on."""
    rerank = Qwen3SGLangRerank(base_url=server.url)
    retriever = ContextualCompressionRetriever(base_compressor=rerank, base_retriever=Found())
    await go(retriever, "invoke", "q", {"callbacks": [runs]})
    [root] = runs.roots
    assert [(child.run_type, child.name) for child in root.child_runs] == [
        ("retriever", "Found"),
        ("retriever", "Qwen3SGLangRerank"),
    ]
    await go(RunnableLambda(lambda q: rerank.rerank(q, documents())), "invoke", "q", {"callbacks": [runs]})
    assert [child.name for child in runs.roots[1].child_runs] == ["Qwen3SGLangRerank"]
    await rerank.aclose()


async def test_a_run_for_each_query_of_a_batch(server: FakeServer, go: Go, runs: Runs) -> None:
    """Each with its own config; a bad input is its own run's error."""
    rerank = Qwen3SGLangRerank(base_url=server.url)
    inputs: Any = [{"query": query, "documents": documents()} for query in ("one", " ", "two")]
    configs = [{"callbacks": [runs], "run_name": name, "tags": [name]} for name in ("first", "second", "third")]
    await go(rerank, "batch", inputs, configs, return_exceptions=True)
    assert [run.name for run in runs.roots] == ["first", "second", "third"]
    assert [bool(run.error) for run in runs.roots] == [False, True, False]
    assert [run.tags for run in runs.roots] == [["first"], ["second"], ["third"]]
    await rerank.aclose()


async def test_failures_end_the_run(server: FakeServer, go: Go, runs: Runs) -> None:
    """The server's, and an input that can't be used."""
    rerank = Qwen3SGLangRerank(base_url=server.url, api_key=KEY)
    server.fault = 401, {"error": "Unauthorized"}
    with pytest.raises(AuthenticationError):
        await go(rerank, "rerank", "q", documents(), callbacks=[runs])
    with pytest.raises(InvalidInputError):
        await go(rerank, "invoke", "q", {"callbacks": [runs]})
    assert [(run.error or "").partition("(")[0] for run in runs.roots] == ["AuthenticationError", "InvalidInputError"]
    assert runs.roots[1].inputs == {"query": "q"}
    assert KEY not in "".join(run.model_dump_json() for run in runs.roots)
    await rerank.aclose()


async def test_an_interrupt_ends_the_run(go: Go, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C, or a task that is cancelled: nothing is left open."""
    rerank = Qwen3SGLangRerank()

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Qwen3SGLangRerank, "_read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        await go(rerank, "rerank", "q", documents(), callbacks=[runs])
    assert [(run.error or "").startswith("KeyboardInterrupt") for run in runs.roots] == [True]


async def test_constructing_is_no_run(server: FakeServer, runs: Runs) -> None:
    """Also inside another run."""
    RunnableLambda(lambda _: Qwen3SGLangRerank(base_url=server.url).top_n).invoke(0, {"callbacks": [runs]})
    assert runs.roots[0].child_runs == []


@pytest.mark.parametrize("run_type", ["retriever", "chain"])
async def test_events(server: FakeServer, run_type: Any) -> None:
    """`astream_events` carries them too."""
    rerank = Qwen3SGLangRerank(base_url=server.url, top_n=1, run_type=run_type)
    asked: Any = {"query": "q", "documents": documents()}
    ends = [event async for event in rerank.astream_events(asked) if event["event"] == f"on_{run_type}_end"]
    output: Any = ends[-1]["data"]["output"]
    assert ids(output["documents"] if isinstance(output, dict) else output) == "b"
    await rerank.aclose()
