"""One request until it is answered: sent again while that may help. No I/O.

A generator of decisions yields a Request, and is sent the Response to it, or the ServerError that came in its place;
or it yields a Pause or Compute, and goes on after it. Whoever drives it only carries, sleeps, and lends a thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import count
from typing import Any, Generic, TypeVar

from msgspec import Struct

from qwen3_sglang import errors
from qwen3_sglang.protocol.responses import Response, failure_of
from qwen3_sglang.protocol.retry import RETRIED, Patience

T = TypeVar("T")
_log = logging.getLogger(__name__)
_UNAVAILABLE = 503
_LEAST_LIMIT, _GROWTH = 2**20, 32  # bytes


class Request(Struct, frozen=True, gc=False):
    """What to send: GET where there is no body.

    Attributes:
        path: below base_url.
        body: the content.
        seconds: how long it may take; None: as long as the call.
    """

    path: str
    body: bytes | None = None
    seconds: float | None = None

    @property
    def limit(self) -> int:
        """Bytes of a successful answer at most: no endpoint answers with 32 bytes for each one it was sent."""
        return _LEAST_LIMIT + _GROWTH * len(self.body or b"")


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds, then go on.

    Attributes:
        seconds: how long.
        failure: why; None where it was told already.
    """

    seconds: float
    failure: errors.ServerError | None = None


@dataclass(frozen=True, slots=True)
class Compute:
    """Do this, then go on: it takes so long that an event loop runs it in a thread."""

    do: Callable[[], None]


Steps = Generator[Request | Pause | Compute, Any, T]


class Run(Generic[T]):
    """A generator of decisions under way; `result` is there once `step` has returned None."""

    result: T

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps

    def step(self, reply: Response | errors.ServerError | None = None) -> Request | Pause | Compute | None:
        """What to do next, now that this is the reply to the last request; None when all is done."""
        try:
            return self._steps.send(reply)
        except StopIteration as stop:
            self.result = stop.value
        return None


def computed(do: Callable[[], T]) -> Steps[T]:
    """What it returns, or raises, done as Compute."""
    found: list[T] = []
    failed: list[Exception] = []

    def compute() -> None:
        try:
            found.append(do())
        except Exception as error:  # it belongs to the steps, not to who drives them
            failed.append(error)

    yield Compute(compute)
    if failed:
        raise failed[0]
    return found[0]


def ask(
    request: Request,
    patience: Patience,
    *,
    splits: bool = False,
    tried: int = 0,
    before_retry: Callable[[], Steps[None]] | None = None,
) -> Steps[Response]:
    """The response, once it is no transient failure.

    Args:
        request: what to send.
        patience: whether and when to send it again.
        splits: raise at once what asks for a smaller list: the caller will split.
        tried: how often the same documents were sent before, in larger lists.
        before_retry: what to do first, where the connection was lost: another server may listen there now.

    Raises:
        ServerError: the last failure, when there is no more patience; what `before_retry` raises.
    """
    for attempt in count(tried + 1):
        reply = yield request
        _tell(request, reply)
        failure = _passing(reply)
        if failure is None:
            break
        failure.attempts = attempt
        if splits and asks_for_less(failure):
            raise failure
        seconds = patience.delay(failure, attempt)
        if seconds is None:
            raise failure
        yield Pause(seconds, failure)
        if before_retry is not None and isinstance(failure, errors.ServerUnreachableError):
            yield from before_retry()
    response: Response = reply
    return response


def _tell(request: Request, reply: Response | errors.ServerError) -> None:
    """A line for each request. Not the server's words: they may hold the key, hidden only in what leaves the client."""
    if not _log.isEnabledFor(logging.DEBUG):
        return
    sent = "asked" if request.body is None else f"{len(request.body)} bytes sent"
    if isinstance(reply, Response):
        _log.debug("%s: %s, HTTP %d with %d bytes", reply.url, sent, reply.status, len(reply.body))
    else:
        _log.debug("%s: %s, %s", reply.url, sent, type(reply).__name__)


def _passing(reply: Response | errors.ServerError) -> errors.ServerError | None:
    if isinstance(reply, errors.ServerError):
        return reply
    return failure_of(reply) if reply.status in RETRIED else None


def asks_for_less(failure: errors.ServerError) -> bool:
    """Whether a smaller list may be accepted: the queue is full, or may be the cause of every second 503 in a row.

    A gateway whose circuit breaker opened over a full queue says "no available workers" instead, and every list that
    is too long when it tries again opens it anew. Not so 429: it limits requests, and smaller lists are more of them.
    """
    return queue_is_full(failure) or (failure.status == _UNAVAILABLE and failure.attempts % 2 == 0)


def queue_is_full(failure: errors.ServerError) -> bool:
    """SGLang has no room for so many prompts at once (--max-queued-requests); it counts each one of a list."""
    return isinstance(failure, errors.ServerOverloadedError) and "queue is full" in failure.message.lower()
