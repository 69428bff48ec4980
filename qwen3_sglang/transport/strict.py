"""requests' connections, kept to HTTP/1.1 and to the bounds of the request under way.

A connection on which anything came that wasn't asked for is never used again, and whatever a peer does takes no
longer, and no more memory, than the request may.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from functools import partial
from queue import Empty, Full
from typing import Any

import requests.adapters
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from qwen3_sglang.transport.addresses import connect
from qwen3_sglang.transport.bounds import LEAST_TIMEOUT, Carried, blocking
from qwen3_sglang.transport.deadline import Deadline
from qwen3_sglang.transport.framing import StrictResponse
from qwen3_sglang.transport.layers import speaks
from qwen3_sglang.transport.threads import ThreadsLateError, run_all


class _Strict:
    """What both kinds of connections have in common; the other base is urllib3's."""

    sock: Any
    carried: Carried
    _twin: socket.socket | None = None
    response_class: Any = StrictResponse

    def _new_conn(self: Any) -> socket.socket:
        bounds, began = blocking(), time.monotonic()

        def left() -> float:
            return max(0.0, float(min(bounds.deadline.left(), self.timeout - (time.monotonic() - began))))

        try:
            sock = connect(self._dns_host, self.port, self.socket_options or (), bounds.deadline, left)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"Connection to {self.host} timed out: {error}") from error
        except OSError as error:
            raise NewConnectionError(self, f"Failed to establish a new connection: {error}") from error
        sock.settimeout(max(LEAST_TIMEOUT, left()))
        return self._opened(sock)  # type: ignore[no-any-return] # as it came

    def _opened(self, sock: Any) -> Any:
        bounds, self.carried = blocking(), Carried()
        bounds.fresh = True
        if isinstance(self, HTTPSConnection):
            self._twin = socket.socket(fileno=os.dup(sock.fileno()))
        try:
            bounds.hold(self._twin or sock, self.carried)
        except TimeoutError:
            sock.close()
            raise
        return sock

    def connect(self) -> None:
        """Connect. Until that is done the bounds hold a twin of the socket, which TLS takes the descriptor from."""
        try:
            super().connect()  # type: ignore[misc] # urllib3's
        finally:
            if self._twin is not None:
                self._twin.close()
                self._twin = None

    def _connect_tls_proxy(self: Any, *args: Any) -> Any:
        sock = super()._connect_tls_proxy(*args)  # type: ignore[misc] # urllib3's
        sock.settimeout(blocking().seconds())
        return sock

    def _tunnel(self: Any) -> None:
        super()._tunnel()  # type: ignore[misc] # urllib3's
        self.sock.settimeout(blocking().seconds())  # for the handshake inside the tunnel

    def putrequest(self: Any, *args: Any, **kwargs: Any) -> None:
        """Begin a request; on a connection where something came before it was asked for, none is sent."""
        if self.sock is not None:
            _check_unasked(self)
        super().putrequest(*args, **kwargs)  # type: ignore[misc] # urllib3's

    def send(self: Any, data: Any) -> None:
        """Send it within the bounds, however slowly the peer reads."""
        bounds = blocking()
        if self.sock is None:
            self.connect()
            _check_unasked(self)
        bounds.hold(self.sock, self.carried)
        rest = memoryview(data)
        while rest:
            self.sock.settimeout(bounds.seconds())
            rest = rest[self.sock.send(rest) :]


def _check_unasked(connection: Any) -> None:
    """Nothing may have come before it is asked for, not even on a new connection."""
    if speaks(connection.sock):
        connection.close()
        raise ConnectionResetError("something came before it was asked for")


class _StrictHTTP(_Strict, HTTPConnection):
    pass


class _StrictHTTPS(_Strict, HTTPSConnection):
    pass


_STRICT: dict[type, type] = {HTTPConnection: _StrictHTTP, HTTPSConnection: _StrictHTTPS}


class _Shelf:
    """A pool's idle connections, the last one first. queue.LifoQueue's lock stays locked where Ctrl-C comes inside."""

    def __init__(self, maxsize: int) -> None:
        self._idle: deque[Any] = deque()
        self._most = maxsize

    def qsize(self) -> int:
        """How many there are."""
        return len(self._idle)

    def put(self, connection: Any, **_: object) -> None:
        """Keep it. Raises: queue.Full."""
        if len(self._idle) >= self._most:
            raise Full
        self._idle.append(connection)

    def get(self, **_: object) -> Any:
        """The last one. Raises: queue.Empty."""
        try:
            return self._idle.pop()
        except IndexError:
            raise Empty from None


# ConnectionCls is looked up on urllib3's own pools each time: it is what recorders of HTTP traffic exchange.
class _Pool(HTTPConnectionPool):
    QueueCls = _Shelf  # type: ignore[assignment] # it has what a pool asks of one

    @property
    def ConnectionCls(self) -> Any:  # type: ignore[override] # noqa: N802 - urllib3's name
        return _STRICT.get(HTTPConnectionPool.ConnectionCls, HTTPConnectionPool.ConnectionCls)


class _TlsPool(HTTPSConnectionPool):
    QueueCls = _Shelf  # type: ignore[assignment] # it has what a pool asks of one

    @property
    def ConnectionCls(self) -> Any:  # type: ignore[override] # noqa: N802 - urllib3's name
        return _STRICT.get(HTTPSConnectionPool.ConnectionCls, HTTPSConnectionPool.ConnectionCls)


_POOLS = {"http": _Pool, "https": _TlsPool}


def _socks_pools() -> dict[str, type]:
    """The same over SOCKS, which PySocks speaks; in a thread, since each byte of the proxy's starts its time anew."""
    from urllib3.contrib import socks  # noqa: PLC0415 - it needs PySocks

    class StrictSocks(_Strict):
        def _new_conn(self: Any) -> Any:
            until = Deadline(min(self.timeout, blocking().deadline.left()))
            try:
                [sock] = run_all([partial(socks.SOCKSConnection._new_conn, self)], 1, until)
            except ThreadsLateError:
                raise ConnectTimeoutError(self, f"the proxy gave no connection to {self.host} in time") from None
            return self._opened(sock)

    class SocksHTTP(StrictSocks, socks.SOCKSConnection):
        pass

    class SocksHTTPS(StrictSocks, socks.SOCKSHTTPSConnection):
        pass

    class Pool(socks.SOCKSHTTPConnectionPool):
        QueueCls = _Shelf  # type: ignore[assignment] # it has what a pool asks of one
        ConnectionCls = SocksHTTP

    class TlsPool(socks.SOCKSHTTPSConnectionPool):
        QueueCls = _Shelf  # type: ignore[assignment] # it has what a pool asks of one
        ConnectionCls = SocksHTTPS

    return {"http": Pool, "https": TlsPool}


class StrictAdapter(requests.adapters.HTTPAdapter):
    """requests' adapter, with strict connections."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """The usual one, with our pools in it."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """The same behind a proxy."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _socks_pools() if proxy.lower().startswith("socks") else _POOLS
        return manager

    def close(self) -> None:
        """Close the connections now: urllib3 leaves that to the garbage collector, and a past error can hold it up."""
        for manager in (self.poolmanager, *list(self.proxy_manager.values())):
            for key in manager.pools.keys():  # noqa: SIM118 - it can't be iterated
                pool = manager.pools.get(key)
                if pool is not None:
                    pool.close()
        super().close()
