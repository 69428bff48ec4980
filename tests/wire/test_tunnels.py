"""TLS, and proxies in front of it: the same promises as without them."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme
from aiohttp import ClientSession
from aiohttp.client_proto import ResponseHandler
from asking import Ask
from peer import LATER, Asked, Peer, answer, framed, peer, right

from qwen3_sglang import InvalidInputError, RerankClient, errors
from qwen3_sglang.transport.strict_async import StrictConnector

CALLS = ([0.1], [0.6, 0.2], [0.3])
TUNNEL = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority of the tests' own."""
    return trustme.CA()


@pytest.fixture(scope="module")
def context(authority: trustme.CA) -> ssl.SSLContext:
    """What a server of this machine speaks TLS by."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(made)
    return made


@pytest.fixture(scope="module")
def bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a client trusts it by."""
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def _tunnel(client: socket.socket, context: ssl.SSLContext | None, said: bytes) -> None:
    with suppress(OSError):
        if context is not None:
            client = context.wrap_socket(client, server_side=True)
        with client:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(65536)
            host, _, port = head.split()[1].decode().rpartition(":")
            with socket.create_connection((host, int(port))) as server:
                client.sendall(said)
                back = threading.Thread(target=_copy, args=(server, client), daemon=True)
                back.start()
                _copy(client, server)
                back.join()


@contextmanager
def proxy(context: ssl.SSLContext | None = None, said: bytes = TUNNEL) -> Iterator[str]:
    """The address of a proxy that opens tunnels, itself behind TLS where there is a context."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=_tunnel, args=(client, context, said), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"{'http' if context is None else 'https'}://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.fixture(params=["http", "https"])
def proxied(request: pytest.FixtureRequest, context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every https request goes through a tunnel."""
    with proxy(context if request.param == "https" else None) as url:
        monkeypatch.setenv("HTTPS_PROXY", url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        yield


def twice(asked: Asked) -> None:
    """In one piece, so that a layer of TLS may hold the second answer back."""
    asked.say(framed(asked.good) * 2)


@pytest.mark.usefixtures("proxied")
@pytest.mark.parametrize("behave", [right, twice])
def test_calls_through_a_tunnel(
    ask: Ask, context: ssl.SSLContext, bundle: Path, behave: Callable[[Asked], object]
) -> None:
    """Nothing of what a tunnel takes to open is an answer that came unasked, and no retry is needed."""
    with peer(behave, context) as server:
        for _ in range(5):
            assert ask(RerankClient(server.url, verify=bundle, timeout=20, max_retries=0), *CALLS) == list(CALLS)


@pytest.mark.usefixtures("proxied")
def test_the_first_failure_ends_the_others_in_their_tunnels(ask: Ask, context: ssl.SSLContext, bundle: Path) -> None:
    """TLS inside TLS can be shut down too."""
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

    with peer(behave, context) as server:
        began = time.monotonic()
        client = RerankClient(server.url, verify=bundle, timeout=30, batch_size=1)
        [failure] = ask(client, [0.1, 0.2, 0.3])
    assert isinstance(failure, errors.AuthenticationError)
    assert time.monotonic() - began < 10


async def test_what_came_while_the_loop_was_held(context: ssl.SSLContext, bundle: Path) -> None:
    """The system has it, TLS has not read it, and the event loop knows nothing of it."""
    other = framed(answer(json.dumps({"input": ["p=0.77"]}).encode()))
    said = threading.Semaphore(0)

    def behave(asked: Asked) -> None:
        right(asked)
        if asked.body:
            LATER.wait(0.05)
            asked.say(other)
            said.release()

    with peer(behave, context) as server:
        async with RerankClient(server.url, verify=bundle, timeout=20) as client:
            assert await client.ascore("q", ["p=0.1"]) == [0.1]
            said.acquire(timeout=10)  # on the loop's own thread
            assert await client.ascore("q", ["p=0.2"]) == [0.2]


async def test_an_aiohttp_that_cannot_be_guarded() -> None:
    """A version that makes its connections otherwise is refused, before anything is sent."""
    with peer(right) as server:
        connector = StrictConnector()
        connector._factory = lambda: ResponseHandler(connector._loop)
        async with ClientSession(connector=connector) as session:
            with pytest.raises(InvalidInputError, match="aiohttp"):
                await session.get(server.url)
        assert server.paths == []


def test_a_stopped_handshake_holds_no_thread(context: ssl.SSLContext, bundle: Path) -> None:
    """The call ends with its first failure; a handshake that the peer doesn't answer ends with it."""
    shaking, others = threading.Event(), threading.Event()

    class Half(Peer):
        def _talk(self, connection: socket.socket) -> None:
            if self.connections > 2:  # the list of models had the first, a list of documents gets the second
                shaking.set()
                others.wait(20)
                return
            super()._talk(connection)

    def behave(asked: Asked) -> None:
        if asked.body:
            shaking.wait(20)
            asked.say(framed(b"no", status=b"401 No"))
        else:
            right(asked)

    server = Half(behave, context)
    accepting = threading.Thread(target=server.accept)
    accepting.start()
    try:
        client = RerankClient(server.url, verify=str(bundle), batch_size=1, timeout=15, endpoint="v1/classify")
        with pytest.raises(errors.AuthenticationError):
            client.score("q", ["p=0.1", "p=0.2", "p=0.3"])
        mine = [thread for thread in threading.enumerate() if thread.name == "qwen3-sglang"]
        for thread in mine:
            thread._started.wait(5)  # type: ignore[attr-defined] # it may have been started just now
            thread.join(5)
        assert not any(thread.is_alive() for thread in mine)
    finally:
        others.set()
        server.stop()
        accepting.join()
