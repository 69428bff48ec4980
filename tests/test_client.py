"""What the client sends, how much at once, and what it does when the server goes silent.

Tests of `held.py`, `scoring/scorer.py`, `scoring/work.py`.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fake_server import FakeServer
from qwen3_sglang import InvalidInputError, NotSGLangError, RerankClient, ServerTimeoutError, ServerUnreachableError

DOCUMENTS = [f"p=0.{digit}" for digit in (1, 9, 5, 9)]


def score(mode: str, client: RerankClient, query: str, documents: Sequence[str]) -> list[float]:
    """One call, whichever way."""
    return client.score(query, documents) if mode == "sync" else asyncio.run(client.ascore(query, documents))


def test_lists_not_loops(server: FakeServer, mode: str) -> None:
    """Four documents, three distinct, two a list: the model's name once, then two requests."""
    client = RerankClient(server.url, batch_size=2)
    assert score(mode, client, "q", DOCUMENTS) == [0.1, 0.9, 0.5, 0.9]
    assert [path for path, _ in server.asked] == ["/v1/models", "/v1/classify", "/v1/classify"]
    assert len(server.prompts) == 3
    score(mode, client, "q", DOCUMENTS[:1])
    assert [path for path, _ in server.asked].count("/v1/models") == 1


def test_what_is_told_is_not_asked_for(server: FakeServer, mode: str) -> None:
    """model= and max_length= together save the first request."""
    score(mode, RerankClient(server.url, model="mine", max_length=4096), "q", DOCUMENTS)
    assert [path for path, _ in server.asked] == ["/v1/classify"]


def test_lists_are_in_flight_together(server: FakeServer, mode: str) -> None:
    """The server answers only once three requests are there at the same time."""
    server.barrier = threading.Barrier(3)
    client = RerankClient(server.url, model="toy", max_length=8192, batch_size=1, max_concurrency=3)
    assert score(mode, client, "q", DOCUMENTS[:3]) == [0.1, 0.9, 0.5]


@pytest.mark.parametrize("batch_size", [1, 128])
def test_a_silent_server_is_a_timeout(server: FakeServer, mode: str, batch_size: int) -> None:
    """A TimeoutError that names the argument to raise."""
    server.barrier = threading.Barrier(100)
    client = RerankClient(server.url, model="toy", max_length=8192, timeout=0.2, batch_size=batch_size)
    with pytest.raises(ServerTimeoutError, match="timeout="):
        score(mode, client, "q", DOCUMENTS)
    server.barrier.abort()


def test_nobody_there(nobody: str, mode: str) -> None:
    """A ConnectionError that asks about base_url."""
    with pytest.raises(ServerUnreachableError, match="base_url"):
        score(mode, RerankClient(nobody), "q", DOCUMENTS)


@pytest.mark.parametrize(("query", "documents"), [(" ", DOCUMENTS), ("q", ["d", 3])])
def test_bad_input_never_reaches_the_server(server: FakeServer, mode: str, query: str, documents: list[str]) -> None:
    """The check comes before the first request."""
    with pytest.raises(InvalidInputError):
        score(mode, RerankClient(server.url), query, documents)
    assert server.asked == []


@pytest.mark.parametrize("call", ["score", "rerank"])
def test_query_and_documents_swapped(server: FakeServer, mode: str, call: str) -> None:
    """Recognised before anything is sent."""
    client = RerankClient(server.url)

    async def swapped() -> None:
        await getattr(client, f"a{call}")(DOCUMENTS, "q")

    with pytest.raises(InvalidInputError, match="the query comes first"):
        getattr(client, call)(DOCUMENTS, "q") if mode == "sync" else asyncio.run(swapped())
    assert server.asked == []


@pytest.mark.parametrize(("query", "documents"), [("q", "d"), (["q"], DOCUMENTS)])
def test_one_wrong_argument_is_not_two_swapped(server: FakeServer, mode: str, query: Any, documents: Any) -> None:
    """The message is about that one."""
    with pytest.raises(InvalidInputError) as caught:
        score(mode, RerankClient(server.url), query, documents)
    assert "comes first" not in str(caught.value)
    assert server.asked == []


def test_a_gateway_without_a_list_of_models(server: FakeServer, mode: str) -> None:
    """A model that is named is enough; where none is named, the error says so."""
    server.lists_models = False
    assert score(mode, RerankClient(server.url, model="toy"), "q", DOCUMENTS[:1]) == [0.1]
    with pytest.raises(NotSGLangError):
        score(mode, RerankClient(server.url), "q", DOCUMENTS)


async def test_sync_call_inside_a_running_loop(server: FakeServer) -> None:
    """Some frameworks call the sync method from async code."""
    assert RerankClient(server.url).score("q", DOCUMENTS) == [0.1, 0.9, 0.5, 0.9]


def test_many_threads_share_a_client(server: FakeServer) -> None:
    """Each gets its own scores."""
    client, found = RerankClient(server.url), dict[int, list[float]]()

    def work(place: int) -> None:
        found[place] = client.score("q", [DOCUMENTS[place % 4]])

    threads = [threading.Thread(target=work, args=(place,)) for place in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {place: [float(DOCUMENTS[place % 4][2:])] for place in range(16)}


def test_closed_event_loops_are_let_go(server: FakeServer) -> None:
    """asyncio.run after asyncio.run keeps no loop but perhaps the last."""
    client, seen = RerankClient(server.url), list[weakref.ref[asyncio.AbstractEventLoop]]()

    async def work() -> None:
        seen.append(weakref.ref(asyncio.get_running_loop()))
        await client.ascore("q", DOCUMENTS)

    for _ in range(5):
        asyncio.run(work())
    gc.collect()
    assert sum(loop() is not None for loop in seen) <= 1


def test_several_loops_at_once_with_a_session_each(server: FakeServer) -> None:
    """Every thread's loop gets its own scores over its own connections, which end with the loop."""
    client, together = RerankClient(server.url, model="toy", max_length=8192, batch_size=1), threading.Barrier(4)

    async def work() -> tuple[list[list[float]], aiohttp.ClientSession]:
        together.wait(timeout=10)
        scores = await asyncio.gather(*(client.ascore("q", DOCUMENTS[start:]) for start in range(4)))
        return scores, client._transport._loops[asyncio.get_running_loop()].session

    with ThreadPoolExecutor(4) as pool:
        found = [job.result() for job in [pool.submit(asyncio.run, work()) for _ in range(4)]]
    expected = [[0.1, 0.9, 0.5, 0.9][start:] for start in range(4)]
    assert [scores for scores, _ in found] == [expected] * 4
    sessions = {id(session): session for _, session in found}
    assert len(sessions) == 4
    assert all(session.closed for session in sessions.values())


async def test_aclose_closes_and_a_later_call_opens_anew(server: FakeServer) -> None:
    """Leaving `async with` closes this loop's session; the client itself can still be used."""
    async with RerankClient(server.url) as client:
        await client.ascore("q", DOCUMENTS)
        first = client._transport._loops[asyncio.get_running_loop()].session
    assert first.closed
    assert client._transport._loops == {}
    assert await client.ascore("q", DOCUMENTS[:1]) == [0.1]
    await client.aclose()


def test_proxy_of_the_environment(server: FakeServer, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY is asked for what is elsewhere; NO_PROXY excepts an address."""
    for name in ("http_proxy", "no_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert score(mode, RerankClient(server.url), "q", DOCUMENTS[:1]) == [0.1]
    with pytest.raises(NotSGLangError):  # this proxy knows no such path
        score(mode, RerankClient("http://reranker.test", endpoint="v1/classify"), "q", DOCUMENTS)
    assert [path for path, _ in server.asked][2:4] == [
        "http://reranker.test/v1/models",
        "http://reranker.test/v1/classify",
    ]


@pytest.mark.parametrize("case", [(None, "Basic dTpw"), ("k", "Bearer k")], ids=["no key", "key"])
def test_netrc_only_without_a_key(
    server: FakeServer, mode: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, case: tuple[str | None, str]
) -> None:
    """A login kept for the server's host counts, as for any client built on requests, but never beside a key."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login u password p\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    key, sent = case
    score(mode, RerankClient(server.url, api_key=key), "q", DOCUMENTS[:1])
    assert {authorization for _, authorization in server.asked} == {sent}
