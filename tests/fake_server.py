"""A tiny server on a real socket that answers like SGLang; a document that says p=0.73 scores 0.73."""

from __future__ import annotations

import json
import re
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class FakeServer(ThreadingHTTPServer):
    """Keeps what it was asked; with a barrier, answers only once that many requests are in flight.

    With a fault, (status, body), it answers every list with that; with `refuses`, only lists that hold this text.
    """

    daemon_threads = True
    barrier: threading.Barrier | None = None
    fault: tuple[int, dict[str, Any]] | None = None
    refuses: str | None = None
    lists_models = True
    owner: str | None = None  # who made the server, as its list of models says

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str | None]] = []
        self.questions: list[str] = []  # which way it runs, apart from `asked`
        self.prompts: list[str] = []
        self.scores: dict[str, float] = {}  # P(yes) of prompts that don't say it themselves
        self.ports: list[int] = []  # the client's, one per request: who shares a connection
        self.arrived = threading.Event()  # a request waits at the barrier

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up, or a broken barrier, is part of a test: keep its output clean."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeServer

    def do_GET(self) -> None:
        if self.path in {"/server_info", "/model_info"}:  # as a gateway answers, so that lists are asked as by default
            self.server.questions.append(self.path)
            self._send({"error": {"message": "not found"}}, 404)
            return
        self.server.asked.append((self.path, self.headers["Authorization"]))
        self.server.ports.append(self.client_address[1])
        if not self.server.lists_models:
            self._send({"error": {"message": "not found"}}, 404)
            return
        card = {"id": "toy", "object": "model", "max_model_len": 8192}
        if self.server.owner is not None:
            card["owned_by"] = self.server.owner
        self._send({"object": "list", "data": [card]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers["Authorization"]))
        self.server.ports.append(self.client_address[1])
        if self.path != "/v1/classify":  # as a gateway answers
            self._send({"error": {"message": "not found"}}, 404)
            return
        self.server.prompts.extend(body["input"])
        if self.server.barrier is not None:
            self.server.arrived.set()
            self.server.barrier.wait(timeout=10)
        if self.server.fault is not None:
            status, body = self.server.fault
            self._send(body, status)
            return
        if self.server.refuses is not None and any(self.server.refuses in prompt for prompt in body["input"]):
            self._send({"object": "error", "message": "not this one", "code": 400}, 400)
            return
        data = [_item(index, prompt, self.server.scores) for index, prompt in enumerate(body["input"])]
        name = f"classify-{uuid.uuid4().hex}"  # as SGLang's, no answer is like another
        self._send({"id": name, "object": "list", "data": data, "usage": {}})

    def _send(self, body: dict[str, Any], status: int = 200) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Keep the test output clean."""


def _item(index: int, prompt: str, scores: dict[str, float]) -> dict[str, Any]:
    p = scores[prompt] if prompt in scores else float(re.findall(r"p=([\d.]*\d)", prompt)[-1])
    label = "yes" if p > 0.5 else "no"  # the likelier one, as SGLang does
    return {"index": index, "label": label, "probs": [1 - p, p], "num_classes": 2}


@contextmanager
def serving() -> Iterator[FakeServer]:
    """One that answers inside."""
    with FakeServer() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as running:
        yield running


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nothing listens: bound, so that no other process can take it meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
