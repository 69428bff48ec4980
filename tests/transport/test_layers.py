"""What is heard on a plain connection, on TLS, and on TLS inside a proxy's. Tests of `transport/layers.py`."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trustme
from urllib3.util.ssltransport import SSLTransport

from qwen3_sglang.transport import layers
from qwen3_sglang.transport.layers import pending, shut_down, speaks

HOST = "localhost"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Both ends know it."""
    return trustme.CA()


def by_ssl(sock: socket.socket, trusted: ssl.SSLContext) -> Any:
    """As to a server."""
    return trusted.wrap_socket(sock, server_hostname=HOST)


def by_urllib3(sock: socket.socket, trusted: ssl.SSLContext) -> Any:
    """As inside a tunnel."""
    return SSLTransport(sock, trusted, HOST)


LAYERS = pytest.mark.parametrize("layer", [by_ssl, by_urllib3])


@contextmanager
def joined(authority: trustme.CA, layer: Any) -> Iterator[tuple[Any, ssl.SSLSocket, socket.socket]]:
    """A TLS connection: our end, theirs, and the socket below theirs."""
    serving, trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(HOST).configure_cert(serving)
    authority.configure_trust(trusted)
    ours, theirs = socket.socketpair()
    below = theirs.dup()
    found: list[ssl.SSLSocket] = []
    thread = threading.Thread(target=lambda: found.append(serving.wrap_socket(theirs, server_side=True)))
    thread.start()
    with ours, below:
        ours.settimeout(20)
        sock = layer(ours, trusted)
        thread.join()
        with found[0]:
            yield sock, found[0], below
        sock.close()


@LAYERS
@pytest.mark.parametrize("sent", [(b"ab",), (b"a", b"b")], ids=["one record", "two records"])
def test_what_tls_holds_is_pending(authority: trustme.CA, layer: Any, sent: tuple[bytes, ...]) -> None:
    """The rest of a record, down to its last byte; with urllib3's class also a record that wasn't unpacked."""
    with joined(authority, layer) as (ours, theirs, _):
        assert not pending(ours)
        for part in sent:
            theirs.sendall(part)
        assert ours.recv(1) == b"a"
        if layer is by_urllib3 or len(sent) == 1:
            assert pending(ours)
        assert speaks(ours)


def test_tickets_of_tls_are_no_word(authority: trustme.CA) -> None:
    """The system has something to read, yet nobody has said a word."""
    with joined(authority, by_ssl) as (ours, _, _):
        assert layers.wait_for_read(ours, timeout=10)
        assert not speaks(ours)


def test_a_word_over_tls_is_heard(authority: trustme.CA) -> None:
    """Behind the tickets."""
    with joined(authority, by_ssl) as (ours, theirs, _):
        theirs.sendall(b"x")
        assert speaks(ours)


def test_what_is_not_tls_is_heard(authority: trustme.CA) -> None:
    """A connection that TLS fails on is over, and so isn't silent."""
    with joined(authority, by_ssl) as (ours, _, below):
        below.sendall(b"no record of TLS at all")
        assert speaks(ours)


def test_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is found out at once."""
    waited = []

    def wait(sock: socket.socket, *, timeout: float) -> bool:
        waited.append(timeout)
        return False

    monkeypatch.setattr(layers, "wait_for_read", wait)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not speaks(ours)
    assert waited == [0]


@LAYERS
def test_a_connection_below_tls_is_ended(authority: trustme.CA, layer: Any) -> None:
    """The peer hears it, and so does whoever reads here."""
    with joined(authority, layer) as (ours, _, below):
        shut_down(ours)
        while below.recv(4096):
            """What TLS said before."""
