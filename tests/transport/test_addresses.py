"""Names to connections, in time.

Tests of `transport/layers.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import selectors
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qwen3_sglang.transport import addresses
from qwen3_sglang.transport.addresses import connect, find
from qwen3_sglang.transport.deadline import Deadline
from qwen3_sglang.transport.layers import pending, shut_down, speaks
from qwen3_sglang.transport.threads import Finding, outcome
from stand_in import seen_by

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

    seen_by(monkeypatch, addresses, "socket", socket=OnlyIPv4)
    stream, port = socket.SOCK_STREAM, listening.getsockname()[1]
    found = [(socket.AF_INET6, stream, 0, "", ("::1", port)), (socket.AF_INET, stream, 0, "", ("127.0.0.1", port))]
    settled: Finding[Any] = Finding()
    settled.settle(lambda: found)
    monkeypatch.setattr(addresses, "find", lambda *_: settled)
    deadline = Deadline(LONG)
    with connect("localhost", port, (), deadline, deadline.left) as connected:
        assert connected.getpeername()[1] == port


def known(monkeypatch: pytest.MonkeyPatch, *found: tuple[int, object]) -> None:
    """A name has these addresses, each with its family."""
    settled: Finding[list[Any]] = Finding()
    settled.settle(lambda: [(family, socket.SOCK_STREAM, 0, "", where) for family, where in found])
    monkeypatch.setattr(addresses, "find", lambda *_: settled)


class Steps(selectors.DefaultSelector):
    """Waits for nothing: the clock goes on instead."""

    now = 0.0
    begun: list[float] = []  # noqa: RUF012 - each test has its own

    def register(self, *given: Any) -> selectors.SelectorKey:
        """When each connection was begun."""
        self.begun.append(self.now)
        return super().register(*given)

    def select(self, timeout: float | None = None) -> Any:
        """What is there by now."""
        assert timeout
        assert 0 < timeout <= 0.1  # so that a call that was stopped soon ends
        type(self).now += timeout
        return super().select(0)


def test_the_next_address_is_tried_after_a_quarter_of_a_second(
    silent: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As RFC 8305 recommends."""
    monkeypatch.setattr(Steps, "now", 0.0)
    monkeypatch.setattr(Steps, "begun", [])
    monkeypatch.setattr(addresses, "selectors", SimpleNamespace(DefaultSelector=Steps, EVENT_WRITE=2))
    monkeypatch.setattr(addresses, "time", SimpleNamespace(monotonic=lambda: Steps.now))
    known(monkeypatch, *[(socket.AF_INET, silent.getsockname())] * 3)
    with pytest.raises(TimeoutError):
        connect("name", 80, (), Deadline(LONG), lambda: max(0.0, 0.7 - Steps.now))
    assert Steps.begun == [0, pytest.approx(0.25), pytest.approx(0.5, abs=0.051)]


def test_what_is_left_over_is_closed(
    silent: socket.socket, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once another address has accepted."""
    made: list[socket.socket] = []

    class Kept(socket.socket):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            made.append(self)

    known(monkeypatch, (socket.AF_INET, silent.getsockname()), (socket.AF_INET, listening.getsockname()))
    monkeypatch.setattr(addresses, "_NEXT_AFTER", 0.0)
    seen_by(monkeypatch, addresses, "socket", socket=Kept)
    with at(listening, "name") as sock:
        assert [one for one in made if one.fileno() != -1] == [sock]


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no such sockets here")
def test_an_address_that_connects_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Needs no wait; one that fails at once has the system's error, and gives way to the next."""
    monkeypatch.chdir(tmp_path)  # the path of such a socket must be short
    path, nowhere = "socket", "none"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        known(monkeypatch, (socket.AF_UNIX, nowhere), (socket.AF_UNIX, path))
        deadline = Deadline(LONG)
        with connect("name", 80, (), deadline, deadline.left) as sock:
            assert sock.getpeername() == path
        known(monkeypatch, (socket.AF_UNIX, nowhere))
        with pytest.raises(FileNotFoundError):
            connect("name", 80, (), deadline, deadline.left)


class NameServer:
    """Answers once it is told to, and counts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[str, threading.Thread]] = []
        self.tell = threading.Event()
        seen_by(monkeypatch, addresses, "socket", getaddrinfo=self._answer)

    def _answer(self, host: str, *_: object) -> list[Any]:
        self.asked.append((host, threading.current_thread()))
        assert self.tell.wait(LONG)
        return [host]


async def test_calls_share_a_look_up_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many wait for a name; once it is known, the next call asks anew, since names move."""
    server = NameServer(monkeypatch)
    one, same, other = find("a.test", 80), find("a.test", 80), find("b.test", 80)
    assert one is same
    assert not one.done
    server.tell.set()
    assert [await outcome(found) for found in (one, same, other)] == [["a.test"], ["a.test"], ["b.test"]]
    assert await outcome(find("a.test", 80)) == ["a.test"]
    assert sorted(host for host, _ in server.asked) == ["a.test", "a.test", "b.test"]


def test_a_look_up_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is done here; it waits for nobody."""
    server = NameServer(monkeypatch)
    server.tell.set()
    monkeypatch.setattr(addresses, "start", lambda _: None)
    assert find("a.test", 80).result() == ["a.test"]
    assert server.asked == [("a.test", threading.current_thread())]
