"""Names to connections, in time.

Tests of `transport/layers.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from qwen3_sglang.transport import addresses
from qwen3_sglang.transport.addresses import connect, find
from qwen3_sglang.transport.deadline import Deadline
from qwen3_sglang.transport.layers import pending, shut_down, speaks
from qwen3_sglang.transport.threads import Finding, outcome

LONG = 60.0  # seconds; no test waits for them to pass


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A port where connections are taken."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def at(server: socket.socket, host: str = "127.0.0.1", seconds: float = LONG) -> socket.socket:
    """A connection to it."""
    deadline = Deadline(seconds)
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    return connect(host, server.getsockname()[1], options, deadline, deadline.left)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_name_and_an_address_lead_there(listening: socket.socket, host: str) -> None:
    """Though a name may have an address where nobody listens; the options are set."""
    with at(listening, host) as sock, listening.accept()[0] as accepted:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getpeername() == accepted.getsockname()


def test_nobody_listens() -> None:
    """The system's own error, with its number."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        pass
        port = server.getsockname()[1]
    deadline = Deadline(LONG)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number says which
        connect("127.0.0.1", port, (), deadline, deadline.left)
    assert caught.value.errno == errno.ECONNREFUSED


def test_an_option_that_cannot_be_set(listening: socket.socket) -> None:
    """Is an error too, of the system's."""
    deadline = Deadline(LONG)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number says which
        connect("127.0.0.1", listening.getsockname()[1], [(socket.SOL_SOCKET, 12345, 1)], deadline, deadline.left)
    assert caught.value.errno == errno.ENOPROTOOPT


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_no_time_is_left(listening: socket.socket, host: str) -> None:
    """Nothing is begun."""
    with pytest.raises(TimeoutError):
        at(listening, host, 0)


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A port where connections are neither taken nor refused: its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, contextlib.ExitStack() as waiting:
        for _ in range(3):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        yield server


@pytest.mark.parametrize("patient", [True, False])
def test_the_next_address_waits_for_its_turn(
    silent: socket.socket, listening: socket.socket, monkeypatch: pytest.MonkeyPatch, patient: bool
) -> None:
    """A while beside one that is silent; whichever accepts first is taken."""
    known: Finding[list[Any]] = Finding()
    tcp = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
    known.settle(lambda: [(*tcp, server.getsockname()) for server in (silent, listening)])
    monkeypatch.setattr(addresses, "find", lambda *_: known)
    monkeypatch.setattr(addresses, "_NEXT_AFTER", LONG if patient else 0.0)
    if patient:
        with pytest.raises(TimeoutError):
            at(listening, "name", 0.5)
    else:
        with at(listening, "name") as sock:
            assert sock.getpeername() == listening.getsockname()


@pytest.mark.parametrize("refused", [1, 2])
def test_an_address_that_refuses_costs_no_wait(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch, refused: int
) -> None:
    """The next one is tried at once."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()
    known: Finding[list[Any]] = Finding()
    tcp = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
    known.settle(lambda: [*[(*tcp, nobody)] * refused, (*tcp, listening.getsockname())])
    monkeypatch.setattr(addresses, "find", lambda *_: known)
    monkeypatch.setattr(addresses, "_NEXT_AFTER", LONG)
    with at(listening, "name", LONG / 2) as sock:
        assert sock.getpeername() == listening.getsockname()


def test_a_name_without_addresses(listening: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing to try, which the message says."""
    known: Finding[list[Any]] = Finding()
    known.settle(list)
    monkeypatch.setattr(addresses, "find", lambda *_: known)
    with pytest.raises(OSError, match="the name has no address"):
        at(listening, "name")


def test_a_name_server_that_is_silent(listening: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call ends all the same."""
    monkeypatch.setattr(addresses, "find", lambda *_: Finding())
    with pytest.raises(TimeoutError, match="the name server is silent"):
        at(listening, "name", 0.01)


def test_a_name_that_is_unknown() -> None:
    """As socket says it."""
    with pytest.raises(socket.gaierror):
        asyncio.run(outcome(find("name.invalid", 80)))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_needs_no_thread(host: str) -> None:
    """It is no name to look up."""
    before = threading.active_count()
    assert find(host, 80).done
    assert threading.active_count() == before


def test_whether_a_connection_speaks() -> None:
    """Data and its end are heard; silence isn't, and nothing is waited for."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert (pending(ours), speaks(ours)) == (False, False)
        theirs.send(b"x")
        assert speaks(ours)
        assert ours.recv(1) == b"x"
        shut_down(theirs)
        assert speaks(ours)
        shut_down(ours)
    shut_down(ours)  # once more, and closed: it is over already


def test_a_family_that_this_machine_lacks(monkeypatch: pytest.MonkeyPatch, listening: socket.socket) -> None:
    """Is no reason to give up: the next address is tried."""

    class OnlyIPv4(socket.socket):
        def __init__(self, family: int = -1, *args: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, *args)

    monkeypatch.setattr(addresses.socket, "socket", OnlyIPv4)
    stream, port = socket.SOCK_STREAM, listening.getsockname()[1]
    found = [(socket.AF_INET6, stream, 0, "", ("::1", port)), (socket.AF_INET, stream, 0, "", ("127.0.0.1", port))]
    settled: Finding[Any] = Finding()
    settled.settle(lambda: found)
    monkeypatch.setattr(addresses, "find", lambda *_: settled)
    deadline = Deadline(LONG)
    with connect("localhost", port, (), deadline, deadline.left) as connected:
        assert connected.getpeername()[1] == port
