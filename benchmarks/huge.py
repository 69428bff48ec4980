"""One call with 1,000,000 short documents, and one with a huge text: memory, and how long the event loop stands still.

    python benchmarks/huge.py                       # a million documents of ten words, sync and async
    python benchmarks/huge.py --documents 100000    # fewer
    python benchmarks/huge.py --megabytes 100       # one text of that size instead, cut by bytes
    python benchmarks/huge.py --megabytes 100 --tokenizer FOLDER   # or by tokens

Each way runs in a process of its own. The server is another process that answers at once, so that what is counted is
the client's. Memory is the most that the process held (VmHWM) beyond what it held before the call, texts included
there. The stall is the longest time between two turns of a task that sleeps for a millisecond. Other processes on
the machine add to it, so the load is printed, and the CPU time that the event loop's own thread took meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from instant_server import instant_server

from qwen3_sglang import RerankClient, RerankResult

WAYS = ("sync", "async")
WORDS = "some words of a short passage that a retriever found for this query and hands over to be ranked"


def main() -> None:
    """Measure each way in a process of its own."""
    options = _options()
    if options.way:
        _measure(options)
        return
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, Python {sys.version.split()[0]}")
    for way in WAYS if options.only is None else [options.only]:
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--way", way], check=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--words", type=int, default=10)
    parser.add_argument("--megabytes", type=int, default=0, help="one document of that size, instead of many")
    parser.add_argument("--tokenizer", help="folder, or tokenizer.json")
    parser.add_argument("--only", choices=WAYS)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(options: argparse.Namespace) -> None:
    if options.megabytes:
        documents = ["<é " * (options.megabytes * 2**20 // 4)]
    else:
        numbers = random.Random(1)  # noqa: S311 - texts, not secrets
        documents = [
            f"{number} {' '.join(numbers.choices(WORDS.split(), k=options.words))}"
            for number in range(options.documents)
        ]
    with instant_server() as url:
        client = RerankClient(url, timeout=3600, tokenizer=options.tokenizer)
        client.rerank("warm", [WORDS * 1000] * 100)
        before = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM counts from here
        started, used = time.perf_counter(), time.process_time()
        if options.way == "sync":
            results, stalls = client.rerank("query", documents), (0.0, 0.0)
        else:
            results, stalls = asyncio.run(_watched(lambda: client.arerank("query", documents), client))
        took, used = time.perf_counter() - started, time.process_time() - used
        assert len(results) == len(documents)
        print(
            f"{options.way:6}{len(documents):10,} documents {took:7.1f} s ({used:.1f} s CPU), "
            f"memory {(_status('VmHWM') - before) / 1024:6.0f} MiB more at most, "
            f"longest stall {1000 * stalls[0]:.0f} ms ({1000 * stalls[1]:.0f} ms of CPU)"
        )


async def _watched(
    call: Callable[[], Awaitable[list[RerankResult]]], client: RerankClient
) -> tuple[list[RerankResult], tuple[float, float]]:
    """What the call returns, and for how many seconds at most the event loop was held, by the clock and by CPU time."""
    longest, busiest = 0.0, 0.0

    async def watch() -> None:
        nonlocal longest, busiest
        while True:
            last, used = time.perf_counter(), time.thread_time()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - last - 0.001)
            busiest = max(busiest, time.thread_time() - used)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0.05)
    results = await call()
    watching.cancel()
    await client.aclose()
    return results, (longest, busiest)


def _status(field: str) -> int:
    """KiB, as Linux counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    main()
