"""What belongs to an event loop is closed with it.

Tests of `transport/loops.py`, `transport/sessions.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import pytest

from qwen3_sglang import RerankClient
from qwen3_sglang.transport.loops import close_with, keep_open
from qwen3_sglang.transport.sessions import HEADERS, LoopSession, abandon_all, make_session
from qwen3_sglang.transport.strict import StrictAdapter


def closing(said: list[str], name: str = "closed") -> Callable[[], Coroutine[Any, Any, None]]:
    """What says that it was run, in a turn of the loop's own."""

    async def close() -> None:
        await asyncio.sleep(0)
        said.append(name)

    return close


def test_it_is_closed_before_its_loop() -> None:
    """All of it, once; and then the loop."""
    loop, said = asyncio.new_event_loop(), list[str]()
    close_with(loop, closing(said, "a"))
    close_with(loop, closing(said, "b"))
    loop.close()
    assert sorted(said) == ["a", "b"]
    assert loop.is_closed()
    loop.close()
    assert sorted(said) == ["a", "b"]


def test_what_is_closed_already_is_not_closed_again() -> None:
    """Nor is it missed where it never belonged to the loop."""
    loop, said = asyncio.new_event_loop(), list[str]()
    one, other = closing(said, "one"), closing(said, "other")
    keep_open(loop, one)
    close_with(loop, one)
    close_with(loop, other)
    keep_open(loop, one)
    keep_open(loop, one)
    loop.close()
    assert said == ["other"]


def test_a_loop_that_runs_is_not_closed_by_it() -> None:
    """asyncio says so, as it does of any; what belongs to it is kept."""
    said = list[str]()

    async def work() -> None:
        loop = asyncio.get_running_loop()
        close_with(loop, closing(said))
        with pytest.raises(RuntimeError, match="running"):
            loop.close()
        assert said == []

    asyncio.run(work())
    assert said == ["closed"]


def test_a_loop_closed_inside_another() -> None:
    """One thread runs one loop at a time: what belongs to it is closed in a thread of its own."""
    loop, said = asyncio.new_event_loop(), list[str]()
    close_with(loop, closing(said))

    async def outer() -> None:
        loop.close()

    asyncio.run(outer())
    assert said == ["closed"]
    assert loop.is_closed()


def test_what_fails_to_close_keeps_no_loop_open() -> None:
    """Nobody is there to be told."""
    loop, said = asyncio.new_event_loop(), list[str]()

    async def fail() -> None:
        raise ValueError

    close_with(loop, fail)
    close_with(loop, closing(said))
    loop.close()
    assert loop.is_closed()
    assert said == ["closed"]


def test_somebody_elses_close_is_still_called() -> None:
    """Frameworks put their own in its place."""
    loop, said = asyncio.new_event_loop(), list[str]()
    own = loop.close

    def theirs() -> None:
        said.append("theirs")
        own()

    loop.close = theirs  # type: ignore[method-assign] # as they do
    close_with(loop, closing(said, "ours"))
    loop.close()
    assert said == ["ours", "theirs"]
    assert loop.is_closed()


def opened(url: str = "http://127.0.0.1:1", **options: Any) -> LoopSession:
    """The running loop's session."""
    return LoopSession(RerankClient(url, **options).settings)


def test_a_session_is_closed_with_its_loop() -> None:
    """Though nobody closes it."""
    found = list[LoopSession]()

    async def work() -> None:
        found.append(opened())

    asyncio.run(work())
    assert found[0].session.closed


def test_a_session_that_is_abandoned_while_its_loop_runs() -> None:
    """It is closed there, from any thread."""

    async def work() -> None:
        loop = asyncio.get_running_loop()
        one, other = opened(), opened()
        await asyncio.to_thread(abandon_all, {loop: one})
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
        assert one.session.closed
        assert not other.session.closed

    asyncio.run(work())


def test_what_a_session_keeps_to() -> None:
    """Its client's figures; the call as a whole has a limit of its own."""

    async def work() -> None:
        session = opened(max_concurrency=7, connect_timeout=3, read_timeout=4)
        connector = session.session.connector
        assert session.session.timeout == aiohttp.ClientTimeout(total=None, connect=3, sock_read=4)
        assert isinstance(connector, aiohttp.TCPConnector)
        assert connector.limit == 7
        assert {name: session.session.headers[name] for name in HEADERS} == HEADERS
        for _ in range(7):
            assert not session.slots.locked()
            await session.slots.acquire()
        assert session.slots.locked()
        await session.close()

    asyncio.run(work())


@pytest.mark.parametrize(("most", "places"), [(7, 7), (1000, 1000), (5000, 1000)])
def test_a_pool_has_a_thousand_places_at_most(most: int, places: int) -> None:
    """urllib3 makes all of them at once."""
    session = make_session(RerankClient("http://127.0.0.1:1", max_concurrency=most).settings)
    for url in ("http://host", "https://host"):
        adapter = session.get_adapter(url)
        assert isinstance(adapter, StrictAdapter)
        assert adapter._pool_maxsize == places  # type: ignore[attr-defined] # requests'
    session.close()
