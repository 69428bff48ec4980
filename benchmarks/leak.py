"""Does anything pile up? Sockets, threads, tasks and memory of a process that calls and calls.

    python benchmarks/leak.py                          # 20,000 calls sync, 20,000 async, 1,000 event loops
    python benchmarks/leak.py --only sync --calls 500  # one of them, smaller

The server is another process that answers at once, so that all that is counted is the client's. Exits with 1 where
a count has grown, or memory by more than `--allow-mb` since the first quarter, in which pools and caches fill up.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import NamedTuple

import psutil

from qwen3_sglang import RerankClient

DOCUMENTS = [f"document {number}" for number in range(10)]
ROWS = [{"index": n, "label": "yes", "probs": [0.25, 0.75], "num_classes": 2} for n in range(len(DOCUMENTS) // 2)]
ANSWER = json.dumps({"id": "%032x", "data": ROWS}).encode()
LENGTH = len(ANSWER % 0)
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (LENGTH, ANSWER)
NUMBERS = count()


class Counts(NamedTuple):
    """What a process holds."""

    calls: int
    descriptors: int
    sockets: int
    threads: int
    tasks: int
    objects: int
    megabytes: float


class InstantServer(asyncio.Protocol):
    """Answers each request with the same rows, and an id of its own, as SGLang does."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = transport
        self._got = b""

    def data_received(self, data: bytes) -> None:
        """A request is there once its body is."""
        self._got += data
        head, end, body = self._got.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if end and len(body) >= int(length or 0):
            self._got = b""
            self._transport.write(RESPONSE % next(NUMBERS))  # type: ignore[attr-defined] # a TCP transport


async def answer_at_once() -> None:
    """Serve until killed; prints the port."""
    server = await asyncio.get_running_loop().create_server(InstantServer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def instant_server() -> Iterator[str]:
    """The address of one in a process of its own."""
    with subprocess.Popen([sys.executable, __file__, "--server"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def count(calls: int, tasks: int) -> Counts:
    """Now, garbage aside."""
    gc.collect()
    process = psutil.Process()
    sockets = [c for c in process.net_connections("tcp") if c.status != psutil.CONN_CLOSE]
    megabytes = process.memory_info().rss / 2**20
    return Counts(
        calls, process.num_fds(), len(sockets), threading.active_count(), tasks, len(gc.get_objects()), megabytes
    )


def make(url: str) -> RerankClient:
    """Each call is two requests at once: a pool of threads, or a group of tasks, is at work too."""
    return RerankClient(url, model="m", max_length=8192, batch_size=len(DOCUMENTS) // 2)


def run_sync(url: str, calls: int) -> Iterator[Counts]:
    """One client, kept."""
    with make(url) as client:
        for done in range(1, calls + 1):
            client.score("query", DOCUMENTS)
            if done % (calls // 4) == 0:
                yield count(done, 0)


def run_async(url: str, calls: int) -> Iterator[Counts]:
    """One client, one event loop, 8 calls in flight."""

    async def work() -> list[Counts]:
        found: list[Counts] = []
        async with make(url) as client:
            for done in range(8, calls + 1, 8):
                await asyncio.gather(*(client.ascore("query", DOCUMENTS) for _ in range(8)))
                if done % (calls // 4) < 8:
                    found.append(count(done, len(asyncio.all_tasks())))
        return found

    yield from asyncio.run(work())


def run_loops(url: str, calls: int) -> Iterator[Counts]:
    """One client, a new event loop for each call; every other one is closed without asyncio.run's tidying up."""
    client = make(url)
    for done in range(1, calls + 1):
        if done % 2:
            asyncio.run(client.ascore("query", DOCUMENTS))
        else:
            loop = asyncio.new_event_loop()
            loop.run_until_complete(client.ascore("query", DOCUMENTS))
            loop.close()
        if done % (calls // 4) == 0:
            yield count(done, 0)


def run_clients(url: str, calls: int) -> Iterator[Counts]:
    """A new client for each call, never closed by hand."""
    for done in range(1, calls + 1):
        make(url).score("query", DOCUMENTS)
        if done % (calls // 4) == 0:
            yield count(done, 0)


RUNS: dict[str, tuple[Callable[[str, int], Iterator[Counts]], int]] = {
    "sync": (run_sync, 20_000),
    "async": (run_async, 20_000),
    "loops": (run_loops, 1_000),
    "clients": (run_clients, 1_000),
}


def grown(rows: list[Counts], allow_mb: float) -> list[str]:
    """What the last row has more of than the first, which is at a quarter of the calls."""
    first, last = rows[0], rows[-1]
    names = [
        name for name in ("descriptors", "sockets", "threads", "tasks") if getattr(last, name) > getattr(first, name)
    ]
    # A few objects come and go with the interpreter's own caches; a leak adds one per call at the least.
    if last.objects - first.objects > (last.calls - first.calls) / 2:
        names.append("objects")
    if last.megabytes - first.megabytes > allow_mb:
        names.append("megabytes")
    return names


def main() -> None:
    """Print the counts, four times a run, and stop with 1 where something has grown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=RUNS, help="one run instead of all")
    parser.add_argument("--calls", type=int, help="a multiple of 32; default: 20,000, or 1,000 loops and clients")
    parser.add_argument("--allow-mb", type=float, default=4.0, help="how much memory may grow (default: 4)")
    parser.add_argument("--server", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.server:
        asyncio.run(answer_at_once())
    # Loops closed without tidying up make aiohttp complain, once a session; that it is let go is what counts here.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    faults: list[str] = []
    print(f"{'run':<8}" + "".join(f"{name:>12}" for name in Counts._fields))
    for name in [options.only] if options.only else RUNS:
        run, calls = RUNS[name]
        rows: list[Counts] = []
        with instant_server() as url:
            for row in run(url, options.calls or calls):
                rows.append(row)
                print(f"{name:<8}" + "".join(f"{value:>12.1f}"[:12].replace(".0", "  ") for value in row), flush=True)
        faults += [f"{name}: {what} grew" for what in grown(rows, options.allow_mb)]
    print("\n".join(faults) or "nothing grew")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
