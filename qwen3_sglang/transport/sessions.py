"""The pooled connections of a client: one requests session, one aiohttp session per event loop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import aiohttp
import requests
from requests.auth import AuthBase
from requests.cookies import RequestsCookieJar

from qwen3_sglang.options.headers import AUTHORIZATION
from qwen3_sglang.secret import Bearer, Hidden
from qwen3_sglang.settings import Settings
from qwen3_sglang.transport.environment import names_login, netrc_login, proxy_for, tls_for
from qwen3_sglang.transport.framing import MOST_LINE
from qwen3_sglang.transport.loops import close_with, keep_open
from qwen3_sglang.transport.prepared import Prepared
from qwen3_sglang.transport.strict import StrictAdapter
from qwen3_sglang.transport.strict_async import StrictConnector

# Nothing compressed: answers are small, and a few bytes can't unfold into gigabytes.
HEADERS = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}

_POOL_PLACES = 1000  # urllib3 makes all of a pool's places at once; with more in flight, connections aren't kept


class LoopSession:
    """One event loop's session and its limit of requests in flight. It is closed with its loop."""

    def __init__(self, settings: Settings) -> None:
        self.slots = asyncio.Semaphore(settings.max_concurrency)
        # Not trust_env: it chooses proxies by other rules than requests does, in a thread before every request, which
        # takes longer than the request itself.
        proxy = proxy_for(settings.base_url)
        self.session = _make_async_session(settings, proxy)
        self.prepared = Prepared(self.session, direct=proxy is None)
        self._loop = asyncio.get_running_loop()
        close_with(self._loop, self.close)

    async def close(self) -> None:
        """Close its connections."""
        keep_open(self._loop, self.close)
        await self.session.close()
        await asyncio.sleep(0)  # sockets are closed in the loop's next turn

    def abandon(self) -> None:
        """Close it where its loop runs, or when that loop is closed; this may be any thread."""
        if self._loop.is_closed():
            self.session.detach()  # its sockets were closed with the loop
        elif self._loop.is_running():
            with suppress(RuntimeError):  # it was closed just now
                asyncio.run_coroutine_threadsafe(self.close(), self._loop)


def abandon_all(loops: dict[asyncio.AbstractEventLoop, LoopSession]) -> None:
    """Let go of these sessions: no client uses them any more."""
    for loop in loops.values():
        loop.abandon()


class Session(requests.Session):
    """requests' own, for a client that asks few addresses again and again, and follows no redirect."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: dict[tuple[str, str], tuple[requests.PreparedRequest, Any]] = {}

    def ask(
        self, url: str, body: bytes | None, *, headers: dict[str, str], verify: bool | str, timeout: tuple[float, float]
    ) -> requests.Response:
        """The answer, not read yet; GET where there is no body.

        `request` would put headers together and look for proxies and a login each time, a third of what all of a
        request takes. Here that is done once per address; it is sent as `request` sends it.
        """
        method = "GET" if body is None else "POST"
        if (method, url) not in self._asked:
            first = self.prepare_request(requests.Request(method, url))
            self._asked[method, url] = first, self.merge_environment_settings(first.url, {}, True, verify, None)
        known, options = self._asked[method, url]
        prepared = known.copy()
        prepared.headers.update(headers)
        prepared.prepare_body(body, None)
        return self.send(prepared, timeout=timeout, allow_redirects=False, **options)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None is followed: requests reads the whole body of a redirect, unpacked, and trips over its address."""


class _NoCookies(RequestsCookieJar):
    """Keeps none. Its lock, which all calls would share, stays locked where Ctrl-C comes just after it was taken."""

    def extract_cookies(self, *_: object) -> None:
        """Leave those of an answer alone."""


class _Login(AuthBase):
    """An auth object, since requests lets ~/.netrc override a plain Authorization header."""

    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request


def _own_headers(settings: Settings) -> dict[str, str]:
    """The key's header and the user's."""
    sent: dict[str, str] = {name: Hidden(one.get_secret_value()) for name, one in (settings.headers or {}).items()}
    if settings.api_key is not None:
        key, name = settings.api_key, settings.api_key_header
        sent[name or AUTHORIZATION] = Bearer(key) if name is None else Hidden(key.get_secret_value())
    return sent


def make_session(settings: Settings) -> Session:
    """The requests session of a client, with its connection pool, TLS settings and headers."""
    session = Session()
    session.headers.update(HEADERS)
    session.cookies = _NoCookies()
    if names_login(settings):
        session.auth = _Login(_own_headers(settings))
    else:
        session.headers.update(_own_headers(settings))
    adapter = StrictAdapter(pool_maxsize=min(settings.max_concurrency, _POOL_PLACES))
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _make_async_session(settings: Settings, proxy: str | None) -> aiohttp.ClientSession:
    login = None if names_login(settings) else netrc_login(settings.base_url)
    headers = {**HEADERS, **_own_headers(settings)}
    return aiohttp.ClientSession(
        headers=headers if login is None else {**headers, AUTHORIZATION: login},
        # No total: the call as a whole has one.
        timeout=aiohttp.ClientTimeout(total=None, connect=settings.connect_timeout, sock_read=settings.read_timeout),
        auto_decompress=False,
        max_line_size=MOST_LINE,
        max_field_size=MOST_LINE,
        connector=StrictConnector(limit=settings.max_concurrency, ssl=tls_for(settings.base_url, settings.verify)),
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=proxy,
    )
