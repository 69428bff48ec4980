"""aiohttp's connections, made strict: what is heard beside an answer, and names looked up.

Tests of `transport/strict.py`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from queue import Empty, Full
from typing import Any

import pytest

from qwen3_sglang.transport.bounds import Budget
from qwen3_sglang.transport.strict import _Shelf
from qwen3_sglang.transport.strict_async import Resolver, _Protocol


class Told:
    """A transport of which only this is known."""

    def __init__(self, **known: object) -> None:
        self._known = known

    def get_extra_info(self, name: str) -> object:
        """As told."""
        return self._known.get(name)


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[_Protocol, socket.socket]]:
    """A connection of the running loop, and its other end."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with theirs:
        transport, protocol = await loop.create_connection(lambda: _Protocol(loop), sock=ours)
        yield protocol, theirs
        transport.abort()


def asked(protocol: _Protocol) -> None:
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
    protocol = _Protocol(asyncio.get_running_loop())
    assert not protocol.spoke()
    assert not protocol.is_connected()


async def test_tickets_of_a_new_tls_connection_are_no_word() -> None:
    """They come unasked, and the system has them; after the first request nothing may."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"ticket")
        protocol = _Protocol(asyncio.get_running_loop())
        protocol.transport = Told(sslcontext=object(), socket=ours)  # type: ignore[assignment] # all that is asked of it
        assert not protocol.spoke()
        asked(protocol)
        assert protocol.spoke()


async def test_a_connection_without_a_socket_is_silent() -> None:
    """Some event loops show none."""
    protocol = _Protocol(asyncio.get_running_loop())
    protocol.transport = Told()  # type: ignore[assignment] # all that is asked of it
    assert not protocol.spoke()


async def test_only_the_first_request_of_a_connection_is_fresh() -> None:
    """Another server may be behind a new one."""
    protocol = _Protocol(asyncio.get_running_loop())
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
