"""What belongs to an event loop is closed with it.

Tests of `transport/loops.py`, `transport/sessions.py`.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import pytest
import requests

from qwen3_sglang import RerankClient
from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.transport import loops
from qwen3_sglang.transport.loops import close_with, keep_open, running
from qwen3_sglang.transport.sessions import HEADERS, LoopSession, abandon_all, make_session
from qwen3_sglang.transport.strict import StrictAdapter
from stand_in import seen_by

LONG = 60.0  # seconds; no test waits for them to pass


def closing(
    said: list[str], name: str = "closed", began: list[str] | None = None
) -> Callable[[], Coroutine[Any, Any, None]]:
    """What says that it was run, in a turn of the loop's own; and before, that it was begun."""

    async def work() -> None:
        await asyncio.sleep(0)
        said.append(name)

    def close() -> Coroutine[Any, Any, None]:
        if began is not None:
            began.append(name)
        return work()

    return close


def test_it_is_closed_before_its_loop() -> None:
    """All of it, once; and then the loop."""
    loop, said = asyncio.new_event_loop(), list[str]()
    close_with(loop, closing(said, "a"))
    close_with(loop, closing(said, "b"))
    loop.close()
    assert sorted(said) == ["a", "b"]
    assert loop.is_closed()
    later = list[str]()
    close_with(loop, closing(said, "late", later))
    loop.close()
    assert (sorted(said), later) == (["a", "b"], [])


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
    said, began = list[str](), list[str]()

    async def work() -> None:
        loop = asyncio.get_running_loop()
        close_with(loop, closing(said, began=began))
        with pytest.raises(RuntimeError, match="running"):
            loop.close()
        assert (said, began) == ([], [])

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
        connector = one.session.connector
        assert connector is not None
        await asyncio.to_thread(abandon_all, {loop: one})
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
        assert one.session.closed
        assert connector.closed
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


def test_work_without_a_loop_is_closed() -> None:
    """It would complain that nobody awaited it; the error says what to do."""
    work = closing([])()
    with pytest.raises(InvalidInputError, match="call it inside asyncio"):
        running(work)
    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED
    with pytest.raises(InvalidInputError):
        running()


class Sealed(asyncio.SelectorEventLoop):
    """A loop whose `close` can't be replaced, as one that is written in C."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "close":
            raise AttributeError(name)
        super().__setattr__(name, value)


@pytest.mark.parametrize("kind", [asyncio.SelectorEventLoop, Sealed])
def test_a_call_works_in_any_loop(kind: type[asyncio.SelectorEventLoop]) -> None:
    """What belongs to one that tells nobody of its end is left to others."""
    loop, said = kind(), list[str]()
    close_with(loop, closing(said))
    transport = RerankClient("http://127.0.0.1:1")._transport
    assert loop.run_until_complete(transport.within(asyncio.sleep(0, "done"))) == "done"
    loop.close()
    assert loop.is_closed()
    assert said == ([] if kind is Sealed else ["closed"])


def test_a_session_of_a_loop_that_told_nobody() -> None:
    """Its sockets were closed with the loop: nothing is left to complain about."""
    loop = Sealed()

    async def work() -> LoopSession:
        return opened()

    session = loop.run_until_complete(work())
    loop.close()
    session.abandon()
    assert session.session.connector is None


def test_calls_under_way_are_cancelled_with_their_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have a second to clean up, in turns of the loop; a call that is over is left alone."""
    loop, waited = asyncio.new_event_loop(), list[float | None]()
    wait = asyncio.wait

    async def waiting(tasks: set[asyncio.Task[Any]], **limit: float) -> Any:
        assert len(tasks) == 1
        waited.append(limit["timeout"])
        return await wait(tasks, timeout=LONG)

    async def work() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            for _ in range(20):
                await asyncio.sleep(0)
            waited.append(None)

    seen_by(monkeypatch, loops, "asyncio", wait=waiting)
    transport = RerankClient("http://127.0.0.1:1")._transport
    loop.run_until_complete(transport.within(asyncio.sleep(0)))
    task = loop.create_task(transport.within(work()))
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    assert task.cancelled()
    assert waited == [1.0, None]


def test_the_close_of_a_loop_that_is_gone() -> None:
    """Whoever kept it may still call it."""
    loop, said = asyncio.new_event_loop(), list[str]()
    close_with(loop, closing(said))
    close = loop.close
    close()
    del loop
    gc.collect()
    close()
    assert said == ["closed"]


async def test_closing_a_session_takes_no_time() -> None:
    """A few turns of its loop."""
    task = asyncio.ensure_future(opened().close())
    for _ in range(20):
        await asyncio.sleep(0)
    assert task.done()


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({"headers": {"X-Own": "mine"}}, {"x-own": "mine"}),
        ({"api_key": "sk-1"}, {"authorization": "Bearer sk-1"}),
        ({"api_key": "sk-1", "api_key_header": "X-Key"}, {"x-key": "sk-1"}),
        ({"api_key": "sk-1", "headers": {"X-Own": "mine"}}, {"authorization": "Bearer sk-1", "x-own": "mine"}),
    ],
    ids=str,
)
async def test_what_a_session_sends_of_ones_own(options: dict[str, Any], sent: dict[str, str]) -> None:
    """The key as a bearer, or bare in the header that is named for it; and any other header. Both kinds alike."""
    session = opened(**options)
    settings = RerankClient("http://127.0.0.1:1", **options).settings
    prepared = make_session(settings).prepare_request(requests.Request("GET", "http://127.0.0.1:1"))
    for headers in (session.session.headers, prepared.headers):
        lower = {name.lower(): value for name, value in headers.items()}
        assert {name: lower.get(name) for name in ("authorization", "x-key", "x-own") if name in lower} == sent
    await session.close()
