"""A blocking connection's layers: a plain socket, TLS over it, or TLS inside the TLS of a proxy.

urllib3's class for the last one, SSLTransport, has neither `pending` nor `shutdown`.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from urllib3.util.ssltransport import SSLTransport
from urllib3.util.wait import wait_for_read


def pending(sock: Any) -> bool:
    """Whether TLS has bytes that nobody read: the socket below doesn't show them."""
    return any(count() for count in _counts(sock))


def _counts(sock: Any) -> list[Callable[[], int]]:
    if isinstance(sock, SSLTransport):
        return [sock.sslobj.pending, lambda: sock.incoming.pending, *_counts(sock.socket)]
    return [sock.pending] if isinstance(sock, ssl.SSLSocket) else []


def speaks(sock: Any) -> bool:
    """Whether an answer, or the connection's end, can be read; TLS also sends tickets, which are neither."""
    if not (pending(sock) or wait_for_read(sock, timeout=0)):
        return False
    if not isinstance(sock, (ssl.SSLSocket, SSLTransport)):
        return True
    sock.settimeout(0)
    try:
        sock.recv(1)
    except ssl.SSLWantReadError:
        return False
    except OSError:
        return True
    return True


def shut_down(sock: Any) -> None:
    """End the connection: whoever waits for it goes on, in whichever thread."""
    with suppress(OSError):
        (sock.socket if isinstance(sock, SSLTransport) else sock).shutdown(socket.SHUT_RDWR)
