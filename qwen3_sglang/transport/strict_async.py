"""aiohttp's connections, kept to one answer per request and to the bounds of the request under way."""

from __future__ import annotations

import asyncio
import re
import socket
from functools import partial
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from urllib3.util.wait import wait_for_read

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.protocol.responses import is_success
from qwen3_sglang.transport.addresses import find
from qwen3_sglang.transport.bounds import CODED, BrokenHTTPError, Budget, Carried, TooMuchError, under_way
from qwen3_sglang.transport.framing import MOST_LINE
from qwen3_sglang.transport.threads import outcome

_LONG = 2**18  # bytes: shorter requests are sent in one piece, which a peer mostly reads as one too
_FIRST_INTERIM, _SWITCHING, _FIRST_FINAL = 100, 101, 200
# aiohttp waits for that many bytes; http.client is kept from it in framing.py.
_HUGE_CHUNK = re.compile(rb"\r\n[0-9A-Fa-f]{16,}[ \t]*[;\r]")


class UnaskedError(aiohttp.ClientConnectionError):
    """Something came on a connection before it was asked for."""


class StrictProtocol(ResponseHandler):
    """aiohttp's, but nothing that comes unasked is kept for the next request."""

    # Set with each request, as is `_answer`: the body, once its headers are there, and how much of it has come.
    _surplus: bool
    _size: int
    # Set with an answer's headers.
    _good: bool
    _chunked: bool

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._budget: Budget | None = None
        self._answer: Any = None
        self._carried = Carried()
        self.found_silent = False  # by the pool, which has just taken it from among the idle ones

    def is_connected(self) -> bool:
        """Whether another request may be sent: asked by the pool before each."""
        self.found_silent = super().is_connected() and not (self.should_close or self.spoke())
        return self.found_silent

    def set_response_params(self, **options: Any) -> None:
        """A request is about to be sent; that for a tunnel was sent just now."""
        budget = under_way.get()
        self._answer, self._surplus, self._size = None, False, 0
        if budget is not None:
            budget.fresh = budget.fresh or self._budget is None
        self._budget = budget
        super().set_response_params(**options)

    def send(self, head: bytes, body: bytes, *, read_timeout: float | None) -> None:
        """Send a request, and await its answer.

        Args:
            head: its first line and headers.
            body: its content.
            read_timeout: seconds between two pieces of the answer, counted from when the request is on its way.

        Raises:
            ServerDisconnectedError: the connection was closed meanwhile.
        """
        transport: Any = self.transport
        if not super().is_connected():
            raise aiohttp.ServerDisconnectedError
        self.set_response_params(
            read_until_eof=True,
            auto_decompress=False,
            read_timeout=read_timeout,
            max_line_size=MOST_LINE,
            max_field_size=MOST_LINE,
        )
        # Not writelines: some versions of asyncio don't say that it has to wait.
        if len(body) < _LONG:
            transport.write(head + body)
        else:  # a peer may refuse it for its head before the rest is there, which would end the connection
            transport.write(head)
            transport.write(body)
        if not self.writing_paused:
            self.start_timeout()

    def resume_writing(self) -> None:
        """Most of a long request is on its way: only from now on can the peer be too slow with the answer."""
        super().resume_writing()
        if not self._whole():
            self.start_timeout()

    def force_close(self) -> None:
        """No other request may be sent on it; older versions have no such method."""
        self._should_close = True

    async def answered(self) -> tuple[RawResponseMessage, aiohttp.StreamReader]:
        """The answer's status line and headers, and its body to read."""
        message, content = await self.read()
        while _FIRST_INTERIM <= message.code < _FIRST_FINAL:
            message, content = await self.read()
        return message, content

    def check_sent(self) -> None:
        """A connection on which the answer came before all of the request was sent can't carry another."""
        if self.transport is not None and self.transport.get_write_buffer_size():
            self.force_close()
            self.drop()

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer; any others end the connection."""
        if self._budget is not None and not self._whole():
            self._received(data, self._budget)
        elif data:  # none is aiohttp's own way to go on after a pause
            self.force_close()
            self.drop()

    def _received(self, data: bytes, budget: Budget) -> None:
        try:
            budget.took(len(data), head=self._answer is None)
        except TooMuchError as error:
            self._fail(error)
            return
        super().data_received(data)
        if self._answer is not None:
            if self._chunked and _HUGE_CHUNK.search(data):
                self._fail(BrokenHTTPError("a chunk has no usable size"))
            for part in self._fed():
                budget.read(part)
            if self._whole():
                budget.whole(self._carried, surplus=self._surplus, good=self._good)
                if budget.spent and self.transport is not None:
                    self.transport.close()

    def _fed(self) -> list[bytes]:
        """The parts of the body that came just now: nobody has read them yet."""
        parts: list[bytes] = []
        new = getattr(self._answer, "total_bytes", 0) - self._size  # older versions don't count an empty body
        self._size += new
        while new:
            parts.append(self._answer._buffer[-1 - len(parts)])
            new -= len(parts[-1])
        return parts[::-1]

    def _whole(self) -> bool:
        return self._answer is not None and self._answer.is_eof()

    def drop(self) -> None:
        """Close the connection, without what isn't sent yet."""
        if self.transport is not None:
            self.transport.abort()

    def feed_data(self, data: Any, *size: int) -> None:
        """A status and its headers."""
        status = data[0].code
        if status == _SWITCHING:
            self._fail(BrokenHTTPError("it switches to another protocol (101), which wasn't asked for"))
        elif self._answer is not None:
            self._surplus = True
        elif status >= _FIRST_FINAL:
            self._answer, self._good, self._chunked = data[1], is_success(status), data[0].chunked
            if not self._chunked and "Transfer-Encoding" in data[0].headers:  # aiohttp would wait for the end
                self._fail(BrokenHTTPError(CODED))
        super().feed_data(data, *size)

    def _fail(self, error: Exception) -> None:
        self.set_exception(error)
        if self._answer is not None:
            self._answer.set_exception(error)
        self.drop()

    def spoke(self) -> bool:
        """Whether there is something that wasn't asked for, or the connection's end; also where only the system has it.

        The event loop may have been held since the last request. New TLS connections are sent tickets, which are
        neither.
        """
        if self._tail or self._buffer:
            return True
        transport = self.transport
        if transport is None or (self._budget is None and transport.get_extra_info("sslcontext") is not None):
            return False
        sock = transport.get_extra_info("socket")
        return sock is not None and wait_for_read(sock, timeout=0)


class Resolver(AbstractResolver):
    """Names to addresses in threads of our own: the loop's executor waits for a silent name server when it ends."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of that family. Raises: OSError where the name isn't known."""
        found = await outcome(find(host, port))
        resolved = [
            ResolveResult(
                hostname=host, host=where[0], port=where[1], family=kind, proto=protocol, flags=socket.AI_NUMERICHOST
            )
            for kind, _, protocol, _, where in found
            if family in {socket.AF_UNSPEC, kind}
        ]
        if not resolved:
            raise OSError("the name has no address")
        return resolved

    async def close(self) -> None:
        """Nothing is held."""


class StrictConnector(aiohttp.TCPConnector):
    """aiohttp's, with strict connections."""

    def __init__(self, **options: Any) -> None:
        super().__init__(resolver=Resolver(), use_dns_cache=False, **options)
        self._factory: Any = partial(StrictProtocol, loop=asyncio.get_running_loop())

    @property
    def closed(self) -> bool:
        """Also where its loop doesn't run: the session would complain that a loop which nobody closes was left open."""
        return super().closed or not self._loop.is_running()

    async def connect(self, *args: Any, **options: Any) -> Connection:
        """A connection on which nothing came before it was asked for.

        Raises:
            UnaskedError: something came.
            InvalidInputError: this aiohttp makes connections of another kind.
        """
        connection = await super().connect(*args, **options)
        protocol: Any = connection.protocol
        if not isinstance(protocol, StrictProtocol):  # it has another name for `_factory`
            connection.close()
            raise InvalidInputError(
                "aiohttp", aiohttp.__version__, "install an older one, whose connections can be guarded"
            )
        if not protocol.found_silent and protocol.spoke():
            connection.close()
            raise UnaskedError("something came before it was asked for")
        return connection

    def __del__(self, *_: object) -> None:
        """Without aiohttp's complaint: its sockets are closed with the loop, or by the collector."""
