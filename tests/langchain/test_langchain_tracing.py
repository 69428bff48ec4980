"""What callbacks and tracers are told: a run for each query, under whatever asked."""

from __future__ import annotations

from typing import Any

import pytest
from chain_parts import Found, Go, Runs, documents, ids
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from fake_server import FakeServer
from langchain_qwen3_sglang import Qwen3SGLangRerank
from qwen3_sglang.errors import AuthenticationError, InvalidInputError

KEY = "sk-made-up-0123456789"


async def test_what_a_run_says(server: FakeServer, go: Go, runs: Runs) -> None:
    """The question and its limits; the documents, their scores, and what became of the others."""
    found = [*documents(), Document("mid p=0.5", id="d"), Document("p=0.7" + " word" * 900, id="e")]
    rerank = Qwen3SGLangRerank(base_url=server.url, api_key=KEY, min_score=0.4, max_length=700)
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
    assert KEY not in run.model_dump_json()
    await rerank.aclose()


async def test_a_cache_leaves_open_what_was_sent(server: FakeServer, go: Go, runs: Runs) -> None:
    """Rather than a number that may be wrong."""
    rerank = Qwen3SGLangRerank(base_url=server.url, cache_size=9)
    await go(rerank, "rerank", "q", documents(), callbacks=[runs])
    outputs: Any = runs.roots[0].outputs
    assert "sent" not in outputs
    await rerank.aclose()


async def test_nested_under_the_retriever(server: FakeServer, go: Go, runs: Runs) -> None:
    """In a compression retriever, and where a function calls it without passing callbacks on."""
    rerank = Qwen3SGLangRerank(base_url=server.url)
    retriever = ContextualCompressionRetriever(base_compressor=rerank, base_retriever=Found())
    await go(retriever, "invoke", "q", {"callbacks": [runs]})
    [root] = runs.roots
    assert [(child.run_type, child.name) for child in root.child_runs] == [
        ("retriever", "Found"),
        ("chain", "Qwen3SGLangRerank"),
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
    assert runs.roots[1].inputs["input"] == "q"
    assert KEY not in "".join(run.model_dump_json() for run in runs.roots)
    await rerank.aclose()


async def test_an_interrupt_ends_the_run(go: Go, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C, or a task that is cancelled: nothing is left open."""
    rerank = Qwen3SGLangRerank()

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Qwen3SGLangRerank, "_connect", interrupted)
    with pytest.raises(KeyboardInterrupt):
        await go(rerank, "rerank", "q", documents(), callbacks=[runs])
    assert [(run.error or "").startswith("KeyboardInterrupt") for run in runs.roots] == [True]


async def test_constructing_is_no_run(server: FakeServer, runs: Runs) -> None:
    """Also inside another run."""
    RunnableLambda(lambda _: Qwen3SGLangRerank(base_url=server.url).top_n).invoke(0, {"callbacks": [runs]})
    assert runs.roots[0].child_runs == []


async def test_events_of_a_chain(server: FakeServer) -> None:
    """`astream_events` carries them too."""
    rerank = Qwen3SGLangRerank(base_url=server.url, top_n=1)
    asked: Any = {"query": "q", "documents": documents()}
    ends = [event async for event in rerank.astream_events(asked) if event["event"] == "on_chain_end"]
    output: Any = ends[-1]["data"]["output"]
    assert ids(output["documents"] if isinstance(output, dict) else output) == "b"
    await rerank.aclose()
