"""The pooled connections of a client: one requests session, one aiohttp session an event loop."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator
from http.cookiejar import DefaultCookiePolicy

import aiohttp
import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.utils import get_environ_proxies, get_netrc_auth, select_proxy

from qwen3_sglang.settings import SecretStr, Settings

HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


class LoopSession:
    """One event loop's session and its limit of requests in flight."""

    def __init__(self, settings: Settings) -> None:
        self.slots = asyncio.Semaphore(settings.max_concurrency)
        self.session = _make_async_session(settings)
        self.keeper = _keep(self.session)
        # Read once: aiohttp's trust_env reads the environment and ~/.netrc in a thread before each request, which
        # takes longer than the rest of it.
        self.proxy = select_proxy(settings.base_url, get_environ_proxies(settings.base_url))
        self._opened = False

    async def open(self) -> None:
        """Start the keeper, so that the loop closes the session when it shuts down."""
        if not self._opened:
            self._opened = True
            await anext(self.keeper)


async def _keep(session: aiohttp.ClientSession) -> AsyncGenerator[None]:
    """asyncio.run finalises open async generators; that closes the session even when nobody calls aclose."""
    try:
        yield
    finally:
        await session.close()


class _BearerAuth(AuthBase):
    """An auth object, since requests lets ~/.netrc override a plain Authorization header."""

    def __init__(self, key: SecretStr) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        return request


def make_session(settings: Settings) -> requests.Session:
    session = requests.Session()
    session.headers.update(HEADERS)
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # no state shared between threads
    session.auth = None if settings.api_key is None else _BearerAuth(settings.api_key)
    adapter = HTTPAdapter(pool_maxsize=settings.max_concurrency)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _make_async_session(settings: Settings) -> aiohttp.ClientSession:
    headers = dict(HEADERS)
    if settings.api_key is not None:
        headers["Authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
    elif login := get_netrc_auth(settings.base_url):  # as requests does without a key
        headers["Authorization"] = f"Basic {b64encode(':'.join(login).encode()).decode()}"
    return aiohttp.ClientSession(
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=None),  # the call as a whole has one
        connector=aiohttp.TCPConnector(limit=settings.max_concurrency),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def unreachable(error: Exception) -> str:
    what = str(error).split("(Caused by", maxsplit=1)[-1].strip(" )'\"") or type(error).__name__
    return f"no answer ({what}); is the server running there, and is base_url right?"
