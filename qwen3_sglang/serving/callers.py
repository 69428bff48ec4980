"""Work for a caller: it is cancelled when the caller hangs up, in the event loop and in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive

T = TypeVar("T")
Stopped = Callable[[], None]  # raises ClientDisconnect once nobody waits any more


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """What `work` comes to; it is cancelled as soon as the caller hangs up.

    The request's body must have been read: from then on `receive` only tells of the end.

    Raises:
        ClientDisconnect: the caller is gone.
    """
    task, watch = asyncio.ensure_future(work), asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect
    finally:
        task.cancel()
        watch.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


async def in_thread(work: Callable[[Stopped], T]) -> T:
    """What `work` comes to in a thread; where this is cancelled, the function that it is given raises there."""
    over = threading.Event()

    def stopped() -> None:
        if over.is_set():
            raise ClientDisconnect

    try:
        return await asyncio.to_thread(work, stopped)
    finally:
        over.set()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def hung_up(request: Request, error: Exception) -> Response:
    """Starlette's handler for ClientDisconnect, so that no traceback fills the log; nobody reads the response."""
    return Response(status_code=499)  # nginx's number for it
