"""What the protocol decides, carried out in order, in time, and so many at once.

Tests of `transport/transport.py`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from qwen3_sglang import Backoff, RerankClient
from qwen3_sglang.errors import ServerError, ServerOverloadedError, ServerTimeoutError
from qwen3_sglang.protocol.exchange import Compute, Pause, Steps
from qwen3_sglang.transport.deadline import Deadline
from qwen3_sglang.transport.transport import Transport

LONG = 60.0  # seconds; no test waits for them to pass


def transport(**options: Any) -> Transport:
    """A client's, of a server that nobody asks."""
    return RerankClient("http://127.0.0.1:1", **options)._transport


def drive(mode: str, carrier: Transport, *several: Steps[Any]) -> list[Any]:
    """Carry them out, whichever way."""
    if mode == "sync":
        return carrier.drive_all(several, Deadline(LONG))
    return asyncio.run(carrier.adrive_all(several))


def returning(work: Callable[[], Any]) -> Steps[Any]:
    """Steps that ask nothing."""
    yield from ()
    return work()


def test_a_single_list_needs_no_thread(mode: str) -> None:
    """Nor a task: it is the usual case."""

    def here() -> object:
        return threading.current_thread() if mode == "sync" else asyncio.current_task()

    async def asked() -> bool:
        return await transport().adrive_all([returning(here)]) == [here()]

    assert drive("sync", transport(), returning(here)) == [here()] if mode == "sync" else asyncio.run(asked())


def test_nothing_to_carry_out(mode: str) -> None:
    """No list, no result."""
    assert drive(mode, transport()) == []


def test_results_are_in_the_lists_order(mode: str) -> None:
    """Though the last one is done first; it is computed in a thread of its own."""
    done = threading.Event()
    found: list[object] = []

    def computing(do: Callable[[], object], result: int) -> Steps[int]:
        yield Compute(lambda: found.append((do(), threading.current_thread())))
        return result

    several = computing(lambda: done.wait(LONG), 1), computing(done.set, 2)
    assert drive(mode, transport(), *several) == [1, 2]
    assert threading.current_thread() not in {thread for _, thread in found}  # type: ignore[misc] # pairs


@pytest.mark.parametrize("most", [1, 2, 3])
def test_so_many_are_under_way_at_once(mode: str, most: int) -> None:
    """As many as max_concurrency says, and no more."""
    lock, under_way, highest = threading.Lock(), 0, 0
    together = threading.Barrier(most)

    def count(by: int) -> None:
        nonlocal under_way, highest
        with lock:
            under_way += by
            highest = max(highest, under_way)

    def counting() -> Steps[None]:
        count(1)
        yield Compute(lambda: together.wait(LONG) and None)
        count(-1)

    drive(mode, transport(max_concurrency=most), *(counting() for _ in range(3 * most)))
    assert highest == most


def test_the_first_failure_is_raised(mode: str) -> None:
    """Alone, without a group around it, and without the frames that it went through."""
    failure = ServerOverloadedError("http://host", "full")

    def failing() -> Steps[None]:
        yield Pause(0.0)
        raise failure

    with pytest.raises(ServerOverloadedError) as caught:
        drive(mode, transport(), failing(), returning(lambda: 1))
    assert caught.value is failure
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(("seconds", "level"), [(0.0, logging.INFO), (0.04, logging.WARNING)])
def test_a_pause_is_told(mode: str, seconds: float, level: int, caplog: pytest.LogCaptureFixture) -> None:
    """A warning where the call waits; nothing where the failure was told before."""
    caplog.set_level(logging.DEBUG, "qwen3_sglang")

    def pausing() -> Steps[int]:
        yield Pause(seconds, ServerError("http://host", "not now"))
        yield Pause(seconds)
        return 1

    assert drive(mode, transport(), pausing()) == [1]
    [record] = caplog.records
    assert record.levelno == level
    assert record.getMessage() == f"http://host: not now: trying again in {seconds:.1f} s"


def test_a_pause_ends_with_its_call() -> None:
    """Stopping the call ends it, as Ctrl-C does."""
    deadline = Deadline(LONG)

    def pausing() -> Steps[int]:
        deadline.stop()
        yield Pause(LONG)
        return 1

    assert transport().drive(pausing(), deadline) == 1


def test_patience_is_the_clients() -> None:
    """As its options say; nobody has answered yet."""
    backoff = Backoff(1, 2)
    patience = transport(max_retries=3, backoff=backoff).patience(Deadline(LONG))
    assert (patience.max_retries, patience.backoff, patience.met()) == (3, backoff, False)
    assert 0 < patience.left() <= LONG
    assert 0 <= patience.random() < 1


def within(work: Coroutine[Any, Any, Any], deadline: Deadline | None, **options: Any) -> Any:
    """Its result, or the error that the call ends with."""
    return asyncio.run(transport(**options).within(work, deadline))


@pytest.mark.parametrize(("deadline", "options"), [(0.01, {}), (None, {"timeout": 0.01})])
def test_async_work_ends_in_time(deadline: float | None, options: dict[str, float]) -> None:
    """At the deadline; where there is none, after `timeout` seconds."""
    until = None if deadline is None else Deadline(deadline)
    with pytest.raises(ServerTimeoutError, match="timeout="):
        within(asyncio.sleep(LONG), until, **options)
    assert within(asyncio.sleep(0, "done"), Deadline(LONG), **options) == "done"


def test_a_timeout_of_the_callers_own_is_its_own() -> None:
    """An on_progress may raise one: nothing says that the server was late."""

    async def work() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine") as caught:
        within(work(), None)
    assert not isinstance(caught.value, ServerTimeoutError)
