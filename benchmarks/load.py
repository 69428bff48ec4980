"""Some clients at once, each asking one query after another: how long each call took, and all of them together."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp
from frameworks import as_documents, as_nodes, document_scores, node_scores

from qwen3_sglang import RerankClient
from ways import async_lists, body_sender, ids_writer, lists, split, usual_loop

Query = tuple[str, Sequence[Any]]


@dataclass(frozen=True)
class Target:
    """What is asked, and by how many clients; `tokenizer` is the folder of the model's, where there is one."""

    url: str
    model: str
    clients: int
    tokenizer: str | None = None


def _texts(_: Target, __: str, texts: Sequence[str]) -> Sequence[str]:
    return texts


@dataclass(frozen=True)
class Way:
    """One way of asking.

    Attributes:
        title: as the table says it.
        make: (target, stack for what must be closed) -> the call; inside the running loop where `waits`.
        waits: whether the call is async.
        wrap: (target, query, texts) -> the call's input; not timed.
        unwrap: the call's result -> P(yes) in the texts' order; not timed.
        most: documents at once, over all clients, beyond which it would take minutes.
    """

    title: str
    make: Callable[[Target, Any], Callable[[str, Any], Any]]
    waits: bool = False
    wrap: Callable[[Target, str, Sequence[str]], Sequence[Any]] = _texts
    unwrap: Callable[[Any], list[float]] = list
    most: int = 32_000


@dataclass(frozen=True)
class Load:
    """What a row measured.

    Attributes:
        wall: seconds from the first call's start to the last one's end.
        latencies: seconds of each call.
        scores: P(yes) by the query.
    """

    wall: float
    latencies: list[float]
    scores: dict[str, list[float]]

    def then(self, later: Load) -> Load:
        """Both as one."""
        return Load(self.wall + later.wall, self.latencies + later.latencies, self.scores | later.scores)

    def percentile(self, share: float) -> float:
        """Seconds that this share of the calls didn't exceed; the slowest where there are too few to tell."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    @property
    def p50(self) -> float:
        """Seconds of the median call."""
        return statistics.median(self.latencies)


class _Shift:
    """Hands out the queries until the time is up; each client gets at least one."""

    def __init__(self, queries: Sequence[Query], seconds: float) -> None:
        self._queries, self._places = queries, itertools.count()
        self.start = time.perf_counter()
        self._until = self.start + seconds
        self.done: list[tuple[int, float, Any]] = []

    def next(self, first: bool) -> int | None:
        """The next query's place, or None when it is time to stop."""
        if not first and time.perf_counter() > self._until:
            return None
        place = next(self._places)  # atomic in CPython
        return place if place < len(self._queries) else None

    def load(self, unwrap: Callable[[Any], list[float]]) -> Load:
        """What has been measured."""
        wall = time.perf_counter() - self.start
        scores = {self._queries[place][0]: unwrap(result) for place, _, result in self.done}
        return Load(wall, [seconds for _, seconds, _ in self.done], scores)


def run(
    way: Way,
    target: Target,
    warm: Sequence[str],
    queries: Sequence[tuple[str, Sequence[str]]],
    seconds: float,
    *,
    before: Callable[[], None],
) -> Load:
    """One row: connections opened with the texts of `warm`, then `before`, then the queries."""
    wrapped: list[Query] = [(query, way.wrap(target, query, texts)) for query, texts in queries]
    first = way.wrap(target, "warm", warm)
    if way.waits:
        return asyncio.run(_run_async(way, target, first, wrapped, seconds, before=before))
    with ExitStack() as stack:
        call = way.make(target, stack)
        pool = stack.enter_context(ThreadPoolExecutor(target.clients))
        list(pool.map(lambda _: call("warm", first), range(target.clients)))
        before()
        shift = _Shift(wrapped, seconds)

        def client(_: int) -> None:
            place = shift.next(True)
            while place is not None:
                start = time.perf_counter()
                result = call(*wrapped[place])
                shift.done.append((place, time.perf_counter() - start, result))
                place = shift.next(False)

        list(pool.map(client, range(target.clients)))
        return shift.load(way.unwrap)


async def _run_async(
    way: Way, target: Target, warm: Sequence[Any], queries: list[Query], seconds: float, *, before: Callable[[], None]
) -> Load:
    async with AsyncExitStack() as stack:
        call = way.make(target, stack)
        await asyncio.gather(*(call("warm", warm) for _ in range(target.clients)))
        before()
        shift = _Shift(queries, seconds)

        async def client() -> None:
            place = shift.next(True)
            while place is not None:
                start = time.perf_counter()
                result = await call(*queries[place])
                shift.done.append((place, time.perf_counter() - start, result))
                place = shift.next(False)

        await asyncio.gather(*(client() for _ in range(target.clients)))
        return shift.load(way.unwrap)


def _plain(size: int | None, workers: int = 1, path: str = "/v1/classify") -> Callable[[Target, Any], Any]:
    def make(target: Target, _: ExitStack) -> Any:
        shared = workers * min(target.clients, 8) if workers > 1 else 1
        return lists(target.url, target.model, size, shared, path)

    return make


def _plain_async(
    size: int | None = None, per_client: int = 1, path: str = "/v1/classify"
) -> Callable[[Target, AsyncExitStack], Any]:
    def make(target: Target, stack: AsyncExitStack) -> Any:
        workers = per_client * target.clients
        session = _session(stack)
        return async_lists(session, target.url, target.model, size=size, workers=workers, path=path)

    return make


def _session(stack: AsyncExitStack) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=256)
    session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout())
    stack.push_async_callback(session.close)
    return session


def _ids(title: str, size: int, *, before: bool) -> Way:
    """Lists of token ids for multi-item scoring; their bodies are made before the call, or in it."""

    def bodies(target: Target, query: str, texts: Sequence[str]) -> Sequence[bytes]:
        write = ids_writer(_folder(target))
        return [write(target.model, query, part) for part in split(texts, size)]

    def make(target: Target, stack: AsyncExitStack) -> Any:
        send = body_sender(_session(stack), target.url)

        async def call(query: str, given: Sequence[Any]) -> list[float]:
            return await send(given if before else bodies(target, query, given))

        return call

    return Way(title, make, True, bodies if before else _texts)


def _folder(target: Target) -> str:
    if target.tokenizer is None:
        raise SystemExit("ways that send token ids need --tokenizer FOLDER")
    return target.tokenizer


def ours(*, waits: bool, **options: Any) -> Way:
    """Our client with these options, and its defaults otherwise."""

    def make(target: Target, stack: Any) -> Any:
        client = RerankClient(target.url, timeout=600, tokenizer=target.tokenizer, **options)
        if waits:
            stack.push_async_callback(client.aclose)
            return client.ascore
        stack.callback(client.close)
        return client.score

    name = ", ".join(f"{key}={value}" for key, value in options.items())
    return Way(f"RerankClient.{'ascore' if waits else 'score'}{name and f', {name}'}", make, waits)


def _langchain(*, waits: bool) -> Way:
    def make(target: Target, stack: Any) -> Any:
        from langchain_qwen3_sglang import Qwen3SGLangRerank  # noqa: PLC0415 - may not be installed

        rerank = Qwen3SGLangRerank(base_url=target.url, timeout=600.0, tokenizer=target.tokenizer)
        (stack.push_async_callback(rerank.aclose) if waits else stack.callback(rerank.close))
        call = rerank.acompress_documents if waits else rerank.compress_documents
        return lambda query, documents: call(documents, query)

    title = f"LangChain, {'acompress_documents' if waits else 'compress_documents'}"
    return Way(title, make, waits, lambda _, __, texts: as_documents(texts), document_scores)


def _llama_index(*, waits: bool) -> Way:
    def make(target: Target, stack: Any) -> Any:
        from llama_index_qwen3_sglang import Qwen3SGLangRerank  # noqa: PLC0415 - may not be installed

        rerank = Qwen3SGLangRerank(base_url=target.url, timeout=600.0, tokenizer=target.tokenizer)
        (stack.push_async_callback(rerank.aclose) if waits else stack.callback(rerank.close))
        call = rerank.apostprocess_nodes if waits else rerank.postprocess_nodes
        return lambda query, nodes: call(nodes, query_str=query)

    title = f"LlamaIndex, {'apostprocess_nodes' if waits else 'postprocess_nodes'}"
    return Way(title, make, waits, lambda _, __, texts: as_nodes(texts), node_scores)


WAYS = {
    "loop": Way("usual loop, requests.post a document", lambda t, _: usual_loop(t.url, t.model), most=800),
    "threads": Way("32 threads, one document a request", _plain(1, 32), most=3200),
    "list": Way("one list, /v1/classify", _plain(None)),
    "lists-50": Way("lists of 50, 8 in flight", _plain(50, 8)),
    "lists-25": Way("lists of 25, 8 in flight", _plain(25, 8)),
    "score": Way("one list, /v1/score", _plain(None, path="/v1/score")),
    "score-50": Way("lists of 50, 8 in flight, /v1/score", _plain(50, 8, "/v1/score")),
    "aiohttp": Way("one list, /v1/classify, aiohttp", _plain_async(), True),
    "aiohttp-32": Way("lists of 32, all in flight, /v1/classify, aiohttp", _plain_async(32, 32), True),
    "singles": Way("one document per request, 32 in flight per client, aiohttp", _plain_async(1, 32), True, most=3200),
    "vllm": Way("one list, /classify, aiohttp", _plain_async(path="/classify"), True),
    "vllm-32": Way("lists of 32, all in flight, /classify, aiohttp", _plain_async(32, 32, "/classify"), True),
    "vllm-singles": Way("one document per request, /classify", _plain_async(1, 32, "/classify"), True, most=3200),
    "ids-32": _ids("ids made beforehand, lists of 32, /v1/score", 32, before=True),
    "ids-50": _ids("ids made beforehand, lists of 50, /v1/score", 50, before=True),
    "ids-100": _ids("ids made beforehand, lists of 100, /v1/score", 100, before=True),
    "ids-200": _ids("ids made beforehand, lists of 200, /v1/score", 200, before=True),
    "ids-now": _ids("ids made in the call, lists of 100, /v1/score", 100, before=False),
    "sync": ours(waits=False),
    "async": ours(waits=True),
    "async-items": ours(waits=True, endpoint="v1/score-multi-item"),  # named: a balancer isn't asked
    "sync-score": ours(waits=False, endpoint="v1/score"),
    "async-score": ours(waits=True, endpoint="v1/score"),
    "sync-vllm": ours(waits=False, endpoint="classify"),
    "async-vllm": ours(waits=True, endpoint="classify"),
    "langchain": _langchain(waits=False),
    "langchain-async": _langchain(waits=True),
    "llama-index": _llama_index(waits=False),
    "llama-index-async": _llama_index(waits=True),
}
