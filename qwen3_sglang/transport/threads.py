"""Threads of our own: daemons that carry the caller's context variables.

Not a ThreadPoolExecutor: it refuses work once the main thread has ended, and waits at the interpreter's end for a
thread that a silent server holds.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from qwen3_sglang.transport.deadline import Deadline

T = TypeVar("T")
_NAME = "qwen3-sglang"
_GRACE = 0.1  # seconds past the deadline: a thread that says why it is late is heard
_LAST_WAIT = 0.1  # seconds for threads that were told to stop; what only computes isn't told


class ThreadsLateError(Exception):
    """The deadline has passed, and some thread hasn't noticed."""


def start(work: Callable[[], object]) -> threading.Thread | None:
    """Do it in a thread; None where no more threads can be started."""
    thread = threading.Thread(target=copy_context().run, args=(work,), name=_NAME, daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the system's limit
        return None
    return thread


def run_all(works: Sequence[Callable[[], T]], most: int, deadline: Deadline) -> list[T]:
    """What each returns, in order; at most `most` at once. The first failure stops the others, and is raised.

    Raises:
        ThreadsLateError: the deadline has passed, and some haven't noticed.
    """
    waiting = deque(enumerate(works))
    done: SimpleQueue[tuple[int, Any, BaseException | None]] = SimpleQueue()

    def work() -> None:
        with suppress(IndexError):
            while True:
                place, one = waiting.popleft()
                done.put((place, *_outcome(one)))

    threads = [thread for _ in range(min(len(works), most)) if (thread := start(work)) is not None]
    if not threads:
        work()
    try:
        return _collect(done, len(works), deadline)
    except BaseException:
        waiting.clear()
        deadline.stop()
        _wait(threads)
        raise


async def in_thread(work: Callable[[], T]) -> T:
    """What it returns, without blocking the event loop; cancelling doesn't wait for it."""
    found: Future[T] = Future()
    if start(lambda: settle(found, work)) is None:
        return work()
    return await outcome(found)


def settle(found: Future[T], work: Callable[[], T]) -> None:
    """Run it; those who wait get its result or its error."""
    result, error = _outcome(work)
    if error is None:
        found.set_result(result)
    else:
        found.set_exception(error)


async def outcome(found: Future[T]) -> T:
    """What a thread finds; not asyncio.wrap_future, which cancels it for all, and complains of a closed loop."""
    loop = asyncio.get_running_loop()
    here: asyncio.Future[None] = loop.create_future()

    def tell(_: object) -> None:
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(_wake, here)

    found.add_done_callback(tell)
    await here
    return found.result()


def _outcome(work: Callable[[], T]) -> tuple[Any, BaseException | None]:
    try:
        return work(), None
    except BaseException as error:  # whatever it is, it belongs to the thread that waits
        return None, error


def _collect(done: SimpleQueue[tuple[int, Any, BaseException | None]], count: int, deadline: Deadline) -> list[Any]:
    found: dict[int, Any] = {}
    while len(found) < count:
        try:
            place, result, error = done.get(timeout=deadline.left() + _GRACE)
        except Empty:
            raise ThreadsLateError from None
        if error is not None:
            raise error
        found[place] = result
    return [found[place] for place in range(count)]


def _wait(threads: Sequence[threading.Thread]) -> None:
    until = time.monotonic() + _LAST_WAIT
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
