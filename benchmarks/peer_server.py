"""One server on a real socket that speaks every peer's API, and fails as told. Standard library only.

A document that says p=0.73 scores 0.73.
"""

from __future__ import annotations

import json
import math
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from uuid import uuid4

Rows = list[tuple[int, float]]  # (a document's place in the request, its score), in the answer's order


class Fault(NamedTuple):
    """What the server says instead of scores; status 0 closes the connection without a word."""

    status: int
    body: bytes = b'{"message": "refused", "detail": "refused"}'


class Asked(NamedTuple):
    """A request for scores: the client's port tells connections apart; `ranked`: its API answers best first."""

    body: str
    texts: list[str]
    top_n: Any
    port: int
    ranked: bool = True


class PeerServer(ThreadingHTTPServer):
    """It keeps what it was asked.

    ``faults`` are used up one per request; ``order`` is "sorted" (as the real ones answer) or "given";
    ``spoil`` is "", "missing" (a document is left out) or "nan" (a score isn't a number); ``hold`` is how many
    seconds an answer takes; ``most`` is how many requests were in flight at once; ``watch`` is called with each.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """As new."""
        self.asked: list[Asked] = []
        self.visits = 0  # any request, such as one for the list of models
        self.faults: list[Fault] = []
        self.order, self.spoil, self.hold = "sorted", "", 0.0
        self.in_flight = self.most = 0
        self.watch: Callable[[], None] = lambda: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up is part of a probe."""

    def answer(self, asked: Asked) -> Rows | Fault:
        """Note the request; scores, or the fault that is due."""
        with self.lock:
            self.asked.append(asked)
            self.visits += 1
            self.in_flight += 1
            self.most = max(self.most, self.in_flight)
            fault = self.faults.pop(0) if self.faults else None
        try:
            self.watch()
            time.sleep(self.hold)
            return fault or self._rows(asked)
        finally:
            with self.lock:
                self.in_flight -= 1

    def _rows(self, asked: Asked) -> Rows:
        rows = [(index, _score(text)) for index, text in enumerate(asked.texts)]
        if self.spoil == "missing":
            rows.pop(1)
        elif self.spoil == "nan":
            rows[1] = (1, math.nan)
        if self.order == "sorted" and asked.ranked:
            rows.sort(key=lambda row: -row[1])
            rows = rows[: asked.top_n] if isinstance(asked.top_n, int) and asked.top_n > 0 else rows
        return rows


def _score(text: str) -> float:
    found = re.findall(r"p=([\d.]*\d)", text)
    return float(found[-1]) if found else 0.5


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: PeerServer

    def do_GET(self) -> None:
        self.server.visits += 1
        if self.path == "/v1/models":
            self._send(200, json.dumps({"data": [{"id": "toy", "max_model_len": 8192}]}).encode())
        else:
            self._send(404, b"{}")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        top_n = body.get("top_n", body.get("topN"))
        ranked = self.path != "/v1/classify"  # SGLang answers in the order given
        answer = self.server.answer(Asked(json.dumps(body), _texts(body), top_n, self.client_address[1], ranked))
        if isinstance(answer, Fault):
            self.close_connection = answer.status == 0
            if answer.status:
                self._send(answer.status, answer.body)
            return
        self._send(200, json.dumps(_shaped(self.path, body, answer)).encode())

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Keep the output clean."""


def _texts(body: dict[str, Any]) -> list[str]:
    if "passages" in body:  # NVIDIA
        return [passage["text"] for passage in body["passages"]]
    for name in ("documents", "texts", "input"):  # Cohere's shape and OCI's, TEI's, SGLang's
        if isinstance(body.get(name), list):
            return [str(text) for text in body[name]]
    raise ValueError(f"a request of no known shape: {sorted(body)}")


def _shaped(path: str, body: dict[str, Any], rows: Rows) -> Any:
    if path == "/v1/classify":  # SGLang, where each answer has an id of its own
        return {
            "id": f"classify-{uuid4().hex}",
            "data": [
                {"index": i, "label": "yes" if p > 0.5 else "no", "probs": [1 - p, p], "num_classes": 2}
                for i, p in rows
            ],
        }
    if path.endswith("/ranking"):  # NVIDIA
        return {"rankings": [{"index": i, "logit": p} for i, p in rows]}
    if path.endswith("/actions/rerankText"):  # OCI
        ranks = [{"index": i, "relevanceScore": p} for i, p in rows]
        return {"documentRanks": ranks, "id": "1", "modelId": "toy", "modelVersion": "1"}
    if "texts" in body:  # TEI
        return [{"index": i, "score": p} for i, p in rows]
    return {"id": "1", "results": [{"index": i, "relevance_score": p} for i, p in rows]}  # Cohere, Jina, SiliconFlow


@contextmanager
def running() -> Iterator[PeerServer]:
    """The server, in a thread."""
    with PeerServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()


def stay_local() -> None:
    """Look up no name: a reranker that has lost its address must not ask somebody's real server."""
    real = socket.getaddrinfo

    def local(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in {"127.0.0.1", b"127.0.0.1", "localhost", None}:
            raise socket.gaierror(f"{host} is not this machine")
        return real(host, *args, **kwargs)

    socket.getaddrinfo = local  # type: ignore[assignment]
