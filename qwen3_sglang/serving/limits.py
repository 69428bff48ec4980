"""Limits for clients of a server in this process: bytes and seconds."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_BODY = 8 * 2**20  # bytes: 32 prompts of 8192 tokens are 1 MB, in languages of long UTF-8 and JSON escapes 4 MB
MAX_BODIES = 8 * MAX_BODY  # of all requests together
BODY_SECONDS = 60.0
HEADER_SECONDS = 10.0
WRITE_SECONDS = 60.0
_TOO_SLOW = 408


class BodyError(Exception):
    """A request whose body isn't read to its end.

    Attributes:
        status: HTTP's.
        message: why, and what to do.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message

    @property
    def headers(self) -> dict[str, str]:
        """What the answer needs: after 408 the rest of the body may still come, and nobody waits for it."""
        return {"connection": "close"} if self.status == _TOO_SLOW else {}


class Limits:
    """Bounds bodies: 413 over `max_body` bytes, counted as they come; 408 after `seconds`; 503 over MAX_BODIES in all.

    The application turns a BodyError into an answer: it is raised while a handler reads the body.
    """

    def __init__(self, app: ASGIApp, max_body: int = MAX_BODY, seconds: float = BODY_SECONDS) -> None:
        self._app = app
        self._max_body = max_body
        self._seconds = seconds
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        bounded = _Bounded(self, receive, scope, self._max_body, self._seconds)
        try:
            await self._app(scope, bounded, send)
        finally:
            self.held -= bounded.taken


class _Bounded:
    """A `receive` that counts."""

    def __init__(self, limits: Limits, receive: Receive, scope: Scope, max_body: int, seconds: float) -> None:
        self._limits = limits
        self._receive = receive
        self._max_body = max_body
        self._seconds = seconds
        self._until = asyncio.get_running_loop().time() + seconds
        declared = Headers(scope=scope).get("content-length", "")
        self._declared = int(declared) if declared.isdecimal() else 0
        self._whole = False
        self.taken = 0

    async def __call__(self) -> Message:
        if self._whole:  # from here on it only tells that the client is gone
            return await self._receive()
        self._check(self._declared)
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            raise BodyError(_TOO_SLOW, f"the body wasn't whole after {self._seconds:g} seconds") from None
        size = len(message.get("body", b""))
        self.taken += size
        self._limits.held += size
        self._check(self.taken)
        self._whole = not message.get("more_body", False)
        return message

    def _check(self, size: int) -> None:
        if size > self._max_body:
            raise BodyError(413, f"the body is over {self._max_body} bytes; send less at once")
        if self._limits.held > MAX_BODIES:
            raise BodyError(503, "too many large requests at once; send fewer, or again later")


class PatientProtocol(H11Protocol):
    """uvicorn's protocol, which drops connections that leave a request's headers unfinished, or an answer unread.

    uvicorn itself waits for both for ever: a few hundred silent connections would use up its file descriptors.
    """

    header_seconds = HEADER_SECONDS
    write_seconds = WRITE_SECONDS
    _seen: Any = None
    _timer: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Start watching."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.header_seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching."""
        super().connection_lost(exc)
        for timer in (self._timer, self._unread):
            if timer is not None:
                timer.cancel()

    def pause_writing(self) -> None:
        """The client doesn't read what it asked for: give it a while."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It does."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    def _look(self) -> None:
        """Close where no request was at work now, nor has come since the last look."""
        waiting = self.cycle is None or self.cycle.response_complete
        if waiting and self.cycle is self._seen:
            self.transport.abort()  # close() would wait until the client reads
            return
        self._seen = self.cycle if waiting else None
        self._timer = self.loop.call_later(self.header_seconds, self._look)


HTTP: dict[str, Any] = {"http": PatientProtocol, "ws": "none"}  # uvicorn's options for it
