"""The agents' examples run as they stand, and repeat what a server that is away for a while has cost."""

from __future__ import annotations

import importlib
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fake_server import FakeServer

for needed in ("langgraph", "llama_index.core"):
    pytest.importorskip(needed)
EXAMPLES = Path(__file__).parents[2] / "examples"
FRAMEWORKS = ["langgraph", "llama_index"]
ANSWER = "The capital of China is Beijing."


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> str:
    """One example each."""
    return str(request.param)


@pytest.fixture
def example(framework: str) -> Iterator[ModuleType]:
    """The script as a module."""
    sys.path.insert(0, str(EXAMPLES))
    yield importlib.import_module(f"{framework}_agent")
    sys.path.remove(str(EXAMPLES))


class Away:
    """In the place of the fake server's barrier: the server is full until it was asked that often."""

    def __init__(self, server: FakeServer, times: int) -> None:
        self.server, self.left = server, times
        server.fault, server.barrier = (503, {"message": "The request queue is full."}), self  # type: ignore[assignment] # has a barrier's `wait`

    def wait(self, timeout: float) -> None:
        self.left -= 1
        if self.left < 0:
            self.server.fault = None


def test_it_runs(
    framework: str, toy_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a command: the agent searches, reads the best passage, and answers; then the retried pipeline."""
    monkeypatch.setattr(sys, "argv", ["agent", toy_url])
    runpy.run_path(str(EXAMPLES / f"{framework}_agent.py"), run_name="__main__")
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if ANSWER in line] == {
        "langgraph": [printed[1], f"think: I read: {ANSWER}", printed[4]],
        "llama_index": [printed[0], printed[1], ANSWER],
    }[framework]
    assert printed[1 if framework == "langgraph" else 0].startswith(
        f"{'tools' if framework == 'langgraph' else 'search'}: {ANSWER} (score 0."
    )


async def reranked(framework: str, example: Any, server: FakeServer) -> str:
    """The best text that the example's pipeline finds; of one candidate, so that a try is one request."""
    if framework == "langgraph":
        rerank = example.Qwen3SGLangRerank(base_url=server.url, max_retries=0)
        graph = example.pipeline(example.store().as_retriever(search_kwargs={"k": 1}), rerank)
        best = (await graph.ainvoke({"query": "p=0.4"}))["documents"][0].page_content
    else:
        rerank = example.Qwen3SGLangRerank(base_url=server.url, max_retries=0)
        best = (await example.Search(example.index().as_retriever(similarity_top_k=1), rerank).run(query="p=0.4"))[
            0
        ].text
    await rerank.aclose()
    return str(best)


async def test_the_reranking_step_is_repeated(framework: str, example: Any, server: FakeServer) -> None:
    """Until the server has room again; the first stage isn't asked anew."""
    Away(server, 2)
    assert await reranked(framework, example, server) in example.TEXTS
    assert [path for path, _ in server.asked].count("/v1/classify") == 3


async def test_not_without_end(framework: str, example: Any, server: FakeServer) -> None:
    """The last failure is raised."""
    Away(server, 99)
    with pytest.raises(Exception, match="The request queue is full"):
        await reranked(framework, example, server)
    assert [path for path, _ in server.asked].count("/v1/classify") == 5


async def test_an_agents_tool_is_repeated(server: FakeServer) -> None:
    """As a node of the graph."""
    sys.path.insert(0, str(EXAMPLES))
    example = importlib.import_module("langgraph_agent")
    sys.path.remove(str(EXAMPLES))
    Away(server, 1)
    rerank = example.Qwen3SGLangRerank(base_url=server.url, max_retries=0)
    retriever = example.Qwen3SGLangRetriever(base_retriever=example.store().as_retriever(), reranker=rerank)
    agent = example.agent(retriever, example.Scripted())
    lines = [line async for line in example.steps(agent, {"messages": [("user", "p=0.4")]})]
    assert [line.partition(":")[0] for line in lines] == ["think", "tools", "think"]
    await rerank.aclose()
