"""What LangSmith's own client sends of a rerank, read off a server in its place; sync and async."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from chain_parts import Go, documents
from langchain_core.tracers import LangChainTracer
from langsmith import Client

from fake_server import FakeServer
from langchain_qwen3_sglang import Qwen3SGLangRerank

KEY = "sk-made-up-0123456789"


class LangSmith(ThreadingHTTPServer):
    """Takes runs, and keeps what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.sent: list[tuple[str, dict[str, Any]]] = []


class _Handler(BaseHTTPRequestHandler):
    server: LangSmith

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.sent.append((self.command, json.loads(body)))
        self._answer()

    do_PATCH = do_POST  # noqa: N815 - http.server's name

    def _answer(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Keep the test output clean."""


@pytest.fixture
def langsmith() -> Iterator[LangSmith]:
    """In the place of smith.langchain.com."""
    with LangSmith() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


async def test_a_retriever_with_its_documents(server: FakeServer, langsmith: LangSmith, go: Go) -> None:
    """The run at its end: type, query, documents with scores; the model that the call itself has learned."""
    address = f"http://127.0.0.1:{langsmith.server_port}"
    tracer = LangChainTracer(client=Client(api_url=address, api_key="ls-made-up", auto_batch_tracing=False))
    rerank = Qwen3SGLangRerank(base_url=server.url, api_key=KEY, top_n=2)
    await go(rerank, "rerank", "what", documents(), callbacks=[tracer])
    await rerank.aclose()
    tracer.wait_for_futures()
    assert [method for method, _ in langsmith.sent] == ["POST", "PATCH"]
    started, ended = (run for _, run in langsmith.sent)
    assert {started["run_type"], ended["run_type"]} == {"retriever"}
    assert ended["inputs"] == {"query": "what"}
    found = [(one["id"], one["metadata"]) for one in ended["outputs"]["documents"]]
    assert found == [("b", {"relevance_score": 0.9}), ("c", {"relevance_score": 0.5})]
    metadata = ended["extra"]["metadata"]
    told = [metadata[f"rerank_{name}"] for name in ("model", "top_n", "input_ids", "dropped")]
    assert told == ["toy", 2, ["a", "b", "c"], 1]
    assert KEY not in json.dumps(langsmith.sent)
