"""aiohttp's connections, made strict: what is heard beside an answer, and names looked up.

Tests of `transport/strict.py`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import copy_context
from queue import Empty, Full
from typing import Any

import pytest

from qwen3_sglang.transport import strict_async
from qwen3_sglang.transport.bounds import MOST_HEAD, BrokenHTTPError, Budget, TooMuchError, under_way
from qwen3_sglang.transport.strict import _Shelf
from qwen3_sglang.transport.strict_async import Resolver, StrictConnector, StrictProtocol


class Told:
    """A transport of which only this is known."""

    def __init__(self, **known: object) -> None:
        self._known = known

    def get_extra_info(self, name: str) -> object:
        """As told."""
        return self._known.get(name)


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[StrictProtocol, socket.socket]]:
    """A connection of the running loop, and its other end."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with theirs:
        transport, protocol = await loop.create_connection(lambda: StrictProtocol(loop), sock=ours)
        yield protocol, theirs
        transport.abort()


def asked(protocol: StrictProtocol) -> None:
    """A request is about to be sent on it."""
    with Budget(100, b"a"):
        protocol.set_response_params()


async def test_silence_is_no_word() -> None:
    """Nothing came, so that another request may be sent."""
    async with connected() as (protocol, _):
        assert not protocol.spoke()
        assert protocol.is_connected()


@pytest.mark.parametrize("used", [True, False])
async def test_what_only_the_system_has_is_heard(used: bool) -> None:
    """The event loop was held, and has read nothing yet."""
    async with connected() as (protocol, theirs):
        if used:
            asked(protocol)
        theirs.send(b"x")
        assert protocol.spoke()
        assert not protocol.is_connected()


async def test_a_connection_that_is_over_says_nothing() -> None:
    """It isn't connected either."""
    protocol = StrictProtocol(asyncio.get_running_loop())
    assert not protocol.spoke()
    assert not protocol.is_connected()


async def test_tickets_of_a_new_tls_connection_are_no_word() -> None:
    """They come unasked, and the system has them; after the first request nothing may."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"ticket")
        protocol = StrictProtocol(asyncio.get_running_loop())
        protocol.transport = Told(sslcontext=object(), socket=ours)  # type: ignore[assignment] # all that is asked of it
        assert not protocol.spoke()
        asked(protocol)
        assert protocol.spoke()


async def test_a_connection_without_a_socket_is_silent() -> None:
    """Some event loops show none."""
    protocol = StrictProtocol(asyncio.get_running_loop())
    protocol.transport = Told()  # type: ignore[assignment] # all that is asked of it
    assert not protocol.spoke()


async def test_only_the_first_request_of_a_connection_is_fresh() -> None:
    """Another server may be behind a new one."""
    protocol = StrictProtocol(asyncio.get_running_loop())
    found = []
    for _ in range(2):
        with Budget(100, b"a") as budget:
            protocol.set_response_params()
        found.append(budget.fresh)
    assert found == [True, False]


@pytest.mark.parametrize(
    ("options", "families", "port"),
    [
        ({}, {socket.AF_INET}, 0),
        ({"port": 80}, {socket.AF_INET}, 80),
        ({"port": 80, "family": socket.AF_INET}, {socket.AF_INET}, 80),
    ],
)
async def test_an_address_is_its_own(options: dict[str, Any], families: set[int], port: int) -> None:
    """Of any family, unless one is wanted."""
    found = await Resolver().resolve("127.0.0.1", **options)
    assert {one["family"] for one in found} == families
    assert {(one["hostname"], one["host"], one["port"]) for one in found} == {("127.0.0.1", "127.0.0.1", port)}
    assert {one["flags"] for one in found} == {socket.AI_NUMERICHOST}


async def test_an_address_of_another_family_is_none() -> None:
    """As a name that isn't known."""
    with pytest.raises(OSError, match="no address"):
        await Resolver().resolve("127.0.0.1", 80, socket.AF_INET6)


def test_idle_connections_the_last_one_first() -> None:
    """As many as there is room for."""
    shelf = _Shelf(2)
    shelf.put("a", block=False)
    shelf.put("b", block=False)
    assert shelf.qsize() == 2
    with pytest.raises(Full):
        shelf.put("c", block=False)
    assert [shelf.get(block=False, timeout=None) for _ in range(2)] == ["b", "a"]
    with pytest.raises(Empty):
        shelf.get(block=False, timeout=None)


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def receiving(protocol: StrictProtocol, *data: bytes, limit: int = 10**6) -> Budget:
    """A request was sent on it, and these pieces came."""
    budget, context = Budget(limit, b"a"), copy_context()
    context.run(under_way.set, budget)
    context.run(protocol.set_response_params)
    for piece in data:
        protocol.data_received(piece)
    return budget


@pytest.mark.parametrize(
    ("data", "body"),
    [
        ((HEAD + b"Content-Length: 1\r\n\r\n", b"x"), b"x"),
        ((HEAD + b"Content-Length: 4\r\n\r\nab", b"c", b"d"), b"abcd"),
        ((CHUNKED + b"1\r\na\r\n2\r\nbc\r\n4\r\ndefg\r\n", b"1\r\nh\r\n0\r\n\r\n"), b"abcdefgh"),
        ((CHUNKED + b"4\r\nabcd\r\n2\r\nef\r\n1\r\ng\r\n0\r\n\r\n",), b"abcdefg"),
    ],
    ids=["one byte", "several pieces", "several chunks per piece", "chunks of falling length"],
)
async def test_a_body_is_compared_as_a_whole(data: tuple[bytes, ...], body: bytes) -> None:
    """However it comes."""
    async with connected() as (protocol, _):
        receiving(protocol, *data)
        assert protocol.exception() is None
        assert protocol._carried.add(b"a", body) is True


async def test_the_head_has_a_limit_and_the_body_another() -> None:
    """What comes before the body isn't counted as a part of it, nor the other way round."""
    hint = b"HTTP/1.1 102 Processing\r\n\r\n"
    async with connected() as (protocol, _):
        receiving(protocol, hint * (MOST_HEAD // len(hint)))
        assert protocol.exception() is None
        protocol.data_received(hint)
        assert isinstance(protocol.exception(), TooMuchError)
        assert not protocol.is_connected()
    async with connected() as (protocol, _):
        receiving(protocol, HEAD + b"Content-Length: %d\r\n\r\n" % (2 * MOST_HEAD), *[b"x" * MOST_HEAD] * 2)
        assert protocol.exception() is None


async def test_a_failure_is_told_to_whoever_reads_the_body() -> None:
    """They have the headers, and wait for more."""
    async with connected() as (protocol, _):
        receiving(protocol, CHUNKED + b"1\r\nx\r\n", b"\r\n" + b"f" * 16 + b"\r\n")
        assert isinstance(protocol._answer.exception(), BrokenHTTPError)
        assert protocol.transport is None or protocol.transport.is_closing()


async def test_what_comes_unasked_ends_the_connection() -> None:
    """Before any request, and after the answer; what was closed already stays so."""
    async with connected() as (protocol, _):
        assert protocol.transport is not None
        protocol.data_received(b"x")
        assert protocol.should_close
        assert protocol.transport.is_closing()
    async with connected() as (protocol, _):
        transport = protocol.transport
        assert transport is not None
        receiving(protocol, HEAD + b"Content-Length: 1\r\n\r\nx")
        protocol.data_received(b"")  # aiohttp's own way to go on after a pause
        assert not transport.is_closing()
        protocol.data_received(b"x")
        assert transport.is_closing()
    closed = StrictProtocol(asyncio.get_running_loop())
    closed.data_received(b"x")
    assert closed.should_close


@pytest.mark.parametrize("surplus", [b"", HEAD + b"Content-Length: 1\r\n\r\nx"], ids=["once", "twice"])
async def test_an_answer_that_comes_twice_ends_the_connection(surplus: bytes) -> None:
    """Also where whoever reads it has closed the connection as soon as it was whole."""
    async with connected() as (protocol, _):
        transport = protocol.transport
        assert transport is not None
        budget = receiving(protocol, HEAD + b"Content-Length: 1\r\n\r\nx" + surplus)
        assert (budget.spent, transport.is_closing()) == (bool(surplus), bool(surplus))
    async with connected() as (protocol, _):
        budget = receiving(protocol, HEAD + b"Content-Length: 1\r\n\r\n")
        protocol._answer.on_eof(protocol.close)
        protocol.data_received(b"x" + surplus)
        assert budget.spent is bool(surplus)
        assert protocol.transport is None


async def test_a_connection_that_is_to_be_closed_takes_no_request() -> None:
    """As a peer may ask with its answer."""
    async with connected() as (protocol, _):
        assert protocol.is_connected()
        protocol.force_close()
        assert not protocol.is_connected()


@pytest.mark.parametrize("place", ["_tail", "_buffer"])
async def test_what_aiohttp_has_read_is_heard(place: str) -> None:
    """Bytes that it hasn't parsed, or an answer that nobody took."""
    async with connected() as (protocol, _):
        assert not protocol.spoke()
        setattr(protocol, place, b"x")
        assert protocol.spoke()


async def test_silence_is_found_out_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop is not held up."""
    waited = []

    def wait(_: object, *, timeout: float) -> bool:
        waited.append(timeout)
        return False

    monkeypatch.setattr(strict_async, "wait_for_read", wait)
    async with connected() as (protocol, _):
        assert not protocol.spoke()
    assert waited == [0]


def test_a_connector_is_closed_with_its_loop() -> None:
    """Or before; names are looked up anew for each connection, since they move."""

    async def made(closed: bool) -> StrictConnector:
        connector = StrictConnector()
        assert not connector.closed
        assert not connector.use_dns_cache
        if closed:
            await connector.close()
            assert connector.closed
        return connector

    assert asyncio.run(made(False)).closed
    assert asyncio.run(made(True)).closed
