"""What one client may take of the embedded server: so many bytes, so much time."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from qwen3_sglang.local.checks import RejectedError

MAX_BODY = 64 * 2**20  # 128 prompts of 8192 tokens are about 5 MB; what is sent to be cut may be six times that
BODY_SECONDS = 60.0
HEADER_SECONDS = 10.0


class Limits:
    """413 for a body over `max_body` bytes, counted as it comes; 408 for one that takes longer than `seconds`.

    Starlette turns the errors into answers: they are raised while a handler reads the body.
    """

    def __init__(self, app: ASGIApp, max_body: int = MAX_BODY, seconds: float = BODY_SECONDS) -> None:
        self._app = app
        self._max_body = max_body
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            receive = _Bounded(receive, scope, self._max_body, self._seconds)
        await self._app(scope, receive, send)


class _Bounded:
    """A `receive` that counts."""

    def __init__(self, receive: Receive, scope: Scope, max_body: int, seconds: float) -> None:
        self._receive = receive
        self._left = max_body
        self._max_body = max_body
        self._seconds = seconds
        self._until = asyncio.get_running_loop().time() + seconds
        declared = Headers(scope=scope).get("content-length", "")
        self._declared = int(declared) if declared.isdecimal() else 0
        self._whole = False

    async def __call__(self) -> Message:
        if self._whole:  # from here on it only tells that the client is gone
            return await self._receive()
        if self._declared > self._max_body:
            raise self._too_large()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            raise RejectedError(f"the body wasn't whole after {self._seconds:g} seconds", status=408) from None
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise self._too_large()
        self._whole = not message.get("more_body", False)
        return message

    def _too_large(self) -> RejectedError:
        return RejectedError(f"the body is over {self._max_body} bytes; send less at once", status=413)


class PatientProtocol(H11Protocol):
    """uvicorn's protocol, which drops connections that leave a request's headers unfinished.

    uvicorn itself waits for headers for ever: a few hundred silent connections would use up its file descriptors.
    """

    header_seconds = HEADER_SECONDS
    _seen: Any = None
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Start watching."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.header_seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching."""
        super().connection_lost(exc)
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        """Close where no request was at work now, nor has come since the last look."""
        waiting = self.cycle is None or self.cycle.response_complete
        if waiting and self.cycle is self._seen:
            self.transport.abort()  # close() would wait until the client reads
            return
        self._seen = self.cycle if waiting else None
        self._timer = self.loop.call_later(self.header_seconds, self._look)
