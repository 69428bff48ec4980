"""A server on a raw socket that fails as told, in front of one that doesn't."""

from __future__ import annotations

import gzip
import http.client
import itertools
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

TEN_MILLISECONDS = 0.01
ENOUGH = 3000  # drips, or blocks of a flood: half a minute, in case a client never hangs up


class Asked(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    key: str | None
    body: bytes

    @property
    def texts(self) -> list[str]:
        """The prompts of a list."""
        return list(json.loads(self.body)["input"])


class Exchange(NamedTuple):
    """What a fault works with."""

    connection: socket.socket
    asked: Asked
    forward: Callable[[], tuple[int, bytes]]


Fault = Callable[[Exchange], bool]  # whether the connection can be used again


class Faulty:
    """Listens while entered; each POST meets the next fault of `script`, and goes through when there is none."""

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream).netloc
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self.asked: list[Asked] = []
        self.script: Iterator[Fault] = iter(())
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def fail(self, *faults: Fault, always: bool = False) -> None:
        """Meet the next requests with these faults; `always`: over and over."""
        self.script = itertools.cycle(faults) if always else iter(faults)

    @property
    def lists(self) -> list[list[str]]:
        """The prompts of each list that came."""
        return [asked.texts for asked in self.asked if asked.method == "POST"]

    @contextmanager
    def running(self) -> Iterator[Faulty]:
        """Accept until left, then wait for the last connection."""
        accepting = threading.Thread(target=self._accept)
        accepting.start()
        try:
            yield self
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            self._listener.close()
            for thread in self._threads:
                thread.join(20)
            # A connection that a closed client holds open would keep its thread waiting.
            assert not [thread for thread in self._threads if thread.is_alive()]

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._talk, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as stream:
            while (asked := _read(stream)) is not None:
                with self._lock:
                    self.asked.append(asked)
                    fault = next(self.script, through) if asked.method == "POST" else through
                if not fault(Exchange(connection, asked, lambda asked=asked: self._forward(asked))):
                    return

    def _forward(self, asked: Asked) -> tuple[int, bytes]:
        upstream = http.client.HTTPConnection(self._upstream)
        upstream.request(asked.method, asked.path, asked.body or None, {"Content-Type": "application/json"})
        answer = upstream.getresponse()
        found = answer.status, answer.read()
        upstream.close()
        return found


def _read(stream: Any) -> Asked | None:
    line = stream.readline().split()
    if not line:
        return None
    headers = http.client.parse_headers(stream)
    body = stream.read(int(headers.get("Content-Length", 0)))
    return Asked(line[0].decode(), line[1].decode(), headers.get("Authorization"), body)


def _head(status: int, length: int | None, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", *headers]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


def through(exchange: Exchange) -> bool:
    """No fault."""
    status, body = exchange.forward()
    exchange.connection.sendall(_head(status, len(body)) + body)
    return True


def answer(status: int, body: bytes, *headers: str) -> Fault:
    """This, whatever was asked."""

    def fault(exchange: Exchange) -> bool:
        exchange.connection.sendall(_head(status, len(body), *headers) + body)
        return True

    return fault


def altered(change: Callable[[list[dict[str, Any]]], Any]) -> Fault:
    """The right answer with other rows."""

    def fault(exchange: Exchange) -> bool:
        body = json.loads(exchange.forward()[1])
        return answer(200, json.dumps(body | {"data": change(body["data"])}).encode())(exchange)

    return fault


def refusing(refuses: Callable[[list[str]], bool], refusal: Fault) -> Fault:
    """A refusal of some lists; the others go through."""
    return lambda exchange: refusal(exchange) if refuses(exchange.asked.texts) else through(exchange)


def _reset(connection: socket.socket) -> bool:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RD)
    return False


def reset_before_headers(exchange: Exchange) -> bool:
    """The connection is gone instead of an answer."""
    return _reset(exchange.connection)


def reset_after_headers(exchange: Exchange) -> bool:
    """The connection is gone after the promise of an answer."""
    exchange.connection.sendall(_head(200, 500))
    return _reset(exchange.connection)


def closed_before_headers(exchange: Exchange) -> bool:
    """An orderly end instead of an answer."""
    return False


def no_http(exchange: Exchange) -> bool:
    """Something else than HTTP."""
    exchange.connection.sendall(b"220 mail.example ESMTP\r\n")
    return False


def cut_short(exchange: Exchange) -> bool:
    """Half of what Content-Length says."""
    status, body = exchange.forward()
    exchange.connection.sendall(_head(status, len(body)) + body[: len(body) // 2])
    return False


def chunk_cut_short(exchange: Exchange) -> bool:
    """A chunked answer that never comes to its last chunk."""
    exchange.connection.sendall(_head(200, None, "Transfer-Encoding: chunked") + b'8\r\n{"data":\r\n')
    return False


def _slowly(connection: socket.socket, pieces: Iterable[bytes]) -> bool:
    connection.settimeout(TEN_MILLISECONDS)
    for piece in pieces:
        connection.sendall(piece)
        try:
            if not connection.recv(1):
                break  # the client has hung up
        except TimeoutError:
            continue
    return False


def drips_headers(exchange: Exchange) -> bool:
    """A header that never ends, a byte now and then."""
    exchange.connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    return _slowly(exchange.connection, itertools.repeat(b"x", ENOUGH))


def drips_body(exchange: Exchange) -> bool:
    """A body that never ends, a byte now and then."""
    exchange.connection.sendall(_head(200, 10**6))
    return _slowly(exchange.connection, itertools.repeat(b" ", ENOUGH))


def silent(exchange: Exchange) -> bool:
    """Nothing, until the client hangs up."""
    return _slowly(exchange.connection, itertools.repeat(b"", ENOUGH))


def floods(exchange: Exchange) -> bool:
    """More than anybody asked for."""
    exchange.connection.sendall(_head(200, None, "Transfer-Encoding: chunked"))
    block = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    for _ in range(ENOUGH):
        exchange.connection.sendall(block)
    return False


def gzip_bomb(exchange: Exchange) -> bool:
    """A hundred megabytes in a hundred kilobytes."""
    packed = gzip.compress(bytes(10**8), 1)
    exchange.connection.sendall(_head(200, len(packed), "Content-Encoding: gzip") + packed)
    return False
