"""A server that answers at once: right-shaped rows for as many prompts as came, and nothing computed.

It runs in a process of its own, so that its work isn't counted as the client's.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

import orjson

# Once a prompt, whichever endpoint; the texts of the benchmark have none of their own.
MARK = b"<|im_end|>\\n<|im_start|>assistant"
ID = b"classify-" + b"0" * 32
MODELS = {"object": "list", "data": [{"id": "instant", "object": "model", "max_model_len": 40960}]}

_numbers = count()


@contextmanager
def instant_server() -> Iterator[str]:
    """Its base_url, while it runs."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def _run(connection: Connection) -> None:
    asyncio.run(_serve(connection))


async def _serve(connection: Connection) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Answers, "127.0.0.1", 0)
    connection.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


class _Answers(asyncio.Protocol):
    """As much of HTTP/1.1 as our clients speak: a head, Content-Length, a body; the connection stays open."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._parts: list[bytes] = []
        self._got = self._wanted = 0

    def data_received(self, data: bytes) -> None:
        self._parts.append(data)
        self._got += len(data)
        if not self._wanted:
            self._wanted = _size(b"".join(self._parts))
        if self._wanted and self._got >= self._wanted:
            request = b"".join(self._parts)
            self._parts, self._got, self._wanted = [], 0, 0
            self._transport.write(_answer(request))


def _size(start: bytes) -> int:
    """Bytes of the whole request; 0 while its head isn't complete."""
    head, found, _ = start.partition(b"\r\n\r\n")
    if not found:
        return 0
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return len(head) + 4 + (int(lengths[0].split(b":")[1]) if lengths else 0)


def _answer(request: bytes) -> bytes:
    if request.startswith((b"POST /tokenize ", b"POST /detokenize ")):  # as a gateway
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"
    if not request.startswith(b"POST"):
        return _http(MODELS)
    # No answer is like another: a client doubts what its connection has carried before.
    rows = _scores if request.startswith(b"POST /v1/score ") else _rows
    return rows(request.count(MARK)).replace(ID, b"classify-%032x" % next(_numbers), 1)


def _probabilities(count: int) -> list[float]:
    return [(37 * index % 1009 + 0.5) / 1010 for index in range(count)]


@cache
def _scores(count: int) -> bytes:
    scores = [[1 - p, p] for p in _probabilities(count)]
    return _http({"scores": scores, "model": "instant", "usage": {"id": ID.decode()}, "object": "scoring"})


@cache
def _rows(count: int) -> bytes:
    scores = _probabilities(count)
    rows = [
        {"index": index, "label": "yes" if p > 0.5 else "no", "probs": [1 - p, p], "num_classes": 2}
        for index, p in enumerate(scores)
    ]
    return _http({"id": ID.decode(), "object": "list", "created": 1, "model": "instant", "data": rows, "usage": {}})


def _http(body: dict[str, Any]) -> bytes:
    content = orjson.dumps(body)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content
