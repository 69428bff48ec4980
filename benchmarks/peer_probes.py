"""The probes: each does one thing with a reranker and says in a few words what came of it.

``python benchmarks/peer_probes.py lc-cohere``, in an environment that has that peer, prints its results as JSON.
compare_peers.py makes the environments and the table; tests/test_compared.py runs the same probes on our adapters.
"""

# ruff: noqa: PLC0415 - a peer's environment has one framework only

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import math
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from peer_bench import PROBES, TEXTS, Bench, outcome, row
from peer_server import Fault, PeerServer, running, stay_local
from peers import KEY, PEERS, versions

HTML = Fault(200, b"<html>a proxy's page</html>")

# What is asked


@row("custom instruction")
def _instruction(bench: Bench) -> str:
    for name in ("instruction", "query_instruction"):
        made = bench.made_with(**{name: "ZEBRA"})
        if made is not None:
            bench.rerank(made)
            return f"`{name}`" if "ZEBRA" in bench.server.asked[-1].body else "no"
    return "no"


@row("score threshold")
def _threshold(bench: Bench) -> str:
    for name in ("min_score", "score_threshold"):
        made = bench.made_with(**{name: 0.5})
        if made is not None and len(bench.rerank(made)) == 2:
            return f"`{name}`"
    return "no"


@row("an option that doesn't exist")
def _unknown_option(bench: Bench) -> str:
    return "refused" if bench.made_with(no_such_option=1) is None else "silently ignored"


@row("`top_n=0`")
def _top_n_0(bench: Bench) -> str:
    made = bench.made_with(top_n=0)
    if made is None:
        return "refused"
    kept = len(bench.rerank(made))
    if bench.server.asked and bench.server.asked[-1].top_n == 0:
        return "sent as 0"
    return f"keeps {kept} of 3" if kept else "keeps none"


@row("`top_n=None` keeps all")
def _top_n_none(bench: Bench) -> str:
    made = bench.made_with(top_n=None)
    return "refused" if made is None else outcome(lambda: "yes" if len(bench.rerank(made)) == 3 else "no")


@row("no documents: no request")
def _empty(bench: Bench) -> str:
    made = bench.make()
    before = bench.server.visits
    bench.rerank(made, [])
    return "yes" if bench.server.visits == before else "no"


# What comes out


@row("input left unchanged")
def _unchanged(bench: Bench) -> str:
    given = bench.frame.documents(TEXTS)
    before = copy.deepcopy(given)
    bench.frame.call(bench.make(), given)
    return "yes" if given == before else "no"


@row("`id` kept")
def _id_kept(bench: Bench) -> str:
    return "yes" if bench.frame.ids(bench.rerank(bench.make())) == ["id-1", "id-2", "id-0"] else "no"


@row("metadata kept")
def _metadata_kept(bench: Bench) -> str:
    wanted = {"source": "zebra", "nested": {"pages": [1]}}
    return (
        "yes"
        if all(wanted.items() <= found.items() for found in map(bench.frame.metadata, bench.rerank(bench.make())))
        else "no"
    )


@row("metadata that the model reads")
def _metadata_read(bench: Bench) -> str:
    if bench.peer.framework == "langchain":
        bench.rerank(bench.make())
        return "none" if "zebra" not in bench.server.asked[-1].body else "all"
    bench.rerank(bench.make())
    default = "EMBED" if "zebra" in bench.server.asked[-1].body else "none"
    from llama_index.core.schema import MetadataMode

    made = bench.made_with(metadata_mode=MetadataMode.NONE if default == "EMBED" else MetadataMode.ALL)
    if made is None:
        return default
    bench.rerank(made)
    changed = ("zebra" in bench.server.asked[-1].body) != (default == "EMBED")
    return f"{default}, or `metadata_mode`" if changed else default


# What the server gets wrong


@row("order of an unsorted answer")
def _order(bench: Bench) -> str:
    made = bench.make()
    bench.server.order = "given"
    scores = bench.frame.scores(bench.rerank(made))
    return "sorted" if scores == sorted(scores, reverse=True) else "not sorted"


@row("an answer that lacks one document")
def _missing(bench: Bench) -> str:
    made = bench.make()
    bench.server.spoil = "missing"
    return outcome(lambda: f"{len(bench.rerank(made))} of 3 returned")


@row("a score that is NaN")
def _nan(bench: Bench) -> str:
    made = bench.make()
    bench.server.spoil = "nan"
    return outcome(lambda: "returned" if any(map(math.isnan, bench.frame.scores(bench.rerank(made)))) else "left out")


@row("a wrong key (401)")
def _unauthorized(bench: Bench) -> str:
    return _failing(bench, Fault(401))


@row("an HTML page as the answer")
def _html(bench: Bench) -> str:
    return "not tried (gRPC)" if bench.peer.title == "Google" else _failing(bench, HTML)


def _failing(bench: Bench, fault: Fault) -> str:
    made = bench.make()
    bench.server.faults = [fault] * 20
    return outcome(lambda: f"returns {len(bench.rerank(made))} documents")


@row("one 503, then scores")
def _busy_once(bench: Bench) -> str:
    return _passing(bench, Fault(503))


@row("one dropped connection, then scores")
def _dropped_once(bench: Bench) -> str:
    return "not tried (gRPC)" if bench.peer.title == "Google" else _passing(bench, Fault(0))


def _passing(bench: Bench, fault: Fault) -> str:
    made = bench.make()
    bench.server.faults = [fault]
    return outcome(lambda: "retried" if len(bench.rerank(made)) == 3 else "wrong")


@row("fail-open, marked")
def _fail_open(bench: Bench) -> str:
    made = bench.made_with(on_error="passthrough")
    if made is None:
        return "no"
    bench.server.faults = [Fault(401)] * 20
    with contextlib.suppress(Exception):
        found = bench.rerank(made)
        if len(found) == 3 and all("rerank_error" in bench.frame.metadata(one) for one in found):
            return '`on_error="passthrough"`'
    return "no"


@row("`timeout=1` and a silent server")
def _timeout(bench: Bench) -> str:
    made = bench.made_with(timeout=1.0)
    if made is None:
        return "no option"
    bench.server.hold = 6
    start = time.monotonic()
    said = outcome(lambda: str(len(bench.rerank(made))))
    return said if time.monotonic() - start < 5 else "silently ignored"


# How it works


class _Counting(ThreadPoolExecutor):
    """Knows how many of its threads are at work."""

    busy = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        def counted() -> Any:
            self.busy += 1
            try:
                return fn(*args, **kwargs)
            finally:
                self.busy -= 1

        return super().submit(counted)


@row("async: no thread waits for the server")
def _async(bench: Bench) -> str:
    threads, busy = _Counting(1), list[int]()

    async def call() -> int:
        asyncio.get_running_loop().set_default_executor(threads)
        made = bench.make()
        bench.server.watch = lambda: busy.append(threads.busy)
        return len(await bench.arerank(made))

    return "wrong" if asyncio.run(call()) != 3 else "no" if any(busy) else "yes"


@row("two event loops, one after the other")
def _loops(bench: Bench) -> str:
    made = bench.make()
    return outcome(lambda: "yes" if [len(asyncio.run(bench.arerank(made))) for _ in range(2)] == [3, 3] else "no")


@row("limit on requests in flight")
def _limit(bench: Bench) -> str:
    made = bench.make()
    bench.server.hold = 0.2
    with ThreadPoolExecutor(40) as threads:
        list(threads.map(lambda _: bench.rerank(made), range(40)))
    return "`max_concurrency` (32)" if bench.server.most <= 32 else "no"


@row("300 documents")
def _batches(bench: Bench) -> str:
    bench.rerank(bench.make(), [f"{n} p=0.5" for n in range(300)])
    sizes = [len(asked.texts) for asked in bench.server.asked]
    return f"one list of {sizes[0]}" if len(sizes) == 1 else f"lists of {max(sizes)}"


@row("a text that occurs 10 times")
def _duplicates(bench: Bench) -> str:
    bench.rerank(bench.make(), ["same p=0.5"] * 10)
    return "sent once" if len(bench.sent()) == 1 else f"sent {len(bench.sent())} times"


@row("connections for 3 calls")
def _connections(bench: Bench) -> str:
    if bench.peer.title == "Google":
        return "not tried (gRPC)"
    made = bench.make()
    for _ in range(3):
        bench.rerank(made)
    return str(len({asked.port for asked in bench.server.asked}))


@row("requests in the constructor")
def _constructor(bench: Bench) -> str:
    bench.make()
    return str(bench.server.visits) if bench.server.visits else "none"


# How it is handled


@row("where the key shows")
def _key(bench: Bench) -> str:
    made = bench.make()
    if bench.peer.title in {"OCI", "Google"}:
        return "takes none"
    shown = {
        name: outcome(partial(_written, write, made)) for name, write in {"repr": repr, **bench.frame.dumps}.items()
    }
    return ", ".join(f"`{name}`" for name, text in shown.items() if KEY in text) or "nowhere"


def _written(write: Callable[[Any], object], made: Any) -> str:
    return str(write(made))


@row("round trip")
def _round_trip(bench: Bench) -> str:
    if bench.peer.title == "Google":
        return "not tried (needs Google's credentials)"
    made = bench.make(top_n=2)
    return outcome(lambda: _compared(bench, made, bench.frame.round_trip(made, KEY)))


@row("deep copy")
def _deep_copy(bench: Bench) -> str:
    made = bench.make(top_n=2)
    return outcome(lambda: _compared(bench, made, copy.deepcopy(made)))


def _compared(bench: Bench, made: Any, again: Any) -> str:
    if again.top_n != made.top_n:
        return "loses `top_n`"
    bench.server.asked.clear()
    with contextlib.suppress(Exception):
        if len(bench.rerank(again)) == made.top_n:
            return "yes"
    return "no" if bench.server.asked else "loses the server's address"


@row("a Runnable (LCEL)")
def _runnable(bench: Bench) -> str:
    return bench.frame.runnable(bench.make())


@row("traced")
def _traced(bench: Bench) -> str:
    return bench.frame.traced(bench.make, bench.frame.documents(TEXTS))


ONLY = {"a Runnable (LCEL)": "langchain"}


def titles(framework: str) -> list[str]:
    """The rows that make sense there."""
    return [title for title in PROBES if ONLY.get(title, framework) == framework]


def probe(key: str, server: PeerServer) -> dict[str, str]:
    """Every row's finding; a probe that fails in a way it doesn't foresee says so."""
    peer = PEERS[key]
    return {title: outcome(partial(PROBES[title], Bench(peer, server))) for title in titles(peer.framework)}


def main() -> None:
    """Print the results of the peer that is named."""
    stay_local()
    warnings.simplefilter("ignore")
    with running() as server:
        found = {"version": versions(PEERS[sys.argv[1]])} | probe(sys.argv[1], server)
    print("RESULT " + json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
