"""A call ends within its time, or at once where it is interrupted, whatever it is waiting for.

Tests of `transport/addresses.py`.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from asking import Ask
from peer import LATER, Asked, framed, peer, right

from qwen3_sglang import RerankClient, errors
from qwen3_sglang.protocol.retry import Backoff

TIMEOUT = 0.6
SLACK = 0.5  # seconds past `timeout` that are promised
BUSY = 2.0  # more, since the tests' machine may be busy


def took(work: Callable[[], Any]) -> tuple[Any, float]:
    """What comes of it, and the seconds it takes."""
    began = time.monotonic()
    found = work()
    return found, time.monotonic() - began


class Names:
    """What a name server was asked for."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.asked = threading.Event()


@pytest.fixture
def silent_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    """A name server that never answers while the test runs."""
    over, names, real = threading.Event(), Names(), socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        if str(host).startswith("127."):
            return real(host, *args, **options)
        names.seen.append(host)
        names.asked.set()
        over.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "no name server")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield names
    over.set()


@pytest.fixture
def silent_addresses(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A name with four addresses that take no connection and refuse none: their backlogs are full."""
    with ExitStack() as stack:
        found, real = [], socket.getaddrinfo
        for number in range(1, 5):
            listener = stack.enter_context(socket.socket())
            listener.bind((f"127.0.0.{number}", 0))
            listener.listen(0)
            for _ in range(2):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(listener.getsockname())
            found.append((socket.AF_INET, socket.SOCK_STREAM, 6, "", listener.getsockname()))
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda host, *a, **k: found if host == "four.test" else real(host, *a, **k)
        )
        yield "http://four.test:80"


def expect_in_time(ask: Ask, client: RerankClient, *wanted: float) -> errors.Qwen3SGLangError:
    """The typed error of one call that ends in time."""
    [failure], seconds = took(lambda: ask(client, list(wanted or [0.1])))
    assert isinstance(failure, errors.ServerError)
    assert seconds < client.settings.timeout + SLACK + BUSY
    return failure


def test_a_silent_name_server(ask: Ask, silent_names: Names) -> None:
    """Nobody waits for the system's own time; one thread waits for each name, however many calls there are."""
    before = threading.active_count()
    for _ in range(3):
        expect_in_time(ask, RerankClient("http://name.test", timeout=TIMEOUT))
    assert silent_names.seen == ["name.test"]
    assert threading.active_count() <= before + 2


def test_silent_addresses(ask: Ask, silent_addresses: str) -> None:
    """All of a name's addresses share one time."""
    failure = expect_in_time(ask, RerankClient(silent_addresses, timeout=TIMEOUT, connect_timeout=20))
    assert isinstance(failure, errors.ServerTimeoutError)


def test_silent_addresses_and_connect_timeout(ask: Ask, silent_addresses: str) -> None:
    """The time to connect is for all of them too."""
    client = RerankClient(silent_addresses, timeout=20, connect_timeout=0.3, max_retries=0)
    [failure], seconds = took(lambda: ask(client, [0.1]))
    assert "connect_timeout=0.3" in str(failure)
    assert seconds < 0.3 + BUSY


def test_a_connect_timeout_that_is_over_at_once(ask: Ask) -> None:
    """No connection within it: sync and async say the same."""
    with peer(right) as server:
        [found] = ask(RerankClient(server.url, connect_timeout=1e-9, max_retries=0), [0.25])
    assert isinstance(found, errors.ServerUnreachableError), found
    assert "no connection within connect_timeout=1e-09 s" in str(found)


def test_one_silent_address_of_two(ask: Ask, silent_addresses: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one is tried while the first is silent."""
    with peer(right) as server:
        silent, *_ = socket.getaddrinfo("four.test", 80)
        good = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", int(server.url.rpartition(":")[2])))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: [silent, good])
        assert ask(RerankClient("http://two.test:80", timeout=20), [0.1]) == [[0.1]]


def never_reads(asked: Asked) -> None:
    """Not even the next request."""
    right(asked)
    if not asked.body:
        asked.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        LATER.wait(10)


def test_a_peer_that_does_not_read(ask: Ask) -> None:
    """Sending is bounded as well: the request doesn't fit into the sockets' buffers."""
    with peer(never_reads) as server:
        client = RerankClient(server.url, timeout=TIMEOUT, max_length=10**9, instruction="long " * 3_000_000)
        expect_in_time(ask, client)


@pytest.mark.parametrize("batch_size", [1, 32])
def test_a_silent_peer(ask: Ask, batch_size: int) -> None:
    """One list or several."""
    with peer(lambda asked: LATER.wait(10) if asked.body else right(asked)) as server:
        expect_in_time(ask, RerankClient(server.url, timeout=TIMEOUT, batch_size=batch_size), 0.1, 0.2, 0.3)


def test_a_read_that_begins_late_is_cut_short(ask: Ask) -> None:
    """A piece every 0.25 s: no read overruns the end of the call by a whole wait of its own."""

    def drip(asked: Asked) -> None:
        asked.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(40):
            asked.say(b" ")
            LATER.wait(0.25)

    with peer(drip) as server:
        expect_in_time(ask, RerankClient(server.url, timeout=TIMEOUT, read_timeout=20))


def test_the_first_failure_ends_the_call(ask: Ask) -> None:
    """One list is refused while the others are silent: nobody waits for those."""
    silent = threading.Semaphore(0)

    def behave(asked: Asked) -> None:
        if not asked.body:
            right(asked)
        elif b"p=0.1" in asked.body:
            silent.acquire(timeout=10)
            asked.say(framed(b"no", status=b"401 Unauthorized"))
        else:
            silent.release()
            LATER.wait(20)

    with peer(behave) as server:
        [failure], seconds = took(lambda: ask(RerankClient(server.url, timeout=30, batch_size=1), [0.1, 0.2, 0.3]))
    assert isinstance(failure, errors.AuthenticationError)
    assert seconds < 1 + BUSY


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """Presses it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    main = threading.main_thread().ident or 0
    yield lambda: signal.pthread_kill(main, signal.SIGINT)
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("batch_size", [1, 32])
def test_ctrl_c_ends_a_sync_call(ctrl_c: Callable[[], None], batch_size: int) -> None:
    """At once, with several lists in flight too; their connections are closed, their slots free."""
    lists, dropped = threading.Semaphore(0), threading.Semaphore(0)
    count = 3 if batch_size == 1 else 1

    def behave(asked: Asked) -> None:
        if not asked.body or b"p=0.9" in asked.body:
            right(asked)
            return
        lists.release()
        asked.connection.settimeout(20)
        if asked.connection.recv(1) == b"":
            dropped.release()
        raise OSError

    def press() -> None:
        for _ in range(count):
            lists.acquire(timeout=10)
        ctrl_c()

    with peer(behave) as server:
        client = RerankClient(server.url, timeout=60, batch_size=batch_size, max_concurrency=3)
        thread = threading.Thread(target=press)
        thread.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            client.score("q", ["p=0.1", "p=0.2", "p=0.3"])
        assert time.monotonic() - began < 1 + BUSY
        thread.join()
        for _ in range(count):
            assert dropped.acquire(timeout=10)
        assert client.score("q", ["p=0.9"]) == [0.9]


async def test_a_cancelled_call_ends_at_once(silent_names: Names) -> None:
    """Also while it waits for a name."""
    client = RerankClient("http://name.test", timeout=60)
    task = asyncio.create_task(client.ascore("q", ["d"]))
    await asyncio.to_thread(silent_names.asked.wait, 10)
    task.cancel()
    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 1 + BUSY
    await client.aclose()


def test_the_end_of_a_loop_waits_for_no_name(silent_names: Names) -> None:
    """asyncio.run joins the threads of its loop's executor; no look-up runs there."""

    async def call() -> None:
        with pytest.raises(errors.ServerError):
            await RerankClient("http://name.test", timeout=TIMEOUT).ascore("q", ["d"])

    _, seconds = took(lambda: asyncio.run(call()))
    assert seconds < TIMEOUT + SLACK + BUSY
    assert silent_names.seen


def test_retries_are_told(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    """Why, and how long it waits: otherwise nobody knows why a minute passes."""
    once = threading.Semaphore(1)

    def behave(asked: Asked) -> None:
        if asked.body and once.acquire(blocking=False):
            asked.say(framed(b'{"message": "loading sk-secret-0123456789"}', status=b"503 Later"))
        else:
            right(asked)

    with peer(behave) as server, caplog.at_level(logging.INFO, logger="qwen3_sglang"):
        client = RerankClient(server.url, api_key="sk-secret-0123456789", backoff=Backoff(0.01, 0.01))
        assert ask(client, [0.1]) == [[0.1]]
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.name == "qwen3_sglang.transport.transport"
    assert "loading" in record.getMessage()
    assert "trying again in 0.0 s" in record.getMessage()
    assert "sk-secret" not in caplog.text
