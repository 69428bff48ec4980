"""The pooled connections of a client: one requests session, one aiohttp session an event loop."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from http.cookiejar import DefaultCookiePolicy

import aiohttp
import requests
from requests.auth import AuthBase

from qwen3_sglang.secret import Bearer, SecretStr
from qwen3_sglang.settings import Settings
from qwen3_sglang.transport.deadline import BoundedAdapter
from qwen3_sglang.transport.environment import netrc_login, proxy_for, tls_for

# Nothing compressed: answers are small, and a few bytes can't unfold into gigabytes.
HEADERS = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}

_POOL_PLACES = 1000  # urllib3 makes all of a pool's places at once; with more in flight, connections aren't kept


class LoopSession:
    """One event loop's session and its limit of requests in flight."""

    def __init__(self, settings: Settings) -> None:
        self.slots = asyncio.Semaphore(settings.max_concurrency)
        self.session = _make_async_session(settings)
        self.keeper = _keep(self.session)
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
        request.headers["Authorization"] = Bearer(self._key)
        return request


def make_session(settings: Settings) -> requests.Session:
    session = requests.Session()
    session.headers.update(HEADERS)
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # no state shared between threads
    session.auth = None if settings.api_key is None else _BearerAuth(settings.api_key)
    adapter = BoundedAdapter(pool_maxsize=min(settings.max_concurrency, _POOL_PLACES))
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _make_async_session(settings: Settings) -> aiohttp.ClientSession:
    login = netrc_login(settings.base_url) if settings.api_key is None else Bearer(settings.api_key)
    return aiohttp.ClientSession(
        headers=HEADERS if login is None else {**HEADERS, "Authorization": login},
        # No total: the call as a whole has one.
        timeout=aiohttp.ClientTimeout(total=None, connect=settings.connect_timeout, sock_read=settings.read_timeout),
        auto_decompress=False,
        connector=aiohttp.TCPConnector(limit=settings.max_concurrency, ssl=tls_for(settings.base_url, settings.verify)),
        cookie_jar=aiohttp.DummyCookieJar(),
        # Not trust_env: it chooses proxies otherwise than requests, and in a thread before every request, which takes
        # longer than the rest of it.
        proxy=proxy_for(settings.base_url),
    )


def unreachable(error: Exception) -> str:
    # Without urllib3's "HTTPConnection(host=…): " in front: the address is in the message anyway.
    what = str(error).split("(Caused by", maxsplit=1)[-1].split("): ", maxsplit=1)[-1].strip(" )'\"")
    what = what or type(error).__name__
    what = re.sub(r"//[^/@\s]*@", "//…@", what)  # a proxy's password
    if "CERTIFICATE_VERIFY_FAILED" in what:
        return f"its certificate isn't trusted ({what}); if it is the right one, pass its CA's file as verify="
    return f"no answer ({what}); is the server running there, and is base_url right?"
