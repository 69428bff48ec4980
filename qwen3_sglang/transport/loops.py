"""What belongs to an event loop is closed with it, however that comes about.

asyncio.run finalises async generators before it closes its loop, but frameworks that close one themselves don't; what
is left open then complains on stderr and keeps its sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any
from weakref import ref

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.transport.threads import start

_LAST_WAIT = 1.0  # seconds for tasks that were cancelled
Close = Callable[[], Coroutine[Any, Any, None]]


def running(work: Coroutine[Any, Any, Any] | None = None) -> asyncio.AbstractEventLoop:
    """The event loop that runs here.

    Args:
        work: what was to run in it; closed where none does.

    Raises:
        InvalidInputError: none of asyncio does.
    """
    loop = asyncio._get_running_loop()
    if loop is None:
        if work is not None:
            work.close()
        remedy = "call it inside asyncio; under trio, call the sync method in a thread (trio.to_thread.run_sync)"
        raise InvalidInputError("event loop", None, remedy)
    return loop


class _Closing:
    """A loop's `close`, which first closes what belongs to it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.before: set[Close] = set()
        self.calls: set[asyncio.Task[Any]] = set()
        self._close = vars(loop).get("close")  # somebody else's, instead of the class's
        self._loop = ref(loop)

    def __call__(self) -> None:
        loop = self._loop()
        if loop is None:
            return
        if not loop.is_running() and not loop.is_closed():
            if self.calls:
                _run(loop, self._cancel)
            for close in list(self.before):
                _run(loop, close)
        if self._close is None:
            type(loop).close(loop)
        else:
            self._close()

    async def _cancel(self) -> None:
        for task in self.calls:
            task.cancel()
        await asyncio.wait(self.calls, timeout=_LAST_WAIT)


def close_with(loop: asyncio.AbstractEventLoop, close: Close) -> None:
    """Run `close` in the loop before the loop is closed."""
    if (hook := _hook(loop)) is not None:
        hook.before.add(close)


class CancelledWith:
    """Inside, the running task is cancelled should the loop be closed: with it go the tasks that it waits for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        hook, self._task = _hook(loop), asyncio.current_task(loop)
        self._calls = None if hook is None else hook.calls

    def __enter__(self) -> None:
        if self._calls is not None and self._task is not None:
            self._calls.add(self._task)

    def __exit__(self, *_: object) -> None:
        if self._calls is not None and self._task is not None:
            self._calls.discard(self._task)


def _hook(loop: asyncio.AbstractEventLoop) -> _Closing | None:
    """The loop's `close` as one of ours; None where it can't be."""
    hook = loop.close
    if not isinstance(hook, _Closing):
        hook = _Closing(loop)
        try:
            loop.close = hook  # type: ignore[method-assign] # a loop tells nobody that it is closed
        except AttributeError:  # a loop written in C
            return None
    return hook


def keep_open(loop: asyncio.AbstractEventLoop, close: Close) -> None:
    """It is closed already."""
    if isinstance(loop.close, _Closing):
        loop.close.before.discard(close)


def _run(loop: asyncio.AbstractEventLoop, close: Close) -> None:
    def run() -> None:
        work = close()
        with suppress(Exception):  # nobody is there to be told
            loop.run_until_complete(work)
        work.close()

    if asyncio._get_running_loop() is None:
        run()
    elif (thread := start(run)) is not None:  # another loop runs in this thread
        thread.join()
