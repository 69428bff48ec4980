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
from contextlib import suppress
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar, cast

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

    threads: list[threading.Thread] = []
    try:  # from the first thread on: Ctrl-C may come while the others are started
        threads.extend(thread for _ in range(min(len(works), most)) if (thread := start(work)) is not None)
        if not threads:
            work()
        return _collect(done, len(works), deadline)
    except BaseException:
        waiting.clear()
        deadline.stop()
        _wait(threads)
        raise


class Finding(Generic[T]):
    """What a thread finds, for all who wait for it.

    Not a Future: Ctrl-C inside one can leave its lock held, and then whoever else waits would wait for ever.
    """

    def __init__(self) -> None:
        self.done = False
        self._found: tuple[Any, BaseException | None] = None, None
        self._told: list[Callable[[], object]] = []
        self._lock = threading.Lock()

    def settle(self, work: Callable[[], T]) -> None:
        """Do it; those who wait are told."""
        found = _outcome(work)
        with self._lock:
            self._found, self.done = found, True
        for tell in self._told:
            tell()

    def then(self, tell: Callable[[], object]) -> None:
        """Call it once the work is done; in any thread."""
        with self._lock:
            if not self.done:
                self._told.append(tell)
                return
        tell()

    def result(self) -> T:
        """What the work returned; what it raised is raised."""
        result, error = self._found
        if error is not None:
            raise error
        return cast(T, result)


async def in_thread(work: Callable[[], T]) -> T:
    """What it returns, without blocking the event loop; cancelling doesn't wait for it."""
    found: Finding[T] = Finding()
    if start(lambda: found.settle(work)) is None:
        return work()
    return await outcome(found)


async def outcome(found: Finding[T]) -> T:
    """What a thread finds."""
    loop = asyncio.get_running_loop()
    here: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(_wake, here)

    found.then(tell)
    await here
    return found.result()


def _outcome(work: Callable[[], T]) -> tuple[Any, BaseException | None]:
    try:
        return work(), None
    except BaseException as error:  # whatever it is, it belongs to the thread that waits
        return None, error


def _collect(done: SimpleQueue[tuple[int, Any, BaseException | None]], count: int, deadline: Deadline) -> list[Any]:
    found: dict[int, Any] = {}
    for _ in range(count):
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
