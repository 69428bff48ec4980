"""A peer on a raw socket that computes each score from the text, so that another text's answer shows."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

QUESTIONS = ("/server_info", "/model_info")  # which way a server runs: no part of what these tests are about
LATER = threading.Event()  # never set: `LATER.wait(seconds)` is a pause that no clock is patched for
MODELS = {"object": "list", "data": [{"id": "toy", "object": "model", "max_model_len": 8192}]}


class Asked(NamedTuple):
    """A request as it came, and what it is answered where nothing goes wrong."""

    connection: socket.socket
    path: str
    body: bytes
    number: int  # of its connection
    good: bytes

    def say(self, *pieces: bytes) -> None:
        """Send these bytes."""
        self.connection.sendall(b"".join(pieces))

    def hang_up(self) -> None:
        """The end of the connection, without a word."""
        self.connection.shutdown(socket.SHUT_RDWR)


def score(text: str) -> float:
    """What the peer scores a text."""
    return float(re.findall(r"p=([\d.]*\d)", text)[-1])


def answer(body: bytes, model: str = "toy", limit: int = 8192) -> bytes:
    """The right JSON to a request for scores, or for the list of models where there is no body."""
    if not body:
        rows = [{"id": model, "object": "model", "max_model_len": limit}]
        return json.dumps({"object": "list", "data": rows}).encode()
    asked = json.loads(body)
    if "items" in asked:
        scores = [[1 - score(text), score(text)] for text in asked["items"]]
        return json.dumps({"object": "scoring", "scores": scores, "model": asked["model"]}).encode()
    if "input" not in asked:  # its tokens
        return b"{}"
    rows = [
        {"index": index, "label": "yes" if p > 0.5 else "no", "probs": [1 - p, p], "num_classes": 2}
        for index, p in enumerate(map(score, asked["input"]))
    ]
    return json.dumps({"object": "list", "model": model, "data": rows}).encode()


def framed(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """A whole answer."""
    lines = [b"HTTP/1.1 " + status, *headers, b"Content-Length: %d" % len(body), b"", body]
    return b"\r\n".join(lines)


def chunked(body: bytes, *headers: bytes, status: bytes = b"200 OK", size: int = 16) -> bytes:
    """The same in chunks."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    lines = [b"HTTP/1.1 " + status, *headers, b"Transfer-Encoding: chunked", b"", b""]
    return b"\r\n".join(lines) + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in [*pieces, b""])


class Peer:
    """Listens on loopback; `behave` says what each request meets. It keeps how many connections there were.

    With a `context` it speaks TLS.
    """

    def __init__(self, behave: Callable[[Asked], object], context: ssl.SSLContext | None = None) -> None:
        self.behave = behave
        self.context = context
        self.paths: list[str] = []
        self.connections = 0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self.url = f"{'http' if context is None else 'https'}://127.0.0.1:{self._listener.getsockname()[1]}"

    def hang_up(self) -> None:
        """Close every connection, as a restart does."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._open.clear()

    def accept(self) -> None:
        """Until the listener is closed."""
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with self._lock:
                    self.connections += 1
                    self._open.append(connection)
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        if self.context is not None:
            try:
                connection = self.context.wrap_socket(connection, server_side=True)
            except OSError:  # it was closed within the handshake
                return
        with suppress(OSError, ValueError), connection, connection.makefile("rb") as stream:
            number = 0
            while (read := _read(stream)) is not None:
                number += 1
                path, body = read
                if path in QUESTIONS:  # as a gateway answers, so that lists are asked as by default
                    number -= 1
                    connection.sendall(framed(b"not here", status=b"404 Not Found"))
                    continue
                self.paths.append(path)
                self.behave(Asked(connection, path, body, number, answer(body)))

    def stop(self) -> None:
        """Listen no more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()


def _read(stream: Any) -> tuple[str, bytes] | None:
    line = stream.readline().split()
    if not line:
        return None
    length = 0
    while header := stream.readline().strip():
        name, _, value = header.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return line[1].decode(), stream.read(length)


@contextmanager
def peer(behave: Callable[[Asked], object], context: ssl.SSLContext | None = None) -> Iterator[Peer]:
    """One that behaves so, until left."""
    running = Peer(behave, context)
    thread = threading.Thread(target=running.accept)
    thread.start()
    try:
        yield running
    finally:
        running.stop()
        thread.join()


def right(asked: Asked) -> None:
    """The right answer."""
    asked.say(framed(asked.good))
