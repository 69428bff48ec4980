"""Names to addresses and addresses to connections, each within a time: the system's own calls have none."""

from __future__ import annotations

import errno
import ipaddress
import os
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from qwen3_sglang.transport.deadline import Deadline
from qwen3_sglang.transport.forks import restart_in_child
from qwen3_sglang.transport.threads import settle, start

Address = tuple[Any, ...]  # as socket.getaddrinfo gives it
Options = Sequence[tuple[int, int, int | bytes]]

_NEXT_AFTER = 0.25  # seconds until the next address is tried beside one that is silent (RFC 8305)
_LOOK = 0.05  # seconds between two looks at whether the call was stopped
_IN_PROGRESS = {0, errno.EINPROGRESS, errno.EWOULDBLOCK}


class _Names:
    """Look-ups under way: one thread per name, however many calls wait for it."""

    def __init__(self) -> None:
        self._restart()
        restart_in_child(self, _Names._restart)

    def _restart(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, int], Future[list[Address]]] = {}

    def find(self, host: str, port: int) -> Future[list[Address]]:
        """The addresses, as soon as they are known."""
        key = host, port
        with self._lock:
            if key in self._waiting:
                return self._waiting[key]
            found = self._waiting[key] = Future()
        if _is_number(host) or start(lambda: self._look_up(key, found)) is None:
            self._look_up(key, found)
        return found

    def _look_up(self, key: tuple[str, int], found: Future[list[Address]]) -> None:
        def look_up() -> list[Address]:
            try:
                return list(socket.getaddrinfo(*key, 0, socket.SOCK_STREAM))
            finally:
                with self._lock:
                    self._waiting.pop(key, None)

        settle(found, look_up)


find = _Names().find


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def connect(host: str, port: int, options: Options, deadline: Deadline, left: Callable[[], float]) -> socket.socket:
    """A connection to that name, over the first of its addresses that accepts one.

    Args:
        host: a name or an address.
        port: its port.
        options: arguments of setsockopt.
        deadline: the call's; stopping it ends the wait.
        left: seconds that are left for all of it.

    Raises:
        TimeoutError: no connection within that time.
        OSError: the name isn't known, or every address refuses.
    """
    addresses = _wait(find(host, port), deadline, left)
    with selectors.DefaultSelector() as selector:
        try:
            return _race(selector, deque(addresses), options, left)
        finally:
            for key in list(selector.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr] # they are sockets


def _wait(found: Future[list[Address]], deadline: Deadline, left: Callable[[], float]) -> list[Address]:
    done = threading.Event()
    found.add_done_callback(lambda _: done.set())
    with deadline.ending(done.set):
        done.wait(left())
    if not found.done():
        raise TimeoutError("the name server is silent")
    return found.result()


def _race(
    selector: selectors.BaseSelector, waiting: deque[Address], options: Options, left: Callable[[], float]
) -> socket.socket:
    failure = OSError("the name has no address")
    due = 0.0
    while waiting or selector.get_map():
        if left() <= 0:
            raise TimeoutError("timed out")
        if waiting and (not selector.get_map() or time.monotonic() >= due):
            failure = _begin(selector, waiting.popleft(), options) or failure
            due = time.monotonic() + _NEXT_AFTER
        if not selector.get_map():
            continue
        for key, _ in selector.select(min(_LOOK, left())):
            sock: Any = selector.unregister(key.fileobj).fileobj
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not code:
                return sock  # type: ignore[no-any-return] # it is a socket
            sock.close()
            failure, due = OSError(code, os.strerror(code)), 0.0
    raise failure


def _begin(selector: selectors.BaseSelector, address: Address, options: Options) -> OSError | None:
    """Start to connect; the failure where that can't be."""
    family, kind, protocol, _, where = address
    try:
        sock = socket.socket(family, kind, protocol)
    except OSError as error:  # the family isn't there
        return error
    try:
        for option in options:
            sock.setsockopt(*option)
        sock.setblocking(False)
        code = sock.connect_ex(where)
    except OSError as error:
        sock.close()
        return error
    if code not in _IN_PROGRESS:
        sock.close()
        return OSError(code, os.strerror(code))
    selector.register(sock, selectors.EVENT_WRITE)
    return None
