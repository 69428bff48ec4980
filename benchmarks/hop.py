"""What SGLang's gateway costs: the same lists straight to a server that answers at once, and through smg, in turns.

    python benchmarks/hop.py --smg VENV

The server computes nothing, so the difference is the hop's own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import aiohttp
from chaos_servers import smg, wait_for
from instant_server import instant_server

from ways import Texts, async_lists, lists, machine

SIZES, WORDS, AT_ONCE = (1, 32, 128), 60, 32


def main() -> None:
    """Start both, measure one after another, then many at once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    venv = os.environ.get("SMG_VENV", "~/.cache/qwen3-sglang/smg")
    parser.add_argument("--smg", type=Path, default=Path(venv), help="the venv with the gateway (pip install smg)")
    parser.add_argument("--repeat", type=int, default=200)
    options = parser.parse_args()
    with instant_server() as direct, tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "smg.log")
        with smg(options.smg.expanduser(), [direct], log) as gateway:
            wait_for(f"{gateway}/readiness", healthy=1)
            print(f"{machine()}; documents of {WORDS} words, median (99th percentile) of {options.repeat} lists, ms")
            one_by_one({"direct": direct, "through smg": gateway}, options.repeat)
            asyncio.run(at_once({"direct": direct, "through smg": gateway}, options.repeat))


def one_by_one(urls: dict[str, str], repeat: int) -> None:
    """One list at a time, over a kept connection."""
    texts = Texts(1)
    for size in SIZES:
        found: dict[str, list[float]] = defaultdict(list)
        for turn in range(repeat + 1):
            for name, url in urls.items():
                query, documents = texts.rerank(size, WORDS)
                way = lists(url, "instant")
                start = time.perf_counter()
                way(query, documents)
                if turn:  # the first one opens a connection
                    found[name].append((time.perf_counter() - start) * 1e3)
        cells = [
            f"{name} {statistics.median(t):.2f} ({sorted(t)[int(0.99 * len(t))]:.2f})" for name, t in found.items()
        ]
        hop = statistics.median(found["through smg"]) - statistics.median(found["direct"])
        print(f"  {size:>4} documents per list: {', '.join(cells)}; the hop {hop:.2f}")


async def at_once(urls: dict[str, str], repeat: int) -> None:
    """Lists a second with many in flight; rounds take turns."""
    texts, walls = Texts(2), defaultdict[str, list[float]](list)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:
        for turn in range(repeat // 20 + 1):
            for name, url in urls.items():
                way = async_lists(session, url, "instant", workers=AT_ONCE)
                calls = [texts.rerank(32, WORDS) for _ in range(4 * AT_ONCE)]
                start = time.perf_counter()
                await asyncio.gather(*(way(*call) for call in calls))
                if turn:
                    walls[name].append(time.perf_counter() - start)
    speeds = [f"{name} {4 * AT_ONCE / statistics.median(wall):,.0f}" for name, wall in walls.items()]
    print(f"  lists of 32 a second, {AT_ONCE} in flight: {', '.join(speeds)}")


if __name__ == "__main__":
    main()
