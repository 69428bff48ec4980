"""A deadline for a whole answer over blocking sockets.

A socket's own timeout starts anew with each byte, so a server that sends one now and then could hold a call for
ever. Here each read gets what is left of the call, however the bytes come.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import requests.adapters
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool

LEAST_TIMEOUT = 0.001  # seconds: 0 would make a socket non-blocking


class Deadline:
    """When a call must be over: after `seconds`, or as soon as it is stopped."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self.stopped = threading.Event()

    def left(self) -> float:
        """Seconds that are left; 0 once it was stopped."""
        return 0.0 if self.stopped.is_set() else max(0.0, self._until - time.monotonic())

    def rest(self) -> Deadline:
        """One for a part of the call: over at the same time, and stopped by itself."""
        return Deadline(self.left())


class _Bounds(threading.local):
    """What the exchange under way in this thread may take."""

    deadline: Deadline | None = None
    read_timeout: float = 0.0


_bounds = _Bounds()


@contextmanager
def bounded(deadline: Deadline, read_timeout: float | None) -> Iterator[None]:
    """Inside, answers read by this thread are over at the deadline, and never silent for longer than `read_timeout`."""
    _bounds.deadline = deadline
    _bounds.read_timeout = deadline.left() if read_timeout is None else read_timeout
    try:
        yield
    finally:
        _bounds.deadline = None


class BoundedAdapter(requests.adapters.HTTPAdapter):
    """requests' adapter, with answers that `bounded` bounds."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """The usual one, with our pools in it."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """The same behind a proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def close(self) -> None:
        """Close the connections now: urllib3 leaves that to the garbage collector, and a past error can hold it up."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in manager.pools.keys():  # noqa: SIM118 - it can't be iterated
                pool = manager.pools.get(key)
                if pool is not None:
                    pool.close()
        super().close()


class _Reads(io.RawIOBase):
    """A socket's bytes, each read with a timeout of its own."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if _bounds.deadline is not None:
            left = min(_bounds.deadline.left(), _bounds.read_timeout)
            if left <= 0:
                raise TimeoutError("timed out")
            self._sock.settimeout(max(LEAST_TIMEOUT, left))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp: io.BufferedReader = io.BufferedReader(_Reads(sock, self.fp.detach()))


def _with_bounds(connection: Any) -> Any:
    if isinstance(connection, HTTPConnection):
        connection.response_class = _Response
    return connection


# _new_conn and not ConnectionCls: the latter is what recorders of HTTP traffic exchange.
class _Pool(HTTPConnectionPool):
    def _new_conn(self) -> Any:
        return _with_bounds(super()._new_conn())


class _TlsPool(HTTPSConnectionPool):
    def _new_conn(self) -> Any:
        return _with_bounds(super()._new_conn())


_POOLS = {"http": _Pool, "https": _TlsPool}
