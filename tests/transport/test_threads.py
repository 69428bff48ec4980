"""Threads of our own."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from qwen3_sglang.transport import threads
from qwen3_sglang.transport.deadline import Deadline
from qwen3_sglang.transport.threads import ThreadsLateError, in_thread, run_all
from stand_in import seen_by

LONG = 60.0  # seconds; no test waits for them to pass
USER = contextvars.ContextVar("user", default="nobody")


def test_results_in_order_with_the_callers_context() -> None:
    """Whoever is done first."""
    USER.set("somebody")
    both = threading.Barrier(2)
    works: list[Callable[[], object]] = [lambda: (both.wait(10), 1)[1], lambda: (both.wait(10), USER.get())[1]]
    assert run_all(works, 2, Deadline(30)) == [1, "somebody"]


def test_nobody_waits_for_them_at_the_end() -> None:
    """A thread that a silent server holds doesn't keep the interpreter."""
    [daemon] = run_all([lambda: threading.current_thread().daemon], 1, Deadline(30))
    assert daemon


def test_ctrl_c_while_threads_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that run already are stopped: nobody would wait for them, or end what they do."""
    deadline, started = Deadline(30), list[object]()

    def start(work: Callable[[], object]) -> object:
        if started:
            raise KeyboardInterrupt
        thread = threading.Thread(target=work)
        started.append(thread)
        thread.start()
        return thread

    monkeypatch.setattr(threads, "start", start)
    with pytest.raises(KeyboardInterrupt):
        run_all([lambda: 1, lambda: 2], 2, deadline)
    assert started
    assert deadline.stopped.is_set()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_the_first_failure_stops_the_others(error: type[BaseException]) -> None:
    """Whatever it is; who waits for the deadline's stop goes on."""
    deadline = Deadline(30)

    def fail() -> None:
        raise error

    works: list[Callable[[], object]] = [deadline.stopped.wait, fail]
    with pytest.raises(error):
        run_all(works, 2, deadline)
    assert deadline.stopped.is_set()


def test_a_thread_that_is_late_is_left_behind() -> None:
    """It may compute for as long as it likes."""
    over = threading.Event()
    with pytest.raises(ThreadsLateError):
        run_all([over.wait, over.wait], 2, Deadline(0.05))
    over.set()


@pytest.mark.parametrize("most", [1, 2])
def test_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """The caller's own does the work."""

    class Refused(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    seen_by(monkeypatch, threads, "threading", Thread=Refused)
    assert run_all([lambda: 1, lambda: 2], most, Deadline(30)) == [1, 2]
    assert asyncio.run(in_thread(lambda: 3)) == 3


async def test_off_the_event_loop() -> None:
    """Results and errors come back; cancelling doesn't wait."""
    main, over = threading.get_ident(), threading.Event()
    assert await in_thread(threading.get_ident) != main
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 / 0)
    task = asyncio.create_task(in_thread(over.wait))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    over.set()


def test_a_thread_that_says_why_it_is_late_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment past the deadline, which nobody would call a wait."""
    waited = []

    class Queue:
        def __init__(self) -> None:
            self._queue: SimpleQueue[Any] = SimpleQueue()
            self.put = self._queue.put

        def get(self, *, timeout: float) -> Any:
            waited.append(timeout)
            return self._queue.get(timeout=LONG)

    class Still(Deadline):
        def left(self) -> float:
            return 5.0

    monkeypatch.setattr(threads, "SimpleQueue", Queue)
    assert run_all([lambda: 1, lambda: 2], 2, Still(5)) == [1, 2]
    assert waited == [pytest.approx(5.1)] * 2


def test_threads_that_were_told_to_stop_share_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a second, however many there are: what only computes isn't told."""
    clock, waited = SimpleNamespace(now=100.0), list[float]()

    class Thread:
        def join(self, timeout: float) -> None:
            waited.append(timeout)
            clock.now += 0.06

    monkeypatch.setattr(threads, "time", SimpleNamespace(monotonic=lambda: clock.now))
    threads._wait([Thread() for _ in range(3)])  # type: ignore[misc] # all that is asked of one
    assert waited == [pytest.approx(0.1), pytest.approx(0.04), 0.0]
