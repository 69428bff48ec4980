"""What stands in front of the servers costs: the same lists straight to servers that answer at once, and through it.

    python benchmarks/hop.py haproxy
    python benchmarks/hop.py smg --smg VENV

HAProxy runs with examples/deploy/haproxy.cfg and carries lists of /v1/score, SGLang's gateway those of /v1/classify.
The servers compute nothing, so the difference is the hop's own. Its CPU time per list says how many lists a core of it
carries at most, whatever client and servers take of this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from chaos_servers import haproxy, smg, wait_for
from instant_server import instant_server

from ways import Texts, async_lists, lists, machine

SIZES, WORDS, AT_ONCE = (1, 32, 100), 60, 32


@dataclass
class Instant:
    """A server that answers at once."""

    port: int

    def wait(self) -> None:
        """It does."""


@dataclass
class Hop:
    """What is measured.

    Attributes:
        name: of the program in front.
        path: the endpoint that is asked.
        urls: the servers' address, and its own.
        pids: its processes.
    """

    name: str
    path: str
    urls: dict[str, str]
    pids: list[int]

    def cpu(self) -> float:
        """Seconds of CPU time of all its threads so far."""
        rows = [Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split() for pid in self.pids]
        ticks = sum(int(user) + int(system) for user, system in (row[11:13] for row in rows))
        return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def through_haproxy(options: argparse.Namespace, folder: Path) -> Iterator[Hop]:
    """HAProxy over two servers."""
    if shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        raise SystemExit("haproxy isn't installed: apt-get install haproxy")
    with instant_server() as one, instant_server() as two:
        servers = [Instant(int(url.rpartition(":")[2])) for url in (one, two)]
        with haproxy(servers, folder) as balancer:
            assert balancer.process is not None
            yield Hop("HAProxy", "/v1/score", {"direct": one, "through": balancer.url}, [balancer.process.pid])


@contextmanager
def through_smg(options: argparse.Namespace, folder: Path) -> Iterator[Hop]:
    """SGLang's gateway over one."""
    venv = options.smg.expanduser()
    if not (venv / "bin/smg").exists():
        raise SystemExit(f"no gateway in {venv}: python3 -m venv {venv} && {venv}/bin/pip install smg==1.13.0")
    with instant_server() as direct, smg(venv, [direct], folder / "smg.log") as gateway:
        wait_for(f"{gateway}/readiness", healthy=1)
        yield Hop("smg", "/v1/classify", {"direct": direct, "through": gateway}, _listening(gateway))


HOPS = {"haproxy": through_haproxy, "smg": through_smg}


def main() -> None:
    """Start both, measure one after another, then many at once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    venv = os.environ.get("SMG_VENV", "~/.cache/qwen3-sglang/smg")
    parser.add_argument("hop", choices=HOPS)
    parser.add_argument("--smg", type=Path, default=Path(venv), help="the venv with the gateway (pip install smg)")
    parser.add_argument("--repeat", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, HOPS[options.hop](options, Path(folder)) as hop:
        print(f"{hop.name}; {machine()}; documents of {WORDS} words, median (99th percentile), ms")
        for size in SIZES:
            one_by_one(hop, size, options.repeat)
        for size in SIZES[1:]:
            asyncio.run(at_once(hop, size, options.repeat))


def one_by_one(hop: Hop, size: int, repeat: int) -> None:
    """One list at a time, over a kept connection."""
    texts, found = Texts(size), defaultdict[str, list[float]](list)
    for turn in range(repeat + 1):
        for name, url in hop.urls.items():
            query, documents = texts.rerank(size, WORDS)
            way = lists(url, "instant", path=hop.path)
            start = time.perf_counter()
            way(query, documents)
            if turn:  # the first one opens a connection
                found[name].append((time.perf_counter() - start) * 1e3)
    cells = [f"{name} {statistics.median(t):.2f} ({sorted(t)[int(0.99 * len(t))]:.2f})" for name, t in found.items()]
    added = statistics.median(found["through"]) - statistics.median(found["direct"])
    print(f"  {size:>4} documents per list: {', '.join(cells)}; the hop {added:.2f}")


async def at_once(hop: Hop, size: int, repeat: int) -> None:
    """Lists per second with many in flight; rounds take turns. And the hop's own CPU time per list."""
    texts, walls, used, sent = Texts(size), defaultdict[str, list[float]](list), 0.0, 0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:
        for turn in range(repeat // 10 + 1):
            for name, url in hop.urls.items():
                way = async_lists(session, url, "instant", workers=AT_ONCE, path=hop.path)
                calls = [texts.rerank(size, WORDS) for _ in range(4 * AT_ONCE)]
                start, before = time.perf_counter(), hop.cpu()
                await asyncio.gather(*(way(*call) for call in calls))
                if turn:
                    walls[name].append(time.perf_counter() - start)
                    used, sent = (used + hop.cpu() - before, sent + len(calls)) if name == "through" else (used, sent)
    speeds = [f"{name} {4 * AT_ONCE / statistics.median(wall):,.0f}" for name, wall in walls.items()]
    print(f"  lists of {size} per second, {AT_ONCE} in flight: {', '.join(speeds)}")
    most = f"{sent / used:,.0f} lists per core-second"
    print(f"    {hop.name} took {used / sent * 1e3:.3f} ms of CPU time per list: {most}")


def _listening(url: str) -> list[int]:
    """The processes with that address in their arguments: how the gateway was started."""
    port = url.rpartition(":")[2].encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        words = (folder / "cmdline").read_bytes().split(b"\0") if (folder / "cmdline").exists() else []
        if b"launch" in words and port in words:
            found.append(int(folder.name))
    return found


if __name__ == "__main__":
    main()
