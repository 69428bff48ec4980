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

from qwen3_sglang.transport.threads import start

Close = Callable[[], Coroutine[Any, Any, None]]


class _Closing:
    """A loop's `close`, which first closes what belongs to it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.before: set[Close] = set()
        self._close = vars(loop).get("close")  # somebody else's, instead of the class's
        self._loop = ref(loop)

    def __call__(self) -> None:
        loop = self._loop()
        if loop is None:
            return
        if not loop.is_running() and not loop.is_closed():
            for close in list(self.before):
                _run(loop, close)
        if self._close is None:
            type(loop).close(loop)
        else:
            self._close()


def close_with(loop: asyncio.AbstractEventLoop, close: Close) -> None:
    """Run `close` in the loop before the loop is closed."""
    hook = loop.close
    if not isinstance(hook, _Closing):
        hook = _Closing(loop)
        try:
            loop.close = hook  # type: ignore[method-assign] # a loop tells nobody that it is closed
        except AttributeError:  # a loop written in C
            return
    hook.before.add(close)


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
