"""The limits of a request in flight, in seconds and bytes. Both HTTP libraries' connections keep to them."""

from __future__ import annotations

import socket
import threading
from collections import deque
from contextvars import ContextVar
from typing import Self
from zlib import crc32

from qwen3_sglang.transport.deadline import Deadline
from qwen3_sglang.transport.layers import shut_down

LEAST_TIMEOUT = 0.001  # seconds: 0 would make a socket non-blocking
MOST_HEAD = 2**18  # bytes of status lines and headers, those of interim answers included
CODED = "its transfer encoding isn't plainly chunked"
_FRAMING = 6  # a chunk of one byte takes six
_REMEMBERED = 8  # answers per connection
# Bytes: shorter ones are kept, which takes no time; of longer ones a hash.
_SHORT_REQUEST, _SHORT_ANSWER = 2**17, 2**15


class BrokenHTTPError(Exception):
    """The data is not HTTP/1.1, or not the answer to this request: the connection can't be used any more."""


class TooMuchError(Exception):
    """The peer sends more than any answer needs."""


under_way: ContextVar[Budget | None] = ContextVar("under_way", default=None)


class Carried:
    """The last answers that a connection carried, each with its request, or with what tells long ones apart."""

    def __init__(self) -> None:
        self._answers: deque[tuple[object, object]] = deque(maxlen=_REMEMBERED)

    def add(self, asked: object, answer: object) -> bool | None:
        """Note an answer's body: None for a new one, else whether it answered the same request before."""
        for known, its_request in self._answers:  # a dictionary would have to hash it
            if known == answer:
                return its_request == asked
        self._answers.append((answer, asked))
        return None


class Budget:
    """The bytes that one answer may have, and what they add up to.

    Inside `with`, connections used by this thread or task keep to it.

    Attributes:
        fresh: whether a connection was opened for it.
        doubted: whether it may be the answer to another request.
        spent: whether its connection can't carry another: it may be an answer ahead.
    """

    def __init__(self, limit: int, asked: bytes | None = None) -> None:
        """`limit`: bytes of the answer's body. `asked`: the request's."""
        self.fresh = self.doubted = self.spent = False
        # Now they are in the processor's cache, with the answer they aren't.
        self._asked = asked if asked is None or len(asked) < _SHORT_REQUEST else hash(asked)
        self._parts: list[bytes] = []
        self._size = self._checksum = 0
        self._head = MOST_HEAD
        self._all = MOST_HEAD + _FRAMING * limit

    def __enter__(self) -> Self:
        self._before = under_way.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        under_way.reset(self._before)

    def took(self, size: int, *, head: bool) -> None:
        """So many bytes came, in front of the body or in it.

        Raises:
            TooMuchError: they are more than any answer needs.
        """
        if head:
            self._head -= size
        self._all -= size
        if self._head < 0:
            raise TooMuchError(f"more than {MOST_HEAD} bytes of headers")
        if self._all < 0:
            raise TooMuchError("more bytes around the answer than in it")

    def read(self, part: bytes) -> None:
        """The answer's body goes on with this part."""
        self._size += len(part)
        self._parts.append(part)
        if self._size >= _SHORT_ANSWER:
            for one in self._parts:
                self._checksum = crc32(one, self._checksum)
            self._parts.clear()

    def whole(self, carried: Carried, *, surplus: bool, good: bool = True) -> None:
        """The answer is whole. Is it the right one?

        It may not be if the connection carried it before to another request, or if more came with it (`surplus`) on a
        connection that is used again. A peer that answers twice may be an answer ahead from then on, also where what
        comes again is right since the same request was sent again. Not so for a list of models (GET), which is the
        same each time: no scores are read from it, nor it from scores. Only answers of success (`good`) are compared.
        """
        answer = (self._size, self._checksum) if self._size >= _SHORT_ANSWER else b"".join(self._parts)
        same = carried.add(self._asked, answer) if good else None
        self.doubted = same is False or (surplus and not self.fresh)
        self.spent = self.doubted or surplus or (same is not None and self._asked is not None)


class Bounds(Budget):
    """The same, with the seconds that a blocking connection may take, and what ends it."""

    def __init__(
        self,
        limit: int,
        asked: bytes | None,
        *,
        deadline: Deadline,
        read_timeout: float | None = None,
    ) -> None:
        """`read_timeout`: seconds between two pieces of the answer."""
        super().__init__(limit, asked)
        self.deadline = deadline
        self.carried = Carried()
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
        if not left:
            raise TimeoutError("timed out")
        if reading and self._read_timeout is not None:
            left = min(left, self._read_timeout)
        return max(LEAST_TIMEOUT, left)

    def hold(self, sock: socket.socket, carried: Carried) -> None:
        """Note the connection in use from now on, and what it carried.

        Raises:
            TimeoutError: the call was stopped.
        """
        with self._lock:
            self._socket, self.carried = sock, carried
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


def blocking() -> Bounds:
    """The bounds of this thread's request.

    Raises:
        BrokenHTTPError: there is none, so nothing may be read or sent.
    """
    bounds = under_way.get()
    if not isinstance(bounds, Bounds):
        raise BrokenHTTPError("nothing is asked for")
    return bounds
