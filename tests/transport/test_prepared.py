"""Async requests that are sent without aiohttp's own way: their bytes, which way each takes, and what nobody sees.

Tests of `transport/prepared.py`, `transport/strict_async.py`.
"""

from __future__ import annotations

import asyncio
import traceback
import warnings
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp
import pytest

from prepared_peer import GOOD, KEY, OK, SECONDS, Line, Peer, answering, ask, asking, get, once, own_way, peer
from qwen3_sglang.transport import strict_async
from qwen3_sglang.transport.prepared import Prepared
from qwen3_sglang.transport.strict_async import StrictConnector

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
    """As wrapt's: called like the function and equal to it, but none."""

    def __init__(self, wrapped: Any, noted: list[str]) -> None:
        self._wrapped, self._noted = wrapped, noted

    def __call__(self, *args: Any, **options: Any) -> Any:
        """It is noted."""
        self._noted.append("seen")
        return self._wrapped(*args, **options)

    def __get__(self, instance: object, _: object = None) -> Any:
        return self if instance is None else partial(self, instance)

    def __eq__(self, other: object) -> bool:
        return bool(self._wrapped == other)

    def __hash__(self) -> int:
        return hash(self._wrapped)


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
