"""Async requests that are sent without aiohttp's own way: what comes back, and what ends them.

Tests of `transport/prepared.py`, `transport/strict_async.py`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp
import pytest
import trustme
from aiohttp.connector import Connection

from prepared_peer import GOOD, LONG, OK, SECONDS, Line, answering, ask, asking, failure, get, once, own_way, peer
from qwen3_sglang import RerankClient
from qwen3_sglang.protocol.exchange import Request
from qwen3_sglang.protocol.responses import MOST_OF_A_FAILURE
from qwen3_sglang.transport.bounds import BrokenHTTPError, Budget
from qwen3_sglang.transport.strict_async import StrictProtocol

# The answer.


INTERIM = b"HTTP/1.1 102 Processing\r\nX-A: b\r\n\r\n"


@pytest.mark.parametrize("before", [[b"HTTP/1.1 100 Continue\r\n\r\n"], [INTERIM, INTERIM]], ids=["100", "two"])
@pytest.mark.parametrize("apart", [True, False])
async def test_interim_answers_are_passed_over(sent: list[bytes], before: list[bytes], apart: bool) -> None:
    """The answer itself comes after them, and the connection is used again."""

    async def behave(line: Line) -> None:
        for answer in (GOOD, GOOD.replace(b"good", b"well")):
            await line.request()
            for piece in [*before, answer] if apart else [b"".join([*before, answer])]:
                await line.say(piece)
                await asyncio.sleep(0)  # the client reads it alone

    async with peer(behave) as server, asking(server.url) as session:
        assert await ask(session, server.url) == (200, b"good")
        assert await ask(session, server.url) == (200, b"well")
    assert (len(server.lines), len(sent)) == (1, 2)


async def test_a_status_below_100_is_the_answers() -> None:
    """Nothing else may come after it."""
    answer = b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n"
    async with peer(answering(answer)) as server, asking(server.url) as session:
        assert await ask(session, server.url) == (99, b"")


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", (304, b"")),
        (OK + b"Content-Length: 0\r\n\r\n", (200, b"")),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (200, b"")),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\ngo\r\n2\r\nod\r\n0\r\n\r\n", (200, b"good")),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\ngood", (200, b"good")),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", (302, b"")),
        (OK + b"X-Long: " + b"x" * 2**15 + b"\r\nContent-Length: 4\r\n\r\ngood", (200, b"good")),
        (b"HTTP/1.1 503 " + b"x" * 2**15 + b"\r\nContent-Length: 4\r\n\r\ngood", (503, b"good")),
    ],
    ids=["204", "304", "no bytes", "no chunks", "chunks", "not unpacked", "redirect", "long header", "long reason"],
)
async def test_a_whole_answer_leaves_the_connection_for_another(
    sent: list[bytes], answer: bytes, wanted: tuple[int, bytes]
) -> None:
    """Also one without a body; nothing is unpacked or followed. aiohttp's own way says the same."""
    # Those of success differ, since the same bytes again end the connection.
    async with peer(answering(answer, GOOD)) as server, asking(server.url) as session:
        assert await ask(session, server.url) == wanted
        assert await ask(session, server.url) == (200, b"good")
    assert (len(server.lines), len(sent)) == (1, 2)
    with own_way():
        async with peer(answering(answer)) as server, asking(server.url) as session:
            assert await ask(session, server.url) == wanted


async def test_the_answers_headers_are_given() -> None:
    """In any case of letters."""
    answer = OK + b"Retry-After: 7\r\nContent-Length: 0\r\n\r\n"
    async with peer(answering(answer)) as server, asking(server.url) as session:
        _, headers, _ = await get(session.prepared, server.url)
    assert headers["retry-after"] == "7"


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Connection: close\r\nContent-Length: 4\r\n\r\ngood",
        b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\ngood",
    ],
    ids=["it says so", "HTTP/1.0"],
)
async def test_a_connection_that_the_peer_will_close_is_not_used_again(answer: bytes) -> None:
    """Although it is open still."""

    async def behave(line: Line) -> int:
        await line.request()
        await line.say(answer)
        return await line.rest()

    async with peer(behave) as server, asking(server.url) as session:
        for place in range(2):
            assert await ask(session, server.url) == (200, b"good")
            assert await server.done(place) == 0


async def test_a_body_that_ends_with_its_connection() -> None:
    """It has no length."""

    async def behave(line: Line) -> None:
        await line.request()
        await line.say(OK + b"\r\ngo", b"od")
        line.writer.close()

    async with peer(behave) as server, asking(server.url) as session:
        assert await ask(session, server.url) == (200, b"good")


@pytest.mark.parametrize(("status", "read"), [(200, 4), (500, MOST_OF_A_FAILURE)])
async def test_a_body_is_cut_off(status: int, read: int) -> None:
    """No more is read than is of use, by its status; the rest is on no connection that is used again."""

    async def behave(line: Line) -> int:
        await line.request()
        await line.say(b"HTTP/1.1 %d So\r\nContent-Length: %d\r\n\r\n" % (status, read + 9), b"x" * (read + 1))
        return await line.rest()

    async with peer(behave) as server, asking(server.url) as session:
        got = await get(session.prepared, server.url, limit=3)
        assert (got[0], got[2]) == (status, b"x" * read)
        assert await server.done() == 0


async def test_no_connection_is_left_to_an_answer_that_comes_early(sent: list[bytes]) -> None:
    """The rest of the request isn't sent: the connection is closed at once, and the next request has another."""

    async def behave(line: Line) -> int:
        await line.head()
        await line.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nless")
        await left.wait()
        return await line.rest()

    left = asyncio.Event()
    async with peer(behave) as server, asking(server.url) as session:
        before = asyncio.all_tasks()
        for place in range(2):
            assert await ask(session, server.url, LONG) == (413, b"less")
            assert len(server.lines) == place + 1
        assert asyncio.all_tasks() - before == set(server.tasks)
        left.set()
        assert all([await server.done(place) < len(LONG) for place in range(2)])
    assert len(sent) == 2


async def test_a_peer_that_closes_while_it_is_written_to() -> None:
    """As on aiohttp's own way: a connection that is lost, which may be tried again."""

    async def behave(line: Line) -> None:
        await line.reader.readexactly(1000)
        line.hang_up()

    async with peer(behave) as server, asking(server.url) as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await ask(session, server.url, LONG)
        with pytest.raises(aiohttp.ClientConnectionError):
            await ask(session, server.url, LONG)
    assert len(server.lines) == 2


@pytest.mark.parametrize("where", ["writing", "waiting", "reading"])
async def test_a_cancelled_request_leaves_nothing(where: str) -> None:
    """The connection is closed, without what isn't sent yet."""
    arrived, cancelled = asyncio.Event(), asyncio.Event()

    async def behave(line: Line) -> int:
        await (line.head() if where == "writing" else line.request())
        if where == "reading":
            await line.say(OK + b"Content-Length: 9\r\n\r\ngo")
        arrived.set()
        await cancelled.wait()
        return await line.rest()

    async with peer(behave) as server, asking(server.url) as session:
        before = asyncio.all_tasks()
        task = asyncio.create_task(ask(session, server.url, LONG if where == "writing" else b"{}"))
        await asyncio.wait_for(arrived.wait(), SECONDS)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() - before == set(server.tasks)
        assert not session.session.connector._acquired  # type: ignore[union-attr] # it is open
        cancelled.set()
        assert await server.done() < len(LONG)


# How it fails.


BROKEN = {
    "no HTTP": b"hello\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "two lengths": OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "no length": OK + b"Content-Length: x\r\n\r\n",
    "length and chunks": OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a line too long": OK + b"X-A: " + b"x" * 2**17 + b"\r\n\r\n",
    "a header without a name": OK + b"nothing\r\n\r\n",
    "switching": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "coded": OK + b"Transfer-Encoding: gzip\r\n\r\nxx",
    "nothing": b"",
    "half a head": OK + b"X-A: ",
    "half a body": OK + b"Content-Length: 9\r\n\r\nab",
    "half a chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nab",
    "interim alone": INTERIM,
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
async def test_broken_http_is_told_in_aiohttps_words(sent: list[bytes], answer: bytes) -> None:
    """And nothing hangs on to what was raised below."""

    async def behave(line: Line) -> None:
        await line.request()
        await line.say(answer)
        line.writer.close()

    async with peer(behave) as server:
        with own_way():
            own = await failure(server.url)
        ours = await failure(server.url)
    assert (type(ours), str(ours)) == (type(own), str(own))
    assert isinstance(ours, aiohttp.ClientError | BrokenHTTPError)
    if isinstance(ours, aiohttp.ClientResponseError):
        assert (ours.__cause__, ours.__context__) == (None, None)
    assert len(sent) == 1


async def test_nobody_listens() -> None:
    """In aiohttp's words."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and doesn't listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with own_way():
            own = await failure(url)
        ours = await failure(url)
    assert (type(ours), str(ours)) == (type(own), str(own))
    assert isinstance(ours, aiohttp.ClientConnectorError)


async def test_no_connection_in_time() -> None:
    """In aiohttp's words; connect_timeout= bounds TLS too, which this peer doesn't speak."""
    async with peer(Line.rest) as server:
        url = server.url.replace("http", "https")
        with own_way():
            own = await failure(url, connect_timeout=0.05)
        ours = await failure(url, connect_timeout=0.05)
    assert (type(ours), str(ours)) == (type(own), str(own))
    assert isinstance(ours, aiohttp.ConnectionTimeoutError)


@pytest.mark.parametrize("said", [b"", OK + b"Content-Length: 9\r\n\r\ngo"], ids=["no word", "half a body"])
async def test_silence_for_read_timeout(said: bytes) -> None:
    """Before the answer and within it."""

    async def behave(line: Line) -> int:
        await line.request()
        await line.say(said)
        return await line.rest()

    async with peer(behave) as server:
        error = await failure(server.url, read_timeout=0.05)
        assert isinstance(error, aiohttp.SocketTimeoutError)
        assert await server.done() == 0


async def test_tls(sent: list[bytes], tmp_path: Path) -> None:
    """Verified as the client's settings say, and used again."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    behave = answering(OK + b"Content-Length: 3\r\n\r\none", GOOD)
    async with peer(behave, context=context) as server:
        async with asking(server.url, verify=str(tmp_path / "ca.pem")) as session:
            assert await ask(session, server.url) == (200, b"one")
            assert await ask(session, server.url, LONG) == (200, b"good")
        assert (len(server.lines), sent) == (1, [b"{}", LONG])
        assert isinstance(await failure(server.url), aiohttp.ClientConnectorCertificateError)


# A connection alone.


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[StrictProtocol, socket.socket]]:
    """A connection of the running loop, and its other end, which reads only when it is told to."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with theirs:
        transport, protocol = await loop.create_connection(lambda: StrictProtocol(loop), sock=ours)
        with Budget(100, b"a"):
            yield protocol, theirs
        if not transport.is_closing():
            transport.abort()


async def drained(protocol: StrictProtocol, theirs: socket.socket) -> int:
    """The peer reads until nothing is left to send: how many bytes."""
    loop, size = asyncio.get_running_loop(), 0
    while protocol.writing_paused:
        size += len(await asyncio.wait_for(loop.sock_recv(theirs, 2**20), SECONDS))
    return size


async def test_a_closed_connection_is_sent_nothing() -> None:
    """Whoever closed it."""
    protocol = StrictProtocol(asyncio.get_running_loop())
    with pytest.raises(aiohttp.ServerDisconnectedError):
        protocol.send(b"x", b"y", read_timeout=None)
    async with connected() as (protocol, _):
        assert protocol.transport is not None
        protocol.transport.close()
        with pytest.raises(aiohttp.ServerDisconnectedError):
            protocol.send(b"x", b"y", read_timeout=None)
        assert protocol._budget is None


@pytest.mark.parametrize(("size", "pieces"), [(2**18 - 1, 1), (2**18, 2)])
async def test_a_short_request_is_sent_in_one_piece(monkeypatch: pytest.MonkeyPatch, size: int, pieces: int) -> None:
    """A long one isn't: its peer has the head before the rest, and may refuse it."""
    async with connected() as (protocol, theirs):
        transport, written = protocol.transport, list[int]()
        write = transport.write  # type: ignore[union-attr] # it is open

        def note(data: bytes) -> None:
            written.append(len(data))
            write(data)

        monkeypatch.setattr(transport, "write", note)
        protocol.send(b"head", b"x" * size, read_timeout=None)
        assert (len(written), sum(written)) == (pieces, size + 4)
        assert theirs.recv(5, socket.MSG_PEEK) in {b"headx", b"head"}
        assert protocol._read_timeout_handle is None


async def test_the_answer_is_awaited_once_the_request_is_on_its_way() -> None:
    """A peer that reads slowly is not silent: the time begins when most of the request is sent."""
    async with connected() as (protocol, theirs):
        protocol.send(b"head", b"short", read_timeout=SECONDS)
        assert protocol._read_timeout_handle is not None
    async with connected() as (protocol, theirs):
        protocol.send(b"head", LONG, read_timeout=SECONDS)
        assert protocol._read_timeout_handle is None
        assert await drained(protocol, theirs)
        assert protocol._read_timeout_handle is not None
        protocol.data_received(GOOD)
        assert protocol._read_timeout_handle is None


async def test_nothing_is_awaited_after_the_answer() -> None:
    """Where it came early, no time begins."""
    async with connected() as (protocol, theirs):
        protocol.send(b"head", LONG, read_timeout=SECONDS)
        protocol.data_received(GOOD)
        await drained(protocol, theirs)
        assert protocol._read_timeout_handle is None


@pytest.mark.parametrize("way", [own_way, mock.MagicMock], ids=["aiohttp's own", "prepared"])
async def test_a_long_request_is_sent_as_its_peer_reads(way: Callable[[], AbstractContextManager[object]]) -> None:
    """Both ways wait for it, and use the connection again."""
    found: list[bytes] = []

    async def behave(line: Line) -> None:
        for answer in (GOOD, GOOD.replace(b"good", b"well")):
            found.append((await line.request())[1])
            await line.say(answer)

    async with peer(behave) as server, asking(server.url) as session:
        with way():
            assert await ask(session, server.url, LONG) == (200, b"good")
            assert await ask(session, server.url, b"{}") == (200, b"well")
    assert found == [LONG, b"{}"]
    assert len(server.lines) == 1


async def test_ctrl_c_while_the_connection_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is closed, and no place among the connections stays taken."""

    def interrupted(_: Connection) -> None:
        raise KeyboardInterrupt

    async def behave(line: Line) -> int:
        await once(line)
        return await line.rest()

    async with peer(behave) as server, asking(server.url) as session:
        with monkeypatch.context() as patch:
            patch.setattr(Connection, "release", interrupted)
            with pytest.raises(KeyboardInterrupt):
                await ask(session, server.url)
        assert not session.session.connector._acquired  # type: ignore[union-attr] # it is open
        assert await server.done() == 0


async def test_a_connection_whose_request_is_not_all_sent_carries_no_other() -> None:
    """It is dropped; one that sent all stays, and one that is closed is left alone."""
    async with connected() as (protocol, theirs):
        protocol.send(b"head", b"short", read_timeout=None)
        protocol.check_sent()
        assert not protocol.should_close
        protocol.send(b"head", LONG, read_timeout=None)
        protocol.check_sent()
        assert protocol.should_close
        assert not protocol.is_connected()
        protocol.close()
        protocol.check_sent()
        size, loop = 0, asyncio.get_running_loop()
        while part := await asyncio.wait_for(loop.sock_recv(theirs, 2**20), SECONDS):
            size += len(part)
        assert size < len(LONG)


async def test_a_connection_is_dropped_at_once() -> None:
    """Without what isn't sent yet; what is closed already stays so."""
    StrictProtocol(asyncio.get_running_loop()).drop()
    async with connected() as (protocol, theirs):
        transport: Any = protocol.transport
        protocol.send(b"head", LONG, read_timeout=None)
        protocol.drop()
        assert transport.is_closing()
        assert not transport.get_write_buffer_size()
        size, loop = 0, asyncio.get_running_loop()
        while part := await asyncio.wait_for(loop.sock_recv(theirs, 2**20), SECONDS):
            size += len(part)
        assert size < len(LONG)


async def test_an_answer_of_a_whole_client() -> None:
    """A call goes the prepared way too, with its own time in a header."""
    async with peer(once) as server:
        client = RerankClient(server.url, timeout=SECONDS)
        await client._transport._asend(Request("/v1/classify", b"{}", seconds=5.0))
        await client.aclose()
        head, body = await server.done()
    assert b"X-Request-Timeout: " in head
    assert body == b"{}"
