"""urllib3's connections, made strict: how long they may take, what is raised, and how they are closed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from urllib3.contrib import socks
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from qwen3_sglang import RerankClient
from qwen3_sglang.transport import strict
from qwen3_sglang.transport.bounds import Bounds, under_way
from qwen3_sglang.transport.deadline import Deadline
from qwen3_sglang.transport.strict import StrictAdapter, _Shelf, _socks_pools, _StrictHTTP
from ways import Server

LONG = 60.0  # seconds; no test waits for them to pass
T = TypeVar("T")


def within(bounds: Bounds, work: Callable[[], T]) -> T:
    """Done as a part of that request."""
    context = copy_context()
    context.run(under_way.set, bounds)
    return context.run(work)


def bounds(seconds: float = LONG) -> Bounds:
    """Those of a request with so much time."""
    return Bounds(100, b"asked", deadline=Deadline(seconds))


def test_connecting_takes_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of its own time, and never less than nothing."""
    clock, left = SimpleNamespace(now=100.0), list[float]()

    def connect(*given: Any) -> socket.socket:
        for seconds in (0, 2, 9):
            clock.now += seconds
            left.append(given[-1]())
        raise TimeoutError

    monkeypatch.setattr(strict, "connect", connect)
    monkeypatch.setattr(strict, "time", SimpleNamespace(monotonic=lambda: clock.now))
    with pytest.raises(ConnectTimeoutError):
        within(bounds(), _StrictHTTP("host", timeout=5).connect)
    assert left == [5, 3, 0]


def test_connecting_takes_no_longer_than_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where that has less time left."""
    left = []

    def connect(*given: Any) -> socket.socket:
        left.append(given[-1]())
        raise TimeoutError

    monkeypatch.setattr(strict, "connect", connect)
    with pytest.raises(ConnectTimeoutError):
        within(bounds(0), _StrictHTTP("host", timeout=5).connect)
    assert left == [0]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (socket.gaierror("unknown"), NameResolutionError),
        (TimeoutError("late"), ConnectTimeoutError),
        (ConnectionRefusedError("refused"), NewConnectionError),
    ],
    ids=repr,
)
def test_what_keeps_it_from_connecting(monkeypatch: pytest.MonkeyPatch, error: OSError, kind: type[Exception]) -> None:
    """Is raised as urllib3 does, with the system's words."""

    def fail(*_: object) -> socket.socket:
        raise error

    monkeypatch.setattr(strict, "connect", fail)
    with pytest.raises(kind, match=str(error)) as caught:
        within(bounds(), _StrictHTTP("host", timeout=5).connect)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("options", [_StrictHTTP.default_socket_options, None], ids=["urllib3's", "none"])
def test_a_connections_options(options: Any) -> None:
    """Small pieces are sent at once, as urllib3 has it; options may also be none at all."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = _StrictHTTP(*server.getsockname(), timeout=5, socket_options=options)
        asked = bounds()
        within(asked, connection.connect)
        found = connection.sock
        assert bool(found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) is (options is not None)
        assert asked.fresh
        connection.close()


def test_a_connection_of_a_call_that_was_stopped_is_closed() -> None:
    """It was made just then; nobody else would close it."""
    stopped = bounds()
    stopped.end()
    ours, theirs = socket.socketpair()
    with theirs:
        with pytest.raises(TimeoutError):
            within(stopped, lambda: _StrictHTTP("host", timeout=5)._opened(ours))
        assert ours.fileno() == -1


def through_socks(seconds: float) -> Any:
    """A connection through a SOCKS proxy, opened in so much time."""
    connection = _socks_pools()["http"].ConnectionCls(  # type: ignore[attr-defined] # a pool's
        host="host", port=80, timeout=LONG, _socks_options={}
    )
    return within(bounds(seconds), connection._new_conn)


def test_a_socks_proxy_is_spoken_to_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which can be left behind."""
    ours, theirs = socket.socketpair()
    spoke = []

    def open_tunnel(_: object) -> socket.socket:
        spoke.append(threading.current_thread())
        return ours

    monkeypatch.setattr(socks.SOCKSConnection, "_new_conn", open_tunnel)
    with ours, theirs:
        assert through_socks(LONG) is ours
    assert spoke != [threading.current_thread()]


def test_a_socks_proxy_that_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection fails in time, whatever the proxy goes on to say."""
    over = threading.Event()
    monkeypatch.setattr(socks.SOCKSConnection, "_new_conn", lambda _: over.wait(LONG))
    with pytest.raises(ConnectTimeoutError, match="the proxy gave no connection to host in time"):
        through_socks(0.01)
    over.set()


@pytest.mark.parametrize("proxied", [False, True])
def test_closing_a_client_closes_its_connections_now(
    origin: Server, monkeypatch: pytest.MonkeyPatch, proxied: bool
) -> None:
    """Though something still refers to their pool, as a past error's frames do."""
    for name in ("http_proxy", "no_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    if proxied:
        monkeypatch.setenv("HTTP_PROXY", origin.url)
        monkeypatch.setenv("NO_PROXY", "")
    client = RerankClient("http://reranker.invalid" if proxied else origin.url, model="toy", endpoint="v1/classify")
    client.rerank("q", ["d"])
    adapter = client._transport._session.get_adapter("http://")
    assert isinstance(adapter, StrictAdapter)
    [manager] = adapter.proxy_manager.values() if proxied else [adapter.poolmanager]
    pools = [manager.pools[key] for key in manager.pools.keys()]  # noqa: SIM118 - it can't be iterated
    sockets = [connection.sock for pool in pools for connection in pool.pool._idle if connection is not None]
    assert sockets
    client.close()
    assert [sock.fileno() for sock in sockets] == [-1] * len(sockets)


def test_a_shelf_has_as_much_room_as_it_was_made_with() -> None:
    """Also for hundreds of connections."""
    shelf = _Shelf(300)
    for number in range(300):
        shelf.put(number)
    with pytest.raises(strict.Full):
        shelf.put(300)
    assert shelf.qsize() == 300
