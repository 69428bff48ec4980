"""Requests over aiohttp's connections, prepared once per address, as `sessions.Session` does it for sync ones.

For each request aiohttp puts headers, cookies and timers together and starts a task that sends the body: that takes
longer than all the rest. Only the body and the time that the client waits differ from one request to the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from types import FunctionType
from typing import Any, NamedTuple

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError
from yarl import URL

from qwen3_sglang.secret import HiddenBytes
from qwen3_sglang.transport.bodies import aread, most

Answer = tuple[int, Mapping[str, str], bytes]
_OWN = {"aiohttp.client", "aiohttp.client_reqrep"}


class _Known(NamedTuple):
    """A request that can be sent again: aiohttp's, without a body, and its first lines as they are sent."""

    request: aiohttp.ClientRequest
    lines: HiddenBytes


class Prepared:
    """The requests of one aiohttp session; it must have a strict connector, and no proxy where `direct`."""

    def __init__(self, session: aiohttp.ClientSession, *, direct: bool) -> None:
        """`direct`: whether requests are sent to the server itself; aiohttp adds a proxy's login to each."""
        self._session = session
        self._direct = direct
        self._known: dict[str, _Known | None] = {}

    def ask(
        self, url: str, body: bytes | None, *, headers: Mapping[str, str], limit: int
    ) -> Coroutine[Any, Any, Answer]:
        """Status, headers and body of the answer; GET where there is no body.

        Args:
            url: the address.
            body: the content.
            headers: those of this request alone.
            limit: bytes of a successful answer's body at most.
        """
        session = self._session
        if body is not None and self._direct and not _watched(session):
            if url not in self._known:
                self._known[url] = _prepared(session, url)
            if (known := self._known[url]) is not None:
                return _send(session, known, body, headers, limit)
        return _leave_to(session, url, body, headers, limit)


async def _leave_to(
    session: aiohttp.ClientSession,
    url: str,
    body: bytes | None,
    headers: Mapping[str, str],
    limit: int,
) -> Answer:
    """The answer as aiohttp itself asks for it."""
    method = "GET" if body is None else "POST"
    async with session.request(method, url, data=body, headers=headers, allow_redirects=False) as got:
        return got.status, got.headers, await aread(got.content, most(limit, got.status))


def _prepared(session: aiohttp.ClientSession, url: str) -> _Known | None:
    """A POST as the session would make it; None where this aiohttp makes requests in another way."""
    loop = asyncio.get_running_loop()
    try:
        request = aiohttp.ClientRequest("POST", URL(url), headers=session.headers, loop=loop, session=session)
    except TypeError:
        return None
    lines = (f"{name}: {value}\r\n" for name, value in request.headers.items() if name != "Content-Length")
    return _Known(request, HiddenBytes(f"POST {request.url.raw_path_qs} HTTP/1.1\r\n{''.join(lines)}".encode()))


def _watched(session: aiohttp.ClientSession) -> bool:
    """Whether aiohttp must send it: tracers and recorders stand in its way, and it says that a session is closed."""
    kind = type(session)
    way = (getattr(kind, "request", 0), getattr(kind, "_request", 0), getattr(aiohttp.ClientRequest, "send", 0))
    listeners: Any = session.trace_configs or getattr(session, "_middlewares", ())  # aiohttp has those since 3.12
    return bool(listeners) or session.closed or not all(map(_is_own, way))


def _is_own(method: object) -> bool:
    """Whether aiohttp itself wrote it: a wrapper or a mock is no function, or one of another module."""
    return type(method) is FunctionType and method.__globals__.get("__name__") in _OWN


async def _send(
    session: aiohttp.ClientSession, known: _Known, body: bytes, headers: Mapping[str, str], limit: int
) -> Answer:
    own = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    connection = await _connected(session, known.request)
    strict: Any = connection.protocol  # as the connector made it
    try:
        head = HiddenBytes(known.lines + f"{own}Content-Length: {len(body)}\r\n\r\n".encode())
        strict.send(head, body, read_timeout=session.timeout.sock_read)
        message, content = await strict.answered()
        answer = message.code, message.headers, await aread(content, most(limit, message.code))
        strict.check_sent()
        connection.release()
    except BaseException as error:
        strict.drop()
        connection.close()
        if not isinstance(error, HttpProcessingError):
            raise
        broken = error
    else:
        return answer
    raise aiohttp.ClientResponseError(known.request.request_info, (), status=broken.code, message=broken.message)


async def _connected(session: aiohttp.ClientSession, request: aiohttp.ClientRequest) -> Connection:
    """As the session does it. Raises: ConnectionTimeoutError: there is none in time."""
    connector: Any = session.connector  # there is one until the session is closed
    try:
        connection: Connection = await connector.connect(request, traces=[], timeout=session.timeout)
    except TimeoutError as error:
        raise aiohttp.ConnectionTimeoutError(f"Connection timeout to host {request.url}") from error
    return connection
