"""What counts as one whole answer over a blocking connection.

Tests of `transport/bodies.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from http.client import HTTPException, IncompleteRead, RemoteDisconnected

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol
from urllib3 import HTTPResponse

from qwen3_sglang.protocol.responses import MOST_OF_A_FAILURE
from qwen3_sglang.transport.bodies import aread, most, read
from qwen3_sglang.transport.bounds import MOST_HEAD, Bounds, BrokenHTTPError, Carried, TooMuchError
from qwen3_sglang.transport.deadline import Deadline
from qwen3_sglang.transport.framing import StrictResponse

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def answered(sent: bytes, carried: Carried | None = None) -> tuple[bytes, bool, bool]:
    """The body; whether the connection can serve another request; whether it may be another request's answer."""
    ours, theirs = socket.socketpair()
    with ours, theirs, Bounds(1000, b"asked", deadline=Deadline(30)) as bounds:
        bounds.hold(ours, carried or Carried())
        theirs.sendall(sent)
        theirs.shutdown(socket.SHUT_WR)
        response = StrictResponse(ours, method="POST")
        try:
            response.begin()
            body = response.read()
            assert response.read() == b""
        finally:
            response.close()
        try:
            ours.send(b"x")
        except OSError:
            return body, False, bounds.doubted
        return body, True, bounds.doubted


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (OK + b"Content-Length: 2\r\n\r\nhi", b"hi"),
        (OK + b"Content-Length:  2 \r\n\r\nhi", b"hi"),
        (OK + b"Content-Length: 0\r\n\r\n", b""),
        (OK + b"\r\nuntil the end", b"until the end"),
        (CHUNKED + b"2\r\nhi\r\n0\r\n\r\n", b"hi"),
        (CHUNKED + b"00a;name=value\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n", b"0123456789"),
        (CHUNKED + b"10\r\n0123456789abcdef\r\n0\r\n\r\n", b"0123456789abcdef"),
        (CHUNKED + b"000000000000002\r\nhi\r\n0\r\n\r\n", b"hi"),
        (CHUNKED + b"2;" + b"x" * (2**16 - 4) + b"\r\nhi\r\n0\r\n\r\n", b"hi"),
        (CHUNKED + b"2 \t\r\nhi\r\nB\n0123456789a\r\n0\r\n\r\n", b"hi0123456789a"),
        (OK + b"Transfer-Encoding:  Chunked \r\n\r\n1\r\nx\r\n0\r\n\r\n", b"x"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 199 ?\r\n\r\nHTTP/1.1 100 Continue\r\nA: b\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi", b"hi"),
    ],
)
def test_what_is_plain(sent: bytes, body: bytes) -> None:
    """Interim answers, however many, and trailers are skipped."""
    assert answered(sent)[0] == body


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi", BrokenHTTPError),
        (OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", BrokenHTTPError),
        (OK + b"Content-Length: +2\r\n\r\nhi", BrokenHTTPError),
        (OK + b"Content-Length: 2, 2\r\n\r\nhi", BrokenHTTPError),
        (OK + b"Content-Length: 0000000000000000002\r\n\r\nhi", BrokenHTTPError),
        (OK + "Content-Length: \uff12\r\n\r\nhi".encode(), BrokenHTTPError),
        (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n", BrokenHTTPError),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", BrokenHTTPError),
        (OK + b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n", BrokenHTTPError),
        (OK + b"Transfer-Encoding: br\r\n\r\n0\r\n\r\n", BrokenHTTPError),
        (OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BrokenHTTPError),
        (OK + b"no header\r\nContent-Length: 2\r\n\r\nhi", BrokenHTTPError),
        (OK + b" the rest of no line\r\nContent-Length: 2\r\n\r\nhi", BrokenHTTPError),
        (CHUNKED + b"-5\r\nhi\r\n0\r\n\r\n", BrokenHTTPError),
        (CHUNKED + b"\r\n\r\n", BrokenHTTPError),
        (CHUNKED + b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n", BrokenHTTPError),
        (CHUNKED + b"0000000000000002\r\nhi\r\n0\r\n\r\n", BrokenHTTPError),
        (CHUNKED + b"1\r\nhi\r\n0\r\n\r\n", BrokenHTTPError),
        (CHUNKED + b"2\r\nhixx0\r\n\r\n", BrokenHTTPError),
        (CHUNKED + b"2\r\nhi\n\n0\r\n\r\n", BrokenHTTPError),
        (CHUNKED + b"1;" + b"x" * (2**16 - 3) + b"\r\nh\r\n0\r\n\r\n", BrokenHTTPError),
        (CHUNKED + b"1;" + b"x" * (2**16 - 2), BrokenHTTPError),
        (CHUNKED + b"1;" + b"x" * (2**16 - 3), IncompleteRead),
        (CHUNKED + b"2\r\nhi\r\n", RemoteDisconnected),
        (CHUNKED + b"2\r\nhi\r\n0\r\n", RemoteDisconnected),
        (CHUNKED + b"2\r\nhi\r\n0", IncompleteRead),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n", RemoteDisconnected),
        (OK + b"Content-Length: 3\r\n\r\nhi", IncompleteRead),
        (b"rubbish\r\n\r\n", HTTPException),
        (b"", RemoteDisconnected),
    ],
)
def test_what_is_not(sent: bytes, error: type[Exception]) -> None:
    """Nothing is guessed."""
    with pytest.raises(error):
        answered(sent)


def test_a_connection_with_more_behind_the_answer_is_over() -> None:
    """One byte is enough; with none it may serve another request."""
    whole = OK + b"Content-Length: 2\r\n\r\nhi"
    assert answered(whole)[:2] == (b"hi", True)
    assert answered(whole + b"!")[:2] == (b"hi", False)


@pytest.mark.parametrize(("status", "again"), [(b"200", True), (b"299", True), (b"300", False), (b"500", False)])
def test_an_answer_that_comes_again_ends_its_connection(status: bytes, again: bool) -> None:
    """To another request than before; a refusal may well be the same."""
    whole = b"HTTP/1.1 " + status + b" X\r\nContent-Length: 2\r\n\r\nhi"
    carried = Carried()
    before = Bounds(1000, b"another", deadline=Deadline(30))
    before.read(b"hi")
    before.whole(carried, surplus=False)
    assert answered(whole, carried) == (b"hi", not again, again)


def test_nothing_is_read_where_nothing_was_asked() -> None:
    """A connection outside of a request's bounds."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(OK)
        response = StrictResponse(ours, method="GET")
        with pytest.raises(BrokenHTTPError, match="nothing is asked for"):
            response.begin()


def test_how_much_of_a_body_is_read() -> None:
    """One byte more than a success may have, which shows that it is too long; some words of a failure."""
    assert most(7, 200) == most(7, 299) == 8
    assert most(7, 300) == most(7, 500) == MOST_OF_A_FAILURE


@pytest.mark.parametrize("limit", [0, 1, 9, 10, 11, 100])
def test_no_more_than_that_is_read(limit: int) -> None:
    """Sync and async, though it comes in pieces."""
    body = b"0123456789"

    class Pieces:
        def __init__(self) -> None:
            self.left = body

        def read(self, size: int = -1) -> bytes:
            piece, self.left = self.left[: min(3, size)], self.left[min(3, size) :]
            return piece

        def close(self) -> None:
            """Nothing to close."""

    assert read(HTTPResponse(Pieces(), preload_content=False), limit) == body[:limit]  # type: ignore[arg-type] # it reads

    async def read_stream() -> bytes:
        loop = asyncio.get_running_loop()
        stream = aiohttp.StreamReader(BaseProtocol(loop), 2**16, loop=loop)
        for place in range(0, len(body), 3):
            stream.feed_data(body[place : place + 3])
        stream.feed_eof()
        return await aread(stream, limit)

    assert asyncio.run(read_stream()) == body[:limit]


@pytest.mark.parametrize("limit", [1, 5, 9, 10])
async def test_no_more_is_waited_for_than_is_read(limit: int) -> None:
    """The peer may say nothing further, and keep the connection open."""
    loop = asyncio.get_running_loop()
    stream = aiohttp.StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    stream.feed_data(b"0123456789")
    assert await asyncio.wait_for(aread(stream, limit), 5) == b"0123456789"[:limit]

    class Silent:
        asked = 0

        def read(self, size: int, **_: object) -> bytes:
            self.asked += size
            assert self.asked <= 10
            return b"x" * size

    assert read(Silent(), limit) == b"x" * limit  # type: ignore[arg-type] # it reads


def flooded(sent: bytes, read_timeout: float | None = None) -> tuple[bytes, float | None]:
    """The body of what is more than a socket holds; how long the last wait for a piece of it might have been."""
    ours, theirs = socket.socketpair()
    with ours, theirs, Bounds(1000, b"asked", deadline=Deadline(30), read_timeout=read_timeout) as bounds:
        bounds.hold(ours, Carried())

        def send() -> None:
            with contextlib.suppress(OSError):
                theirs.sendall(sent)

        thread = threading.Thread(target=send)
        thread.start()
        response = StrictResponse(ours, method="POST")
        try:
            response.begin()
            return response.read(), ours.gettimeout()
        finally:
            ours.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_the_head_has_a_limit_and_the_body_another() -> None:
    """What comes before the body isn't counted as a part of it, nor the other way round."""
    line = b"X: " + b"x" * 60_000 + b"\r\n"
    with pytest.raises(TooMuchError, match="bytes of headers"):
        flooded(OK + line * 5)
    body = b"x" * (MOST_HEAD + 1000)
    assert flooded(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)[0] == body


def test_each_piece_is_waited_for_so_long() -> None:
    """By read_timeout; without one, for what is left of the call."""
    whole = OK + b"Content-Length: 2\r\n\r\nhi"
    assert flooded(whole, read_timeout=2)[1] == 2
    assert (flooded(whole)[1] or 0) > 20
