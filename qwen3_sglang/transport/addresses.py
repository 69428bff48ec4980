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
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from qwen3_sglang.transport.deadline import Deadline
from qwen3_sglang.transport.forks import restart_in_child
from qwen3_sglang.transport.threads import Finding, start

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
        self._under_way: dict[tuple[str, int], Finding[list[Address]]] = {}

    def find(self, host: str, port: int) -> Finding[list[Address]]:
        """The addresses, as soon as they are known."""
        key = host, port
        if _is_number(host):
            return _found_here(key)
        with self._lock:
            found = self._under_way.get(key)
            if found is not None and not found.done:
                return found
            found = Finding()
            # Begun before others may wait for it, who would wait for ever where Ctrl-C came in between.
            if start(partial(found.settle, partial(_look_up, key))) is not None:
                self._under_way[key] = found
                found.then(lambda: self._under_way.pop(key, None))
                return found
        return _found_here(key)


find = _Names().find


def _look_up(key: tuple[str, int]) -> list[Address]:
    return list(socket.getaddrinfo(*key, 0, socket.SOCK_STREAM))


def _found_here(key: tuple[str, int]) -> Finding[list[Address]]:
    found: Finding[list[Address]] = Finding()
    found.settle(partial(_look_up, key))
    return found


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
        left: seconds that are left for all of it; never below 0.

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


def _wait(found: Finding[list[Address]], deadline: Deadline, left: Callable[[], float]) -> list[Address]:
    over: SimpleQueue[None] = SimpleQueue()
    found.then(lambda: over.put(None))
    with deadline.ending(lambda: over.put(None)), suppress(Empty):
        over.get(timeout=left())
    if not found.done:
        raise TimeoutError("the name server is silent")
    return found.result()


def _race(
    selector: selectors.BaseSelector, waiting: deque[Address], options: Options, left: Callable[[], float]
) -> socket.socket:
    failure = OSError("the name has no address")
    due = time.monotonic()
    while waiting or selector.get_map():
        if not left():
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
            failure, due = OSError(code, os.strerror(code)), time.monotonic()
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
