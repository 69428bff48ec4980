"""requests' connections, kept to HTTP/1.1 and to the bounds of the request under way.

http.client takes any interim answer but 100 for the answer, reads chunks of a negative size and guesses at lengths;
a socket's own timeout starts anew with each byte. Here a connection on which anything came that wasn't asked for is
never used again, and whatever a peer does takes no longer, and no more memory, than the request may.
"""

from __future__ import annotations

import io
import re
import socket
import ssl
import time
from contextlib import suppress
from http.client import HTTPResponse, IncompleteRead, RemoteDisconnected
from typing import Any

import requests.adapters
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.wait import wait_for_read

from qwen3_sglang.transport.addresses import connect
from qwen3_sglang.transport.bounds import DOUBT, LEAST_TIMEOUT, Bounds, BrokenHTTPError, Last, under_way

_MOST_LINE = 2**16
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
_SWITCHING, _FIRST_FINAL = 101, 200
_SUCCESSES = range(200, 300)


class _Reads(io.RawIOBase):
    """A socket's bytes, each read within what is left of the bounds."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self.sock = sock
        self.head = True
        self.over = False
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.over:
            return 0
        bounds = _bounds()
        self.sock.settimeout(bounds.seconds(reading=True))
        size = self._raw.readinto(buffer)
        bounds.took(memoryview(buffer)[: size or 0], head=self.head)
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class StrictResponse(HTTPResponse):
    """http.client's, without its guesses."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._reads = _Reads(sock, self.fp.detach())
        self.fp: io.BufferedReader = io.BufferedReader(self._reads)

    def begin(self) -> None:
        """Read the status and the headers of the answer itself. Raises: HTTPException where it isn't plainly framed."""
        super().begin()
        self._reads.head = False
        self._check_framing()

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc] # typeshed leaves it out
            if status == _SWITCHING:
                raise BrokenHTTPError("it switches to another protocol (101), which wasn't asked for")
            if status >= _FIRST_FINAL:
                return version, status, reason
            while self._line().strip():
                """The headers of an interim answer."""

    def _check_framing(self) -> None:
        """How long the answer is must be said once, and clearly."""
        headers = self.headers
        if headers.defects or headers.get_payload():
            raise BrokenHTTPError("a line among its headers is none")
        codings, lengths = headers.get_all("Transfer-Encoding", []), headers.get_all("Content-Length", [])
        if codings and (lengths or [coding.strip().lower() for coding in codings] != ["chunked"]):
            raise BrokenHTTPError("its transfer encoding isn't plainly chunked")
        if lengths and not (len(lengths) == 1 and re.fullmatch(r"[0-9]{1,18}", lengths[0].strip(), re.ASCII)):
            raise BrokenHTTPError("its Content-Length isn't one number")

    def _read_next_chunk_size(self) -> int:
        found = _CHUNK_SIZE.fullmatch(self._line())
        if found is None:
            raise BrokenHTTPError("a chunk has no usable size")
        return int(found[1], 16)

    def _get_chunk_left(self) -> int | None:
        if self.chunk_left == 0:
            if self._safe_read(2) != b"\r\n":  # type: ignore[attr-defined] # typeshed leaves it out
                raise BrokenHTTPError("a chunk is longer than it says")
            self.chunk_left = None
        return super()._get_chunk_left()  # type: ignore[misc, no-any-return] # typeshed leaves it out

    def _read_and_discard_trailer(self) -> None:
        while self._line().strip():
            """A trailer says nothing that is needed."""

    def _line(self) -> bytes:
        line = self.fp.readline(_MOST_LINE)
        if not line:
            raise RemoteDisconnected("the connection was closed within the answer")
        if not line.endswith(b"\n"):
            raise IncompleteRead(b"") if len(line) < _MOST_LINE else BrokenHTTPError("a line has no end")
        return line

    def _close_conn(self) -> None:
        """The answer is over: whatever came after it wasn't asked for, so nothing may follow on this connection."""
        bounds = under_way.get()
        self._reads.over = True
        if self.fp is not None and isinstance(bounds, Bounds):
            bounds.let_go()
            if self._surplus(bounds):
                with suppress(OSError):
                    self._reads.sock.shutdown(socket.SHUT_RDWR)
        super()._close_conn()  # type: ignore[misc] # typeshed leaves it out

    def _surplus(self, bounds: Bounds) -> bool:
        sock = self._reads.sock
        if self.status in _SUCCESSES:
            bounds.whole(bounds.last)
        bounds.surplus = bool(self.fp.peek(1)) or _pending(sock)
        if bounds.repeated and not bounds.surplus:
            bounds.surplus = wait_for_read(sock, timeout=min(DOUBT, bounds.deadline.left()))
        return bounds.surplus


def _bounds() -> Bounds:
    bounds = under_way.get()
    if not isinstance(bounds, Bounds):
        raise BrokenHTTPError("nothing is asked for")
    return bounds


def _pending(sock: Any) -> bool:
    """Whether TLS has bytes that nobody read: the socket below doesn't show them."""
    try:
        return hasattr(sock, "pending") and sock.pending() > 0
    except (OSError, ValueError):  # the connection is over
        return True


class _Strict:
    """What both kinds of connections have in common; the other base is urllib3's."""

    sock: Any
    last: Last
    response_class: Any = StrictResponse

    def _new_conn(self: Any) -> socket.socket:
        bounds, began = _bounds(), time.monotonic()

        def left() -> float:
            return float(min(bounds.deadline.left(), self.timeout - (time.monotonic() - began)))

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
        bounds, self.last = _bounds(), Last()
        bounds.fresh = True
        bounds.hold(sock, self.last)
        return sock

    def _connect_tls_proxy(self: Any, *args: Any) -> Any:
        sock = super()._connect_tls_proxy(*args)  # type: ignore[misc] # urllib3's
        sock.settimeout(_bounds().seconds())
        return sock

    def _tunnel(self: Any) -> None:
        super()._tunnel()  # type: ignore[misc] # urllib3's
        self.sock.settimeout(_bounds().seconds())  # for the handshake inside the tunnel

    def putrequest(self: Any, *args: Any, **kwargs: Any) -> None:
        """Begin a request; on a connection where something came before it was asked for, none is sent."""
        if self.sock is not None:
            _check_unasked(self)
        super().putrequest(*args, **kwargs)  # type: ignore[misc] # urllib3's

    def send(self: Any, data: Any) -> None:
        """Send it within the bounds, however slowly the peer reads."""
        bounds = _bounds()
        if self.sock is None:
            self.connect()
            _check_unasked(self)
        bounds.hold(self.sock, self.last)
        rest = memoryview(data)
        while rest:
            self.sock.settimeout(bounds.seconds())
            rest = rest[self.sock.send(rest) :]


def _check_unasked(connection: Any) -> None:
    """Refuse a connection that has data before any request, even a new one."""
    sock = connection.sock
    if _pending(sock) or (wait_for_read(sock, timeout=0) and _readable(sock)):
        connection.close()
        raise ConnectionResetError("something came before it was asked for")


def _readable(sock: Any) -> bool:
    """Whether it is an answer, or an end, that can be read; TLS also sends tickets, which are neither."""
    if not isinstance(sock, ssl.SSLSocket):
        return True
    sock.settimeout(0)
    try:
        sock.recv(1)
    except ssl.SSLWantReadError:
        return False
    except OSError:
        return True
    return True


class _StrictHTTP(_Strict, HTTPConnection):
    pass


class _StrictHTTPS(_Strict, HTTPSConnection):
    pass


_STRICT: dict[type, type] = {HTTPConnection: _StrictHTTP, HTTPSConnection: _StrictHTTPS}


# ConnectionCls is looked up on urllib3's own pools each time: it is what recorders of HTTP traffic exchange.
class _Pool(HTTPConnectionPool):
    @property
    def ConnectionCls(self) -> Any:  # type: ignore[override] # noqa: N802 - urllib3's name
        return _STRICT.get(HTTPConnectionPool.ConnectionCls, HTTPConnectionPool.ConnectionCls)


class _TlsPool(HTTPSConnectionPool):
    @property
    def ConnectionCls(self) -> Any:  # type: ignore[override] # noqa: N802 - urllib3's name
        return _STRICT.get(HTTPSConnectionPool.ConnectionCls, HTTPSConnectionPool.ConnectionCls)


_POOLS = {"http": _Pool, "https": _TlsPool}


def _socks_pools() -> dict[str, type]:
    """The same over SOCKS, which PySocks speaks: the time to connect is bounded by its socket's timeout alone."""
    from urllib3.contrib import socks  # noqa: PLC0415 - it needs PySocks

    class StrictSocks(_Strict):
        def _new_conn(self: Any) -> Any:
            return self._opened(socks.SOCKSConnection._new_conn(self))

    class SocksHTTP(StrictSocks, socks.SOCKSConnection):
        pass

    class SocksHTTPS(StrictSocks, socks.SOCKSHTTPSConnection):
        pass

    class Pool(socks.SOCKSHTTPConnectionPool):
        ConnectionCls = SocksHTTP

    class TlsPool(socks.SOCKSHTTPSConnectionPool):
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
