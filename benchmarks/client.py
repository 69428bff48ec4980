"""What our client and its two adapters cost beside a hand-written one, against a server that answers at once.

All ways take turns, call by call, each with texts that it hasn't seen. CPU time is that of this process (the server
has its own), so its ratios hold on a busy machine too; wall times don't. "bare" is requests or aiohttp with orjson,
sending the same bytes and checking nothing. "floor" is the least that an adapter of that framework does around it
by the framework's public means (floors.py): the goals of the adapters are to be read beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import aiohttp
from floors import Postprocessor, acompress, compress
from frameworks import as_documents, as_nodes
from instant_server import instant_server

import langchain_qwen3_sglang
import llama_index_qwen3_sglang
from qwen3_sglang import RerankClient
from ways import Texts, async_lists, lists, machine, usual_loop

CORE, ADAPTER, IN_FLIGHT = 1.3, 1.6, 0.8
OWN = {"ascore": 1.2}
FLAT = 1.5  # a step of ten times the documents may cost at most that much more a document
COUNTS, FLAT_COUNTS = (1, 10, 100, 1000), (10, 100, 1000, 10_000)
WORDS, BATCH, CALLS_AT_ONCE, MOST_FOR_LOOP = 60, 128, 32, 100
FLOORS = {
    "compress_documents": "LangChain floor",
    "postprocess_nodes": "LlamaIndex floor",
    "acompress_documents": "LangChain floor, async",
    "apostprocess_nodes": "LlamaIndex floor, async",
}
BARE = {"sync": "bare requests", "async": "bare aiohttp"}


@dataclass(frozen=True)
class Timed:
    """Seconds of one call: of this process' cores, and on the clock."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Entry:
    """A way: sync or async, what makes its input from texts (not timed), and the call."""

    kind: str
    wrap: Callable[[list[str]], Sequence[Any]]
    call: Callable[[str, Sequence[Any]], Any]


Runs = dict[str, list[Timed]]


def main() -> None:
    """Parse the arguments, measure, say which goals are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=60, help="calls of each way with 100 documents")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(f"{machine()}; {WORDS} words a document, lists of {BATCH}")
    with instant_server() as url:
        asyncio.run(measure(url, max(3, arguments.repeat), Texts(arguments.seed)))


async def measure(url: str, repeat: int, texts: Texts) -> None:
    """All tables, then the goals."""
    connector = aiohttp.TCPConnector(limit=CALLS_AT_ONCE)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout()) as session:
        entries, close = ways(url, session)
        found = {}
        for count in COUNTS:
            found[count] = await interleaved(entries, count, max(3, repeat * 100 // max(count, 50)), texts)
            print(table(count, entries, found[count]))
        flat = await by_size(entries, texts)
        share = await in_flight(url, session, texts, rounds=max(5, repeat // 2))
        await close()
    print("\n" + "\n".join(goals(entries, found[100], flat, share)))


def ways(url: str, session: aiohttp.ClientSession) -> tuple[dict[str, Entry], Callable[[], Awaitable[None]]]:
    """Every way, and what closes ours."""
    client = RerankClient(url, batch_size=BATCH)
    chain = langchain_qwen3_sglang.Qwen3SGLangRerank(base_url=url, batch_size=BATCH)
    index = llama_index_qwen3_sglang.Qwen3SGLangRerank(base_url=url, batch_size=BATCH)

    async def close() -> None:
        for each in (client, chain, index):
            await each.aclose()

    bare, async_bare = lists(url, "instant", BATCH), async_lists(session, url, "instant", size=BATCH)
    floor = Postprocessor(bare, async_bare)
    entries = {
        BARE["sync"]: Entry("sync", list, bare),
        "score": Entry("sync", list, client.score),
        "rerank": Entry("sync", list, client.rerank),
        "compress_documents": Entry("sync", as_documents, lambda query, found: chain.compress_documents(found, query)),
        "postprocess_nodes": Entry(
            "sync", as_nodes, lambda query, found: index.postprocess_nodes(list(found), query_str=query)
        ),
        FLOORS["compress_documents"]: Entry("sync", as_documents, partial(compress, bare)),
        FLOORS["postprocess_nodes"]: Entry(
            "sync", as_nodes, lambda query, found: floor.postprocess_nodes(list(found), query_str=query)
        ),
        "usual loop": Entry("sync", list, usual_loop(url, "instant")),
        BARE["async"]: Entry("async", list, async_bare),
        "ascore": Entry("async", list, client.ascore),
        "arerank": Entry("async", list, client.arerank),
        "acompress_documents": Entry(
            "async", as_documents, lambda query, found: chain.acompress_documents(found, query)
        ),
        "apostprocess_nodes": Entry(
            "async", as_nodes, lambda query, found: index.apostprocess_nodes(list(found), query_str=query)
        ),
        FLOORS["acompress_documents"]: Entry("async", as_documents, partial(acompress, async_bare)),
        FLOORS["apostprocess_nodes"]: Entry(
            "async", as_nodes, lambda query, found: floor.apostprocess_nodes(list(found), query_str=query)
        ),
    }
    return entries, close


async def interleaved(entries: dict[str, Entry], count: int, repeat: int, texts: Texts) -> Runs:
    """`repeat` calls of each way, in turns; the usual loop only while it doesn't take minutes."""
    runs: Runs = defaultdict(list)
    for turn in range(repeat + 1):
        for name, entry in entries.items():
            if name == "usual loop" and (count > MOST_FOR_LOOP or turn > 3):
                continue
            timed = await once(entry, *texts.rerank(count, WORDS))
            if turn:  # the first one opens connections
                runs[name].append(timed)
    return runs


async def once(entry: Entry, query: str, documents: list[str]) -> Timed:
    """One call; how its input is made isn't timed."""
    found = entry.wrap(documents)
    wall, cpu = time.perf_counter(), time.process_time()
    scores = await entry.call(query, found) if entry.kind == "async" else entry.call(query, found)
    timed = Timed(time.process_time() - cpu, time.perf_counter() - wall)
    assert len(scores) == len(documents)
    return timed


def table(count: int, entries: dict[str, Entry], runs: Runs) -> str:
    """One line a way, beside the bare one of its kind."""
    rounds = len(runs[BARE["sync"]])
    lines = [f"\n{count} documents, median of {rounds}{'':6}   CPU ms   of bare    wall ms   of bare"]
    for name, timed in runs.items():
        bare = runs[BARE[entries[name].kind]]
        cells = [f"{median(timed, field) * 1e3:9.3f} {ratio(timed, bare, field):8.2f}x" for field in ("cpu", "wall")]
        lines.append(f"  {name:30} {'  '.join(cells)}")
    return "\n".join(lines)


def median(timed: list[Timed], field: str) -> float:
    """Of one of the two times."""
    return statistics.median(getattr(one, field) for one in timed)


def ratio(timed: list[Timed], bare: list[Timed], field: str) -> float:
    """Median to median."""
    return median(timed, field) / median(bare, field)


async def by_size(entries: dict[str, Entry], texts: Texts) -> dict[str, list[float]]:
    """CPU microseconds per document of our own ways, by the number of documents."""
    ours = {name: entries[name] for name in ("score", "ascore", "rerank", "arerank")}
    found: dict[str, list[float]] = defaultdict(list)
    for count in FLAT_COUNTS:
        runs = await interleaved(ours, count, max(5, 2000 // count), texts)
        for name, timed in runs.items():
            found[name].append(median(timed, "cpu") / count * 1e6)
    print("\nCPU microseconds per document " + "".join(f"{count:>9,}" for count in FLAT_COUNTS))
    for name, costs in found.items():
        print(f"  {name:26}" + "".join(f"{cost:9.2f}" for cost in costs))
    return found


async def in_flight(url: str, session: aiohttp.ClientSession, texts: Texts, rounds: int) -> float:
    """Our throughput with many calls at once, as a share of bare aiohttp's: of each two rounds side by side, median."""
    async with RerankClient(url, batch_size=BATCH, max_concurrency=CALLS_AT_ONCE) as client:
        both = {"bare": async_lists(session, url, "instant", size=BATCH, workers=CALLS_AT_ONCE), "ours": client.ascore}
        runs: Runs = defaultdict(list)
        for turn in range(rounds + 1):
            for name, way in both.items():
                calls = [texts.rerank(100, WORDS) for _ in range(CALLS_AT_ONCE)]
                wall, cpu = time.perf_counter(), time.process_time()
                await asyncio.gather(*(way(*call) for call in calls))
                if turn:
                    runs[name].append(Timed(time.process_time() - cpu, time.perf_counter() - wall))
    print(f"\n{CALLS_AT_ONCE} calls of 100 documents at once    calls a second of CPU   calls a second")
    for name, timed in runs.items():
        speeds = [CALLS_AT_ONCE / median(timed, field) for field in ("cpu", "wall")]
        print(f"  {name:34} {speeds[0]:22.0f} {speeds[1]:16.0f}")
    # One thread does all the work, so calls a second of its CPU time is what it reaches where nothing else runs.
    return statistics.median(bare.cpu / ours.cpu for bare, ours in zip(runs["bare"], runs["ours"], strict=True))


def goals(entries: dict[str, Entry], runs: Runs, flat: dict[str, list[float]], share: float) -> list[str]:
    """Each goal with what was measured, met or missed."""
    checks = []
    for name, timed in runs.items():
        if name in {*BARE.values(), *FLOORS.values(), "usual loop"}:
            continue
        limit = OWN.get(name, ADAPTER if name.endswith(("documents", "nodes")) else CORE)
        bare = runs[BARE[entries[name].kind]]
        cost = ratio(timed, bare, "cpu")
        floor = f" (the framework's floor {ratio(runs[FLOORS[name]], bare, 'cpu'):.2f})" if name in FLOORS else ""
        checks.append((f"{name} takes {cost:.2f} of bare's CPU time{floor}, goal at most {limit}", cost <= limit))
    checks.append((f"{CALLS_AT_ONCE} calls at once: {share:.2f} of bare aiohttp, goal {IN_FLIGHT}", share >= IN_FLIGHT))
    for name, costs in flat.items():
        step = max(more / less for less, more in pairwise(costs))
        said = f"{name}: ten times the documents cost at most {step:.2f} a document, goal below {FLAT}"
        checks.append((said, step < FLAT))
    return [f"{'met   ' if met else 'missed'} {text}" for text, met in checks]


if __name__ == "__main__":
    main()
