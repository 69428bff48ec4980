"""The limits of a request in flight, in seconds and bytes. Both HTTP libraries' connections keep to them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar
from zlib import crc32

from qwen3_sglang.transport.deadline import Deadline
from qwen3_sglang.transport.layers import shut_down

LEAST_TIMEOUT = 0.001  # seconds: 0 would make a socket non-blocking
MOST_HEAD = 2**18  # bytes of status lines and headers, those of interim answers included
_FRAMING = 6  # a chunk of one byte takes six
_KEPT = 2**18  # bytes of a request that a connection remembers; of a longer one it remembers a hash


class BrokenHTTPError(Exception):
    """The data is not HTTP/1.1, or not the answer to this request: the connection can't be used any more."""


class TooMuchError(Exception):
    """The peer sends more than any answer needs."""


class Last:
    """What a connection carried last."""

    def __init__(self) -> None:
        self._asked: object = None
        self._print: tuple[int, int] | None = None

    def repeats(self, asked: bytes | None, size: int, checksum: int) -> bool:
        """Whether this answer is, byte for byte, that to another request: a peer that answered twice, and late."""
        asked_now = asked if asked is None or len(asked) <= _KEPT else hash(asked)
        again = self._print == (size, checksum) and self._asked != asked_now
        self._asked, self._print = asked_now, (size, checksum)
        return again


class Budget:
    """The bytes that one answer may have, and what they add up to.

    Attributes:
        fresh: whether a connection was opened for it.
        repeated: whether the connection's last answer came again.
    """

    def __init__(self, limit: int, asked: bytes | None = None, *, doubts: bool = True) -> None:
        """`limit`: bytes of the answer's body. `asked`: the request's. `doubts`: whether a repeated answer is one."""
        self._doubts = doubts
        self.fresh = self.repeated = False
        self._asked = asked
        self._size = self._checksum = 0
        self._head = MOST_HEAD
        self._all = MOST_HEAD + _FRAMING * limit

    def took(self, data: bytes | memoryview, *, head: bool) -> None:
        """These bytes came, in front of the body or in it.

        Raises:
            TooMuchError: they are more than any answer needs.
        """
        size = len(data)
        self._size += size
        self._checksum = crc32(data, self._checksum)
        if head:
            self._head -= size
        self._all -= size
        if self._head < 0:
            raise TooMuchError(f"more than {MOST_HEAD} bytes of headers")
        if self._all < 0:
            raise TooMuchError("more bytes around the answer than in it")

    def whole(self, last: Last) -> None:
        """The answer is whole; is it the right one?"""
        self.repeated = self._doubts and last.repeats(self._asked, self._size, self._checksum)


class Bounds(Budget):
    """The same, with the seconds that a blocking connection may take, and what ends it."""

    def __init__(
        self,
        limit: int,
        asked: bytes | None,
        *,
        deadline: Deadline,
        read_timeout: float | None = None,
        doubts: bool = True,
    ) -> None:
        """`read_timeout`: seconds between two pieces of the answer."""
        super().__init__(limit, asked, doubts=doubts)
        self.deadline = deadline
        self.last = Last()
        self._read_timeout = read_timeout
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._over = False

    def seconds(self, *, reading: bool = False) -> float:
        """How long the next operation may take.

        Raises:
            TimeoutError: no time is left.
        """
        left = self.deadline.left()
        if left <= 0:
            raise TimeoutError("timed out")
        if reading and self._read_timeout is not None:
            left = min(left, self._read_timeout)
        return max(LEAST_TIMEOUT, left)

    def hold(self, sock: socket.socket, last: Last) -> None:
        """Note the connection in use from now on, and what it carried last.

        Raises:
            TimeoutError: the call was stopped.
        """
        with self._lock:
            self._socket, self.last = sock, last
            over = self._over
        if over:
            raise TimeoutError("timed out")

    def let_go(self) -> None:
        """The answer is whole: the connection may serve another request."""
        with self._lock:
            self._socket = None

    def end(self) -> None:
        """Make the current wait on the connection return."""
        with self._lock:
            self._over = True
            if self._socket is not None:
                shut_down(self._socket)


under_way: ContextVar[Budget | None] = ContextVar("under_way", default=None)

B = TypeVar("B", bound=Budget)


def blocking() -> Bounds:
    """The bounds of this thread's request.

    Raises:
        BrokenHTTPError: there is none, so nothing may be read or sent.
    """
    bounds = under_way.get()
    if not isinstance(bounds, Bounds):
        raise BrokenHTTPError("nothing is asked for")
    return bounds


@contextmanager
def bounded(budget: B) -> Iterator[B]:
    """Inside, connections used by this thread or task keep to it."""
    token = under_way.set(budget)
    try:
        yield budget
    finally:
        under_way.reset(token)
