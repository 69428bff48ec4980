"""Documents a second, p50 and p99 of many ways of asking one live server; and whether they agree on the scores.

Every row sends texts that the server hasn't seen, and its prefix cache is flushed first; all ways of a block send the
same texts, so that their scores can be compared. Each client asks one query after another until --seconds are over,
and at least once. With --rounds the ways of a block take turns that often, so that what passes on the server meets
all of them. All clients live in this one process, or in several (--processes), which several GPUs need. --sweep
measures our own client instead, over batch_size, max_concurrency and endpoint.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import requests
from load import WAYS, Load, Target, Way, ours, run
from processes import Part, spread

from ways import Texts, machine

MOST_A_SECOND = 6000  # documents prepared for a row, by its seconds; where a server is faster, the row ends early
NEEDS = {"langchain": "langchain_core", "llama": "llama_index"}
BATCH_SIZES, CONCURRENCIES, ENDPOINTS = (16, 32, 64, 128, 256, 1000), (1, 2, 4, 8, 16, 32), ("v1/classify", "v1/score")
Block = tuple[int, int, int]


class Bench:
    """One server, and what has been measured on it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.url = options, options.url.rstrip("/")
        self.model = requests.get(f"{self.url}/v1/models", timeout=30).json()["data"][0]["id"]
        self.rows: list[dict[str, Any]] = []
        self.left_out: Counter[str] = Counter()
        self.flushes = True
        self.start = time.monotonic()

    def blocks(self) -> Iterator[Block]:
        """(documents, words, clients), the smaller ones first."""
        sizes = itertools.product(self.options.words, self.options.documents, self.options.clients)
        return ((documents, words, clients) for words, documents, clients in sizes)

    def block(self, sizes: Block, ways: dict[str, Way]) -> None:
        """One table: every way with the same texts."""
        documents, words, clients = sizes
        print(f"\n{documents} documents of {words} words, {clients} client(s)")
        print(f"  {'':48} {'docs/s':>8} {'p50 ms':>9} {'p99 ms':>9} {'calls':>6} {'max diff':>9}", flush=True)
        loads: dict[str, Load] = {}
        for turn in range(self.options.rounds):
            seed = f"{self.options.seed}-{documents}-{words}-{clients}-{turn}"
            most = MOST_A_SECOND * self.options.processes
            count = math.ceil(max(clients, self.options.seconds * most / documents))
            queries = Texts(seed).several(count, documents, words)
            for name, way in ways.items():
                if self._skips(name, way, sizes):
                    continue
                warm = Texts(f"{seed}-{name}").rerank(2, words)[1]
                target = Target(self.url, self.model, clients, self.options.tokenizer)
                load = self._row(way, Part(name, target, warm, queries, self.options.seconds))
                loads[name] = loads[name].then(load) if name in loads else load
                if turn == self.options.rounds - 1:
                    self._add(name, way, sizes, loads[name], difference(next(iter(loads.values())), loads[name]))

    def _row(self, way: Way, part: Part) -> Load:
        if self.options.processes > 1:
            return spread(part, self.options.processes, before=self.flush)
        return run(way, part.target, part.warm, part.queries, part.seconds, before=self.flush)

    def _skips(self, name: str, way: Way, sizes: Block) -> bool:
        documents, words, clients = sizes
        late = time.monotonic() - self.start > self.options.stop_after
        if not late and documents * clients <= min(way.most, self.options.most):
            return False
        self.left_out[f"{documents} documents of {words} words, {clients} client(s)"] += 1
        return True

    def _add(self, name: str, way: Way, sizes: Block, load: Load, diff: float) -> None:
        documents, words, clients = sizes
        calls = len(load.latencies)
        speed = calls * documents / load.wall
        p50, p99 = load.p50 * 1e3, load.percentile(0.99) * 1e3
        print(f"  {way.title:48} {speed:8.0f} {p50:9.1f} {p99:9.1f} {calls:6} {diff:9.1e}", flush=True)
        self.rows.append(
            {"way": name, "title": way.title, "documents": documents, "words": words, "clients": clients}
            | {"docs_per_second": speed, "p50_ms": p50, "p99_ms": p99, "calls": calls, "max_difference": diff}
        )

    def flush(self) -> None:
        """Forget all prefixes; SGLang refuses while anything runs."""
        for _ in range(20):
            answer = requests.post(f"{self.url}/flush_cache", timeout=30)
            if answer.status_code == requests.codes.ok:
                time.sleep(0.1)
                return
            if answer.status_code in {404, 405}:
                if self.flushes:
                    print("  (no /flush_cache there: later ways of a block find their texts in the prefix cache)")
                self.flushes = False
                return
            time.sleep(0.1)
        raise SystemExit(f"/flush_cache still refuses after 2 s ({answer.status_code}): is somebody else using it?")

    def report(self) -> None:
        """What was left out, how long it took, and the JSON file."""
        seconds = time.monotonic() - self.start
        if self.left_out:
            print("\nrows left out, by --most, --stop-after or a way's own limit:")
        for sizes, count in self.left_out.items():
            print(f"  {sizes}: {count}")
        print(f"\n{len(self.rows)} rows in {seconds:.0f} s")
        if self.options.json:
            facts = {"label": self.options.label, "machine": machine(), "model": self.model, "seconds": seconds}
            asked = {key: value for key, value in vars(self.options).items() if key not in {"json", "url"}}
            text = json.dumps({**facts, "options": asked, "rows": self.rows}, indent=1)
            Path(self.options.json).write_text(f"{text}\n", encoding="utf-8")


def difference(first: Load, second: Load) -> float:
    """The largest difference between two ways' scores of the same document."""
    both = first.scores.keys() & second.scores.keys()
    pairs = itertools.chain.from_iterable(zip(first.scores[p], second.scores[p], strict=True) for p in both)
    return max((abs(one - other) for one, other in pairs), default=math.nan)


def installed(names: list[str]) -> dict[str, Way]:
    """The ways asked for, without those whose framework isn't there."""
    found = {}
    for name in names:
        needed = NEEDS.get(name.split("-")[0])
        if needed and importlib.util.find_spec(needed) is None:
            print(f"{name} is skipped: {needed} isn't installed")
        else:
            found[name] = WAYS[name]
    return found


def settings(options: argparse.Namespace, sizes: Block) -> dict[str, Way]:
    """Our async client with every setting that makes a difference for a block of these sizes."""
    documents, _, clients = sizes
    ways = {}
    for endpoint, size, limit in itertools.product(ENDPOINTS, options.batch_size, options.max_concurrency):
        at_once = clients * math.ceil(documents / size)  # lists that could be in flight
        same_size = any(documents <= smaller < size for smaller in options.batch_size)
        same_limit = any(at_once <= smaller < limit for smaller in options.max_concurrency)
        if not same_size and not same_limit:
            chosen = {"batch_size": size, "max_concurrency": limit, "endpoint": endpoint}
            title = f"batch_size={size}, max_concurrency={limit}, {endpoint}"
            ways[title] = replace(ours(waits=True, **chosen), title=title)
    return ways


def numbers(text: str) -> list[int]:
    """20,100 -> [20, 100]."""
    return [int(part) for part in text.split(",")]


def names(text: str) -> list[str]:
    """Comma-separated names of ways."""
    unknown = [name for name in text.split(",") if name not in WAYS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no such way: {', '.join(unknown)}; there are {', '.join(WAYS)}")
    return text.split(",")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("url", help="the server's address, such as http://127.0.0.1:30000")
    add("--documents", type=numbers, default=[20, 100, 1000], help="documents per query, comma-separated")
    add("--words", type=numbers, default=[60, 250], help="words a document, comma-separated")
    add("--clients", type=numbers, default=[1, 8, 32], help="clients at once, comma-separated")
    add("--ways", type=names, default=list(WAYS), help=f"comma-separated: {', '.join(WAYS)}")
    add("--seconds", type=float, default=1.0, help="time for a row's turn; calls under way are waited for")
    add("--rounds", type=int, default=1, help="turns of each row")
    add("--most", type=int, default=3200, help="leave out blocks with more documents at once, over all clients")
    add("--stop-after", type=float, default=math.inf, help="seconds after which no further row is begun")
    add("--tokenizer", metavar="FOLDER", help="the model's tokenizer: our clients count by it, and others send its ids")
    add("--processes", type=int, default=1, help="spread the clients over that many; not with --sweep")
    add("--seed", type=int, default=1)
    add("--json", metavar="FILE", help="write all rows there")
    add("--label", default="", help="what to call this run in the JSON, such as the server's flags")
    add("--sweep", action="store_true", help="our client's settings instead of the ways")
    add("--batch-size", type=numbers, default=list(BATCH_SIZES), help="for --sweep, comma-separated")
    add("--max-concurrency", type=numbers, default=list(CONCURRENCIES), help="for --sweep, comma-separated")
    options = parser.parse_args()
    if options.sweep and options.processes > 1:
        parser.error("--sweep measures in one process")
    return options


def main() -> None:
    """Measure what was asked for; what has been measured is also written after Ctrl-C."""
    options = parse()
    bench = Bench(options)
    ways = {} if options.sweep else installed(options.ways)
    print(f"{bench.url} serves {bench.model}; clients on {machine()}")
    try:
        for sizes in bench.blocks():
            bench.block(sizes, settings(options, sizes) if options.sweep else ways)
    finally:
        bench.report()


if __name__ == "__main__":
    main()
