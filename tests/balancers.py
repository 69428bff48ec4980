"""What the tests of examples/deploy's balancers share: servers that record, what passes, and what doesn't."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, ClassVar

import requests

UP_WITHIN = 60.0  # seconds
ENDPOINT = "v1/score-multi-item"
QUERY = "What is the capital of China?"
DOCUMENTS = [
    "Gravity is a force that attracts two bodies.",
    "The capital of China is Beijing.",
    "",
    "大きな文字 🙂",
] * 5

LET_THROUGH = [
    *(("POST", path) for path in ("/v1/score", "/tokenize", "/detokenize")),
    *(("GET", path) for path in ("/v1/models", "/model_info")),
]


REFUSED = [
    *(("POST", path) for path in ("/v1/classify", "/classify", "/v1/rerank", "/v1/embeddings", "/encode", "/generate")),
    *(("POST", path) for path in ("/v1/chat/completions", "/v1/decisions", "/v1/systemone", "/abort_request")),
    *(("GET", path) for path in ("/server_info", "/get_server_info", "/flush_cache", "/health_generate", "/metrics")),
    *(("GET", path) for path in ("/", "/docs", "/openapi.json", "/v1/loads", "/v1/models/x")),
    *(("POST", path) for path in ("/v1/score/", "//v1/score", "/V1/SCORE", "/v1/./score", "/v1/score/../classify")),
    *(("POST", path) for path in ("/v1/%63lassify", "/v1%2Fclassify", "/v1/score%2f..%2fclassify", "/v1/score;x")),
    *((method, "/v1/score") for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS")),
    *(("POST", path) for path in ("/v1/models", "/model_info", "/health")),
]


def answers(url: str) -> bool:
    """Whether it answers 200."""
    try:
        return requests.get(url, timeout=10).status_code == 200
    except requests.ConnectionError:
        return False


def wait_until(met: Any) -> None:
    """Until it is; the test fails where that takes too long."""
    until = time.monotonic() + UP_WITHIN
    while not met():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.05)


@dataclass(frozen=True)
class Asked:
    """One request that reached a server."""

    port: int
    path: str
    headers: dict[str, str]


class Recorder(http.server.BaseHTTPRequestHandler):
    """Keeps what it is asked; answers 200, or closes the connection where the body says so."""

    seen: ClassVar[list[Asked]] = []
    hold: ClassVar[threading.Event] = threading.Event()
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Every method."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path != "/health":  # the balancer's own checks
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.seen.append(Asked(self.connection.getsockname()[1], self.path, headers))
        if b"hold" in body:
            self.hold.wait(UP_WITHIN)
        if b"hang up" in body:
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_GET  # noqa: N815 - http.server's names

    def handle(self) -> None:
        """Without a traceback where the balancer hangs up, as its checks do."""
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def recorder(port: int = 0) -> Iterator[str]:
    """A server that records, as HOST:PORT."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Recorder) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def ask_raw(url: str, method: str, path: str) -> bytes:
    """The whole answer to a path that is sent as it stands: HTTP libraries would tidy it up."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head.encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))
