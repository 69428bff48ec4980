"""Raw peers for async requests that are sent without aiohttp's own way, and sessions that ask them."""

from __future__ import annotations

import asyncio
import gc
import ssl
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from unittest import mock

import pytest

from qwen3_sglang import RerankClient
from qwen3_sglang.transport import prepared
from qwen3_sglang.transport.bounds import Budget
from qwen3_sglang.transport.prepared import Prepared
from qwen3_sglang.transport.sessions import LoopSession

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


async def once(line: Line) -> tuple[bytes, bytes]:
    """One request, answered."""
    found = await line.request()
    await line.say(GOOD)
    return found


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
    limit: int = 10**6,
    **headers: str,
) -> tuple[int, Mapping[str, str], bytes]:
    """An answer's status, headers and body."""
    with Budget(10**8, body):
        async with asyncio.timeout(SECONDS):
            return await prepared.ask(url, body, headers=headers, limit=limit)


async def ask(session: LoopSession, url: str, body: bytes = b"{}", **headers: str) -> tuple[int, bytes]:
    """An answer's status and body."""
    status, _, content = await get(session.prepared, url, body, **headers)
    return status, content


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
