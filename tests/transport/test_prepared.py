"""Async requests that are sent without aiohttp's own way: what a peer, a caller and a tracer see is the same.

Tests of `transport/prepared.py`, `transport/strict_async.py`.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import traceback
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp
import pytest
import trustme
from aiohttp.connector import Connection

from qwen3_sglang import RerankClient
from qwen3_sglang.protocol.exchange import Request
from qwen3_sglang.transport import prepared, strict_async
from qwen3_sglang.transport.bounds import BrokenHTTPError, Budget
from qwen3_sglang.transport.prepared import Prepared
from qwen3_sglang.transport.sessions import LoopSession
from qwen3_sglang.transport.strict_async import StrictConnector, StrictProtocol

KEY = "sk-made-up-0123456789"
OK = b"HTTP/1.1 200 OK\r\n"
GOOD = OK + b"Content-Length: 4\r\n\r\ngood"
LONG = b"x" * 2**24  # more than the system takes without a reader
SECONDS = 30.0  # no test takes as long


class Line:
    """A connection as its peer has it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def head(self) -> bytes:
        """A request's first lines; empty where the connection has ended."""
        try:
            return await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""

    async def request(self) -> tuple[bytes, bytes]:
        """A whole request: its first lines and its body."""
        head = await self.head()
        length = [line.split(b":")[1] for line in head.splitlines() if line.lower().startswith(b"content-length")]
        return head, await self.reader.readexactly(int(length[0])) if length else b""

    async def rest(self) -> int:
        """How many bytes still come, until the connection ends."""
        size = 0
        try:
            while part := await self.reader.read(2**20):
                size += len(part)
        except ConnectionError:
            pass
        return size

    async def say(self, *pieces: bytes) -> None:
        """Send them, one after the other."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    def hang_up(self) -> None:
        """The end, also of what came and wasn't read."""
        self.writer.transport.abort()


Behave = Callable[[Line], Awaitable[object]]


class Peer:
    """What it is asked, and on how many connections."""

    def __init__(self, url: str, behave: Behave) -> None:
        self.url = url
        self.lines: list[Line] = []
        self.tasks: list[asyncio.Task[object]] = []
        self._behave = behave

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection was made."""

        async def work() -> object:
            return await self._behave(self.lines[-1])

        self.lines.append(Line(reader, writer))
        self.tasks.append(asyncio.get_running_loop().create_task(work()))

    async def done(self, place: int = 0) -> Any:
        """What became of a connection."""
        return await asyncio.wait_for(self.tasks[place], SECONDS)


@asynccontextmanager
async def peer(behave: Behave, host: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    """One that behaves so on each connection, until left."""

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.accept(reader, writer)

    server = await asyncio.start_server(accept, host, 0, ssl=context)
    named = f"[{host}]" if ":" in host else host
    running = Peer(f"{'https' if context else 'http'}://{named}:{server.sockets[0].getsockname()[1]}", behave)
    try:
        yield running
    finally:
        server.close()
        for task in running.tasks:
            task.cancel()
        await asyncio.gather(*running.tasks, return_exceptions=True)
        for line in running.lines:
            line.hang_up()


def answering(*answers: bytes) -> Behave:
    """Reads whole requests, and answers each with the next of these, the last one again and again."""

    async def behave(line: Line) -> None:
        for place in range(100):
            if not (await line.request())[0]:
                return
            await line.say(answers[min(place, len(answers) - 1)])

    return behave


@asynccontextmanager
async def asking(url: str, **options: Any) -> AsyncIterator[LoopSession]:
    """A client's session of this loop; whatever it opened is closed then, without a complaint of aiohttp's."""
    loop = asyncio.get_running_loop()
    client, complaints = RerankClient(url, **options), list[Any]()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ResourceWarning)
        yield client._transport._loop()
        await client.aclose()
        gc.collect(1)  # what is as young as this
    loop.set_exception_handler(None)
    assert complaints == []
    assert [one for one in warned if issubclass(one.category, ResourceWarning) and "nclosed" in str(one.message)] == []


async def get(
    prepared: Prepared,
    url: str,
    body: bytes | None = b"{}",
    most: Callable[[int], int] = lambda _: 10**6,
    **headers: str,
) -> tuple[int, Mapping[str, str], bytes]:
    """An answer's status, headers and body."""
    with Budget(10**8, body):
        async with asyncio.timeout(SECONDS):
            return await prepared.ask(url, body, headers=headers, most=most)


async def ask(session: LoopSession, url: str, body: bytes = b"{}", **headers: str) -> tuple[int, bytes]:
    """An answer's status and body."""
    status, _, content = await get(session.prepared, url, body, **headers)
    return status, content


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bodies that were sent without aiohttp's own way."""
    found: list[bytes] = []
    send = StrictProtocol.send

    def note(self: StrictProtocol, head: bytes, body: bytes, **options: Any) -> None:
        found.append(body)
        send(self, head, body, **options)

    monkeypatch.setattr(StrictProtocol, "send", note)
    return found


@contextmanager
def own_way() -> Iterator[None]:
    """Everything is sent by aiohttp itself."""
    with mock.patch.object(prepared, "_watched", return_value=True):
        yield


async def failure(url: str, **options: Any) -> Exception:
    """What one request raises."""
    async with asking(url, **options) as session:
        with pytest.raises(Exception, match="") as caught:  # noqa: PT011 - any one: two ways are compared
            await ask(session, f"{url}/v1/classify")
    return caught.value


# The bytes of a request.


HEADERS: list[dict[str, Any]] = [
    {},
    {"api_key": KEY},
    {"api_key": KEY, "api_key_header": "x-api-key"},
    {"headers": {"X-Tenant": "one", "user-agent": "mine", "Cookie": "a=b"}},
    {"api_key": KEY, "headers": {"x-b": "2", "X-A": "1"}},
]
HOSTS = ["127.0.0.1", "::1", "bücher.example", "UPPER.example"]
PATHS = ["", "/v1/prefix", "/%7Etilde/%2F/é+", "/a//b/../c"]


async def heads(server: Peer, url: str, **options: Any) -> list[tuple[bytes, list[bytes], bytes]]:
    """First line, headers in order of their names and body of a request, sent both ways."""
    found = []
    for way in (own_way, mock.MagicMock):
        with way():
            async with asking(url, **options) as session:
                await ask(session, f"{url}/v1/classify", b'{"a":1}', **{"X-Request-Timeout": "1.5"})
        head, body = await server.done(len(server.lines) - 1)
        first, *lines = head.rstrip().split(b"\r\n")
        found.append((first, sorted(lines), body))
    return found


async def once(line: Line) -> tuple[bytes, bytes]:
    """One request, answered."""
    found = await line.request()
    await line.say(GOOD)
    return found


@pytest.mark.parametrize("options", HEADERS, ids=lambda options: "+".join(options) or "none")
async def test_the_same_headers_are_sent(sent: list[bytes], options: dict[str, Any]) -> None:
    """The key's, the user's and aiohttp's own; each of them once."""
    async with peer(once) as server:
        [own, ours] = await heads(server, server.url, **options)
    assert ours == own
    assert ours[2] == b'{"a":1}'
    assert b"Content-Length: 7" in ours[1]
    assert b"X-Request-Timeout: 1.5" in ours[1]
    assert sent == [b'{"a":1}']


async def test_a_login_from_netrc_is_sent(sent: list[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As aiohttp sends it."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with peer(once) as server:
        [own, ours] = await heads(server, server.url)
    assert ours == own
    assert any(line.startswith(b"Authorization: Basic ") for line in ours[1])
    assert len(sent) == 1


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("host", HOSTS)
async def test_the_same_address_is_asked(
    sent: list[bytes], monkeypatch: pytest.MonkeyPatch, host: str, path: str
) -> None:
    """Its name in Host, with its port; its path, quoted."""
    literal = host in {"127.0.0.1", "::1"}
    find = strict_async.find
    monkeypatch.setattr(strict_async, "find", lambda _, port: find("127.0.0.1", port))  # such names aren't known
    async with peer(once, host if literal else "127.0.0.1") as server:
        url = (server.url if literal else server.url.replace("127.0.0.1", host)) + path
        [own, ours] = await heads(server, url)
    assert ours == own
    assert len(sent) == 1


async def test_what_is_prepared_is_sent_again(sent: list[bytes]) -> None:
    """A request's own length and headers are no part of it, nor is another address."""
    found: list[tuple[bytes, bytes]] = []

    async def behave(line: Line) -> None:
        while (request := await line.request())[0]:
            found.append(request)
            await line.say(GOOD)

    async with peer(behave) as server, asking(server.url) as session:
        for place, path in enumerate(("/a", "/b", "/a")):
            body = b"x" * (place + 1)
            assert await ask(session, server.url + path, body, x_place=str(place)) == (200, b"good")
    assert [head.split(b" HTTP")[0] for head, _ in found] == [b"POST /a", b"POST /b", b"POST /a"]
    assert [body for _, body in found] == sent == [b"x", b"xx", b"xxx"]
    for place, (head, _) in enumerate(found):
        assert head.count(b"x_place: ") == 1
        assert b"x_place: %d\r\n" % place in head
        assert head.lower().count(b"content-length: ") == 1
        assert b"Content-Length: %d\r\n" % (place + 1) in head


async def test_each_address_is_prepared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """That takes longer than to send it."""
    made: list[object] = []

    class Counted(aiohttp.ClientRequest):
        def __init__(self, *args: Any, **options: Any) -> None:
            made.append(args)
            super().__init__(*args, **options)

    async with peer(answering(GOOD)) as server, asking(server.url) as session:
        monkeypatch.setattr(aiohttp, "ClientRequest", Counted)
        for path in ("/a", "/b", "/a", "/b"):
            await ask(session, server.url + path)
    assert len(made) == 2


# Which way a request takes.


class Wrapper:
    """As wrapt's: called like the function, but none."""

    def __init__(self, wrapped: Any, noted: list[str]) -> None:
        self._wrapped, self._noted = wrapped, noted

    def __call__(self, *args: Any, **options: Any) -> Any:
        """It is noted."""
        self._noted.append("seen")
        return self._wrapped(*args, **options)

    def __get__(self, instance: object, _: object = None) -> Any:
        return self if instance is None else partial(self, instance)


def plain(own: Any, noted: list[str]) -> Any:
    """A function, with the name and the module of what it stands for."""

    @wraps(own)
    def instead(*args: Any, **options: Any) -> Any:
        noted.append("seen")
        return own(*args, **options)

    return instead


def specified(own: Any, noted: list[str]) -> Any:
    """A mock with the signature of what it stands for: a function, of no module."""

    async def effect(*args: Any, **options: Any) -> Any:
        noted.append("seen")
        return await own(*args, **options)

    return mock.create_autospec(own, side_effect=effect)


@pytest.mark.parametrize("way", [plain, Wrapper, specified])
@pytest.mark.parametrize(
    "place", [(aiohttp.ClientSession, "_request"), (aiohttp.ClientSession, "request"), (aiohttp.ClientRequest, "send")]
)
async def test_recorders_see_each_request(
    sent: list[bytes], monkeypatch: pytest.MonkeyPatch, way: Any, place: tuple[Any, str]
) -> None:
    """Also those that come between two requests; when they are gone, requests are prepared again."""
    if (way, place[1]) == (specified, "request"):
        way = plain  # such a mock's answer is no context manager
    noted: list[str] = []
    async with peer(answering(GOOD)) as server, asking(server.url) as session:
        await ask(session, server.url, b"before")
        with monkeypatch.context() as patch:
            patch.setattr(*place, way(getattr(*place), noted))
            assert await ask(session, server.url, b"while") == (200, b"good")
            assert noted == ["seen"]
        await ask(session, server.url, b"after")
    assert (noted, sent) == (["seen"], [b"before", b"after"])


def traced(noted: list[str]) -> dict[str, Any]:
    """aiohttp's own way to trace."""

    async def start(*_: object) -> None:
        noted.append("seen")

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(start)
    return {"trace_configs": [trace]}


def middleware(noted: list[str]) -> dict[str, Any]:
    """aiohttp's own way to stand between."""

    async def between(request: Any, send: Any) -> Any:
        noted.append("seen")
        return await send(request)

    return {"middlewares": (between,)}


@pytest.mark.parametrize("options", [traced, middleware])
async def test_listeners_of_a_session_hear_each_request(
    sent: list[bytes], options: Callable[[list[str]], dict[str, Any]]
) -> None:
    """Tools add them to each session that is made."""
    if options is middleware and not hasattr(aiohttp, "ClientMiddlewareType"):
        pytest.skip("this aiohttp has no middlewares")
    noted: list[str] = []
    heard = aiohttp.ClientSession(connector=StrictConnector(), **options(noted))
    async with peer(answering(GOOD)) as server, heard as session:
        found = await get(Prepared(session, direct=True), server.url)
    assert (found[2], noted, sent) == (b"good", ["seen"], [])


async def test_a_sessions_own_class_counts(sent: list[bytes]) -> None:
    """A tool may have replaced aiohttp's class while the session was made."""
    noted: list[str] = []

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # aiohttp would rather not be inherited from

        class Recorded(aiohttp.ClientSession):
            _request = plain(aiohttp.ClientSession._request, noted)

    async with peer(answering(GOOD)) as server, Recorded(connector=StrictConnector()) as session:
        await get(Prepared(session, direct=True), server.url)
    assert (noted, sent) == (["seen"], [])


async def test_a_mocked_session_is_asked() -> None:
    """Although it isn't aiohttp's at all."""
    session = mock.MagicMock()
    session.request.side_effect = aiohttp.ClientConnectionError("mocked")
    with pytest.raises(aiohttp.ClientConnectionError, match="mocked"):
        await get(Prepared(session, direct=True), "http://127.0.0.1:1")


async def test_a_cassette_is_played(sent: list[bytes], tmp_path: Path) -> None:
    """What vcrpy has recorded is answered without the server, and recorded as it was sent."""
    vcr = pytest.importorskip("vcr")
    tape = str(tmp_path / "tape.yaml")
    async with peer(answering(GOOD)) as server:
        for mode in ("once", "none"):
            async with asking(server.url) as session:
                with vcr.use_cassette(tape, record_mode=mode):
                    assert await ask(session, f"{server.url}/v1/classify", b"{}") == (200, b"good")
    assert len(server.lines) == 1
    assert sent == []


async def test_a_closed_session_says_so(sent: list[bytes]) -> None:
    """As aiohttp does."""
    async with peer(answering(GOOD)) as server, asking(server.url) as session:
        await ask(session, server.url)
        await session.close()
        with pytest.raises(RuntimeError, match="Session is closed"):
            await ask(session, server.url)
    assert len(sent) == 1


@pytest.mark.parametrize("direct", [True, False])
async def test_questions_and_proxies_are_aiohttps(sent: list[bytes], direct: bool) -> None:
    """No body is a GET; a proxy's login is added by aiohttp."""
    async with peer(once) as server, aiohttp.ClientSession(connector=StrictConnector()) as session:
        got = await get(Prepared(session, direct=direct), server.url, None if direct else b"{}")
        head, _ = await server.done()
    assert got[2] == b"good"
    assert head.startswith(b"GET / " if direct else b"POST / ")
    assert sent == []


async def test_an_aiohttp_of_another_make_is_asked(sent: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its requests are made in another way, it makes them; that is tried once per address."""
    tried: list[object] = []

    class Other(aiohttp.ClientRequest):
        def __init__(self, *args: object, **_: object) -> None:
            tried.append(args)
            raise TypeError("another signature")

    async with peer(answering(GOOD)) as server, asking(server.url) as session:
        monkeypatch.setattr(aiohttp, "ClientRequest", Other)
        for _ in range(2):
            assert await ask(session, server.url) == (200, b"good")
        monkeypatch.setattr(aiohttp, "ClientRequest", object)  # it has no `send`
        assert await ask(session, f"{server.url}/another") == (200, b"good")
    assert (len(tried), sent) == (1, [])


# The answer.


INTERIM = b"HTTP/1.1 102 Processing\r\nX-A: b\r\n\r\n"


@pytest.mark.parametrize("before", [[b"HTTP/1.1 100 Continue\r\n\r\n"], [INTERIM, INTERIM]], ids=["100", "two"])
@pytest.mark.parametrize("apart", [True, False])
async def test_interim_answers_are_passed_over(sent: list[bytes], before: list[bytes], apart: bool) -> None:
    """The answer itself comes after them, and the connection is used again."""

    async def behave(line: Line) -> None:
        for answer in (GOOD, GOOD.replace(b"good", b"well")):
            await line.request()
            for piece in [*before, answer] if apart else [b"".join([*before, answer])]:
                await line.say(piece)
                await asyncio.sleep(0)  # the client reads it alone

    async with peer(behave) as server, asking(server.url) as session:
        assert await ask(session, server.url) == (200, b"good")
        assert await ask(session, server.url) == (200, b"well")
    assert (len(server.lines), len(sent)) == (1, 2)


async def test_a_status_below_100_is_the_answers() -> None:
    """Nothing else may come after it."""
    answer = b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n"
    async with peer(answering(answer)) as server, asking(server.url) as session:
        assert await ask(session, server.url) == (99, b"")


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", (304, b"")),
        (OK + b"Content-Length: 0\r\n\r\n", (200, b"")),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (200, b"")),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\ngo\r\n2\r\nod\r\n0\r\n\r\n", (200, b"good")),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\ngood", (200, b"good")),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", (302, b"")),
        (OK + b"X-Long: " + b"x" * 2**15 + b"\r\nContent-Length: 4\r\n\r\ngood", (200, b"good")),
        (b"HTTP/1.1 503 " + b"x" * 2**15 + b"\r\nContent-Length: 4\r\n\r\ngood", (503, b"good")),
    ],
    ids=["204", "304", "no bytes", "no chunks", "chunks", "not unpacked", "redirect", "long header", "long reason"],
)
async def test_a_whole_answer_leaves_the_connection_for_another(
    sent: list[bytes], answer: bytes, wanted: tuple[int, bytes]
) -> None:
    """Also one without a body; nothing is unpacked or followed. aiohttp's own way says the same."""
    # Those of success differ, since the same bytes again end the connection.
    async with peer(answering(answer, GOOD)) as server, asking(server.url) as session:
        assert await ask(session, server.url) == wanted
        assert await ask(session, server.url) == (200, b"good")
    assert (len(server.lines), len(sent)) == (1, 2)
    with own_way():
        async with peer(answering(answer)) as server, asking(server.url) as session:
            assert await ask(session, server.url) == wanted


async def test_the_answers_headers_are_given() -> None:
    """In any case of letters."""
    answer = OK + b"Retry-After: 7\r\nContent-Length: 0\r\n\r\n"
    async with peer(answering(answer)) as server, asking(server.url) as session:
        _, headers, _ = await get(session.prepared, server.url)
    assert headers["retry-after"] == "7"


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Connection: close\r\nContent-Length: 4\r\n\r\ngood",
        b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\ngood",
    ],
    ids=["it says so", "HTTP/1.0"],
)
async def test_a_connection_that_the_peer_will_close_is_not_used_again(answer: bytes) -> None:
    """Although it is open still."""

    async def behave(line: Line) -> int:
        await line.request()
        await line.say(answer)
        return await line.rest()

    async with peer(behave) as server, asking(server.url) as session:
        for place in range(2):
            assert await ask(session, server.url) == (200, b"good")
            assert await server.done(place) == 0


async def test_a_body_that_ends_with_its_connection() -> None:
    """It has no length."""

    async def behave(line: Line) -> None:
        await line.request()
        await line.say(OK + b"\r\ngo", b"od")
        line.writer.close()

    async with peer(behave) as server, asking(server.url) as session:
        assert await ask(session, server.url) == (200, b"good")


async def test_a_body_is_cut_off() -> None:
    """No more is read than was asked for, by its status; the rest is on no connection that is used again."""
    asked: list[int] = []

    def most(status: int) -> int:
        asked.append(status)
        return 3

    async def behave(line: Line) -> int:
        await line.request()
        await line.say(b"HTTP/1.1 500 Error\r\nContent-Length: 9\r\n\r\n12345")
        return await line.rest()

    async with peer(behave) as server, asking(server.url) as session:
        got = await get(session.prepared, server.url, most=most)
        assert (got[0], got[2], asked) == (500, b"123", [500])
        assert await server.done() == 0


async def test_no_connection_is_left_to_an_answer_that_comes_early(sent: list[bytes]) -> None:
    """The rest of the request isn't sent: the connection is closed at once, and the next request has another."""

    async def behave(line: Line) -> int:
        await line.head()
        await line.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nless")
        await left.wait()
        return await line.rest()

    left = asyncio.Event()
    async with peer(behave) as server, asking(server.url) as session:
        before = asyncio.all_tasks()
        for place in range(2):
            assert await ask(session, server.url, LONG) == (413, b"less")
            assert len(server.lines) == place + 1
        assert asyncio.all_tasks() - before == set(server.tasks)
        left.set()
        assert all([await server.done(place) < len(LONG) for place in range(2)])
    assert len(sent) == 2


async def test_a_peer_that_closes_while_it_is_written_to() -> None:
    """As on aiohttp's own way: a connection that is lost, which may be tried again."""

    async def behave(line: Line) -> None:
        await line.reader.readexactly(1000)
        line.hang_up()

    async with peer(behave) as server, asking(server.url) as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await ask(session, server.url, LONG)
        with pytest.raises(aiohttp.ClientConnectionError):
            await ask(session, server.url, LONG)
    assert len(server.lines) == 2


@pytest.mark.parametrize("where", ["writing", "waiting", "reading"])
async def test_a_cancelled_request_leaves_nothing(where: str) -> None:
    """The connection is closed, without what isn't sent yet."""
    arrived, cancelled = asyncio.Event(), asyncio.Event()

    async def behave(line: Line) -> int:
        await (line.head() if where == "writing" else line.request())
        if where == "reading":
            await line.say(OK + b"Content-Length: 9\r\n\r\ngo")
        arrived.set()
        await cancelled.wait()
        return await line.rest()

    async with peer(behave) as server, asking(server.url) as session:
        before = asyncio.all_tasks()
        task = asyncio.create_task(ask(session, server.url, LONG if where == "writing" else b"{}"))
        await asyncio.wait_for(arrived.wait(), SECONDS)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() - before == set(server.tasks)
        assert not session.session.connector._acquired  # type: ignore[union-attr] # it is open
        cancelled.set()
        assert await server.done() < len(LONG)


# How it fails.


BROKEN = {
    "no HTTP": b"hello\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "two lengths": OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "no length": OK + b"Content-Length: x\r\n\r\n",
    "length and chunks": OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a line too long": OK + b"X-A: " + b"x" * 2**17 + b"\r\n\r\n",
    "a header without a name": OK + b"nothing\r\n\r\n",
    "switching": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "coded": OK + b"Transfer-Encoding: gzip\r\n\r\nxx",
    "nothing": b"",
    "half a head": OK + b"X-A: ",
    "half a body": OK + b"Content-Length: 9\r\n\r\nab",
    "half a chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nab",
    "interim alone": INTERIM,
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
async def test_broken_http_is_told_in_aiohttps_words(sent: list[bytes], answer: bytes) -> None:
    """And nothing hangs on to what was raised below."""

    async def behave(line: Line) -> None:
        await line.request()
        await line.say(answer)
        line.writer.close()

    async with peer(behave) as server:
        with own_way():
            own = await failure(server.url)
        ours = await failure(server.url)
    assert (type(ours), str(ours)) == (type(own), str(own))
    assert isinstance(ours, aiohttp.ClientError | BrokenHTTPError)
    if isinstance(ours, aiohttp.ClientResponseError):
        assert (ours.__cause__, ours.__context__) == (None, None)
    assert len(sent) == 1


async def test_nobody_listens() -> None:
    """In aiohttp's words."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and doesn't listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with own_way():
            own = await failure(url)
        ours = await failure(url)
    assert (type(ours), str(ours)) == (type(own), str(own))
    assert isinstance(ours, aiohttp.ClientConnectorError)


async def test_no_connection_in_time() -> None:
    """In aiohttp's words; connect_timeout= bounds TLS too, which this peer doesn't speak."""
    async with peer(Line.rest) as server:
        url = server.url.replace("http", "https")
        with own_way():
            own = await failure(url, connect_timeout=0.05)
        ours = await failure(url, connect_timeout=0.05)
    assert (type(ours), str(ours)) == (type(own), str(own))
    assert isinstance(ours, aiohttp.ConnectionTimeoutError)


@pytest.mark.parametrize("said", [b"", OK + b"Content-Length: 9\r\n\r\ngo"], ids=["no word", "half a body"])
async def test_silence_for_read_timeout(said: bytes) -> None:
    """Before the answer and within it."""

    async def behave(line: Line) -> int:
        await line.request()
        await line.say(said)
        return await line.rest()

    async with peer(behave) as server:
        error = await failure(server.url, read_timeout=0.05)
        assert isinstance(error, aiohttp.SocketTimeoutError)
        assert await server.done() == 0


async def test_tls(sent: list[bytes], tmp_path: Path) -> None:
    """Verified as the client's settings say, and used again."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    behave = answering(OK + b"Content-Length: 3\r\n\r\none", GOOD)
    async with peer(behave, context=context) as server:
        async with asking(server.url, verify=str(tmp_path / "ca.pem")) as session:
            assert await ask(session, server.url) == (200, b"one")
            assert await ask(session, server.url, LONG) == (200, b"good")
        assert (len(server.lines), sent) == (1, [b"{}", LONG])
        assert isinstance(await failure(server.url), aiohttp.ClientConnectorCertificateError)


# Secrets.


def shown(error: BaseException) -> str:
    """All that a tool may print of it: the locals of each frame but the tests' own, and what caused it."""
    found = traceback.TracebackException.from_exception(error, capture_locals=True)
    below: Any = found
    while below is not None:
        below.stack = traceback.StackSummary.from_list([one for one in below.stack if one.filename != __file__])
        below = below.__cause__ or below.__context__
    return "".join(found.format())


OPTIONS: list[dict[str, Any]] = [{"api_key": KEY}, {"headers": {"x-secret": KEY}}]


@pytest.mark.parametrize("options", OPTIONS, ids=["key", "header"])
@pytest.mark.parametrize("answer", [b"hello\r\n\r\n", b"", OK + b"Content-Length: 9\r\n\r\nab"], ids=repr)
async def test_the_key_is_in_no_traceback(sent: list[bytes], answer: bytes, options: dict[str, Any]) -> None:
    """Nor in what is kept for the next request."""

    async def behave(line: Line) -> None:
        await line.request()
        await line.say(answer)
        line.writer.close()

    async with peer(behave) as server, asking(server.url, **options) as session:
        with pytest.raises(aiohttp.ClientError) as caught:
            await ask(session, server.url)
        assert "prepared.py" in shown(caught.value)
        assert KEY not in shown(caught.value)
        assert KEY not in repr(vars(session.prepared))
        assert KEY.encode() in session.prepared._known[server.url].lines  # type: ignore[union-attr] # there is one
    assert len(sent) == 1


@pytest.mark.parametrize("kind", ["cancelled", "unknown host"])
async def test_the_key_is_in_no_traceback_of_another_end(kind: str) -> None:
    """A cancelled task, and a name that isn't known."""
    arrived = asyncio.Event()

    async def behave(line: Line) -> None:
        await line.request()
        arrived.set()
        await line.rest()

    async with peer(behave) as server, asking(server.url, api_key=KEY) as session:
        task = asyncio.create_task(ask(session, "http://nowhere.invalid" if kind == "unknown host" else server.url))
        if kind == "cancelled":
            await asyncio.wait_for(arrived.wait(), SECONDS)
            task.cancel()
        with pytest.raises((asyncio.CancelledError, aiohttp.ClientError)) as caught:
            await task
    assert "prepared.py" in shown(caught.value)
    assert KEY not in shown(caught.value)


# A connection alone.


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[StrictProtocol, socket.socket]]:
    """A connection of the running loop, and its other end, which reads only when it is told to."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with theirs:
        transport, protocol = await loop.create_connection(lambda: StrictProtocol(loop), sock=ours)
        with Budget(100, b"a"):
            yield protocol, theirs
        if not transport.is_closing():
            transport.abort()


async def drained(protocol: StrictProtocol, theirs: socket.socket) -> int:
    """The peer reads until nothing is left to send: how many bytes."""
    loop, size = asyncio.get_running_loop(), 0
    while protocol.writing_paused:
        size += len(await asyncio.wait_for(loop.sock_recv(theirs, 2**20), SECONDS))
    return size


async def test_a_closed_connection_is_sent_nothing() -> None:
    """Whoever closed it."""
    protocol = StrictProtocol(asyncio.get_running_loop())
    with pytest.raises(aiohttp.ServerDisconnectedError):
        protocol.send(b"x", b"y", read_timeout=None)
    async with connected() as (protocol, _):
        assert protocol.transport is not None
        protocol.transport.close()
        with pytest.raises(aiohttp.ServerDisconnectedError):
            protocol.send(b"x", b"y", read_timeout=None)
        assert protocol._budget is None


@pytest.mark.parametrize(("size", "pieces"), [(2**16 - 1, 1), (2**16, 2)])
async def test_a_short_request_is_sent_in_one_piece(monkeypatch: pytest.MonkeyPatch, size: int, pieces: int) -> None:
    """A long one isn't: its peer has the head before the rest, and may refuse it."""
    async with connected() as (protocol, theirs):
        transport, written = protocol.transport, list[int]()
        write = transport.write  # type: ignore[union-attr] # it is open

        def note(data: bytes) -> None:
            written.append(len(data))
            write(data)

        monkeypatch.setattr(transport, "write", note)
        protocol.send(b"head", b"x" * size, read_timeout=None)
        assert (len(written), sum(written)) == (pieces, size + 4)
        assert theirs.recv(5, socket.MSG_PEEK) in {b"headx", b"head"}
        assert protocol._read_timeout_handle is None


async def test_the_answer_is_awaited_once_the_request_is_on_its_way() -> None:
    """A peer that reads slowly is not silent: the time begins when most of the request is sent."""
    async with connected() as (protocol, theirs):
        protocol.send(b"head", b"short", read_timeout=SECONDS)
        assert protocol._read_timeout_handle is not None
    async with connected() as (protocol, theirs):
        protocol.send(b"head", LONG, read_timeout=SECONDS)
        assert protocol._read_timeout_handle is None
        assert await drained(protocol, theirs)
        assert protocol._read_timeout_handle is not None
        protocol.data_received(GOOD)
        assert protocol._read_timeout_handle is None


async def test_nothing_is_awaited_after_the_answer() -> None:
    """Where it came early, no time begins."""
    async with connected() as (protocol, theirs):
        protocol.send(b"head", LONG, read_timeout=SECONDS)
        protocol.data_received(GOOD)
        await drained(protocol, theirs)
        assert protocol._read_timeout_handle is None


@pytest.mark.parametrize("way", [own_way, mock.MagicMock], ids=["aiohttp's own", "prepared"])
async def test_a_long_request_is_sent_as_its_peer_reads(way: Callable[[], AbstractContextManager[object]]) -> None:
    """Both ways wait for it, and use the connection again."""
    found: list[bytes] = []

    async def behave(line: Line) -> None:
        for answer in (GOOD, GOOD.replace(b"good", b"well")):
            found.append((await line.request())[1])
            await line.say(answer)

    async with peer(behave) as server, asking(server.url) as session:
        with way():
            assert await ask(session, server.url, LONG) == (200, b"good")
            assert await ask(session, server.url, b"{}") == (200, b"well")
    assert found == [LONG, b"{}"]
    assert len(server.lines) == 1


async def test_ctrl_c_while_the_connection_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is closed, and no place among the connections stays taken."""

    def interrupted(_: Connection) -> None:
        raise KeyboardInterrupt

    async def behave(line: Line) -> int:
        await once(line)
        return await line.rest()

    async with peer(behave) as server, asking(server.url) as session:
        with monkeypatch.context() as patch:
            patch.setattr(Connection, "release", interrupted)
            with pytest.raises(KeyboardInterrupt):
                await ask(session, server.url)
        assert not session.session.connector._acquired  # type: ignore[union-attr] # it is open
        assert await server.done() == 0


async def test_a_connection_whose_request_is_not_all_sent_carries_no_other() -> None:
    """It is dropped; one that sent all stays, and one that is closed is left alone."""
    async with connected() as (protocol, theirs):
        protocol.send(b"head", b"short", read_timeout=None)
        protocol.check_sent()
        assert not protocol.should_close
        protocol.send(b"head", LONG, read_timeout=None)
        protocol.check_sent()
        assert protocol.should_close
        assert not protocol.is_connected()
        protocol.close()
        protocol.check_sent()
        size, loop = 0, asyncio.get_running_loop()
        while part := await asyncio.wait_for(loop.sock_recv(theirs, 2**20), SECONDS):
            size += len(part)
        assert size < len(LONG)


async def test_a_connection_is_dropped_at_once() -> None:
    """Without what isn't sent yet; what is closed already stays so."""
    StrictProtocol(asyncio.get_running_loop()).drop()
    async with connected() as (protocol, theirs):
        transport: Any = protocol.transport
        protocol.send(b"head", LONG, read_timeout=None)
        protocol.drop()
        assert transport.is_closing()
        assert not transport.get_write_buffer_size()
        size, loop = 0, asyncio.get_running_loop()
        while part := await asyncio.wait_for(loop.sock_recv(theirs, 2**20), SECONDS):
            size += len(part)
        assert size < len(LONG)


async def test_an_answer_of_a_whole_client() -> None:
    """A call goes the prepared way too, with its own time in a header."""
    async with peer(once) as server:
        client = RerankClient(server.url, timeout=SECONDS)
        await client._transport._asend(Request("/v1/classify", b"{}", seconds=5.0))
        await client.aclose()
        head, body = await server.done()
    assert b"X-Request-Timeout: " in head
    assert body == b"{}"
