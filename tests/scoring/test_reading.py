"""Reading the arguments of a call is part of the call: it ends with the call's time, and blocks no event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from fake_server import FakeServer
from qwen3_sglang import InvalidInputError, RerankClient, ServerTimeoutError
from qwen3_sglang.scoring.reading import Reading

TIMEOUT, COUNT = 0.3, 3000
BUSY = 2.0  # seconds more, since the tests' machine may be busy


class Stuck(Sequence[str]):
    """So many documents that can't be read until `go` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, place: Any) -> Any:
        if place >= COUNT:
            raise IndexError(place)
        self.go.wait()
        return "p=0.5"


class StuckRows(list[tuple[str, str]]):
    """So many pairs that can't be read until `go` is set."""

    def __init__(self, go: threading.Event) -> None:
        super().__init__([("q", "p=0.5")] * COUNT)
        self.go = go

    def __iter__(self) -> Iterator[tuple[str, str]]:
        self.go.wait()
        return super().__iter__()


class StuckScore(float):
    """A `min_score` that no score can be compared with until `go` is set."""

    go: threading.Event

    def __le__(self, other: float) -> bool:
        if other < 1:
            self.go.wait()
        return float(self) <= other


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    """Released at the end, so that no thread stays."""
    documents = Stuck()
    yield documents
    documents.go.set()


def in_time(call: Callable[[], Any]) -> Any:
    """What it returns, or the error that it raises: soon after its time."""
    began = time.monotonic()
    try:
        found = call()
    except ServerTimeoutError as late:
        found = late
    assert time.monotonic() - began < TIMEOUT + 0.5 + BUSY
    return found


CALLS: dict[str, Callable[[RerankClient, Stuck], Any]] = {
    "score": lambda client, documents: client.score("q", documents),
    "ascore": lambda client, documents: asyncio.run(client.ascore("q", documents)),
    "prompts": lambda client, documents: client.prompts("q", documents),
    "aprompts": lambda client, documents: asyncio.run(client.aprompts("q", documents)),
    "rerank": lambda client, documents: client.rerank("q", documents),
    "arerank": lambda client, documents: asyncio.run(client.arerank("q", documents)),
    "score_pairs": lambda client, documents: client.score_pairs(StuckRows(documents.go)),
    "ascore_pairs": lambda client, documents: asyncio.run(client.ascore_pairs(StuckRows(documents.go))),
    "rerank_many": lambda client, documents: client.rerank_many([("q", documents), ("r", ["p=0.5"])]),
    "arerank_many": lambda client, documents: asyncio.run(client.arerank_many([("q", documents), ("r", ["p=0.5"])])),
}


@pytest.mark.parametrize("name", CALLS)
def test_reading_ends_with_the_call_s_time(server: FakeServer, stuck: Stuck, name: str) -> None:
    """With a typed error."""
    assert isinstance(
        in_time(lambda: CALLS[name](RerankClient(server.url, timeout=TIMEOUT), stuck)), ServerTimeoutError
    )
    assert server.asked == []


@pytest.mark.parametrize("name", ["rerank", "arerank", "rerank_many", "arerank_many"])
def test_documents_that_were_not_read_in_time_pass_through(server: FakeServer, stuck: Stuck, name: str) -> None:
    """As many as there are, each marked."""
    client = RerankClient(server.url, timeout=TIMEOUT, on_error="passthrough")
    results = in_time(lambda: CALLS[name](client, stuck))
    [first, *others] = results if name.endswith("many") else [results]
    assert [len(first), *map(len, others)] == ([COUNT, 1] if name.endswith("many") else [COUNT])
    assert first[-1].index == COUNT - 1
    assert "timeout" in first[-1].error


@pytest.mark.parametrize("name", CALLS)
def test_large_arguments_that_are_read_in_time(server: FakeServer, stuck: Stuck, name: str) -> None:
    """The call goes on; what is wrong with arguments is said all the same."""
    client = RerankClient(server.url, timeout=20)
    threading.Timer(0.05, stuck.go.set).start()
    CALLS[name](client, stuck)
    with pytest.raises(InvalidInputError):
        client.rerank("q", [None] * COUNT)  # type: ignore[list-item] # wrong on purpose


RANKINGS: dict[str, Callable[[RerankClient, list[str], float], Any]] = {
    "rerank": lambda client, texts, least: client.rerank("q", texts, min_score=least),
    "arerank_many": lambda client, texts, least: asyncio.run(client.arerank_many([("q", texts)], min_score=least)),
    "generator": lambda client, texts, least: client.rerank_many((row for row in [("q", texts)]), min_score=least),
}


@pytest.mark.parametrize("name", RANKINGS)
def test_what_follows_the_last_answer_ends_with_the_call_s_time(server: FakeServer, stuck: Stuck, name: str) -> None:
    """Ranking many documents is part of the call."""
    least = StuckScore(0.3)
    least.go = stuck.go
    texts = [f"{number} p=0.5" for number in range(COUNT)]
    client = RerankClient(server.url, timeout=2, batch_size=COUNT)
    began = time.monotonic()
    with pytest.raises(ServerTimeoutError):
        RANKINGS[name](client, texts, least)
    assert time.monotonic() - began < 2.5 + BUSY
    assert server.prompts
    stuck.go.set()
    assert RANKINGS[name](client, texts, least)


SIZES = [(0, False), (262_144, False), (262_145, True)]


@pytest.mark.parametrize(("size", "elsewhere"), SIZES)
def test_only_what_is_large_is_read_in_a_thread(size: int, elsewhere: bool) -> None:
    """And has the call's time begin with it."""
    thread, deadline = Reading(RerankClient("http://host")._transport, 9.0).read(threading.get_ident, size)
    assert (thread != threading.get_ident()) is elsewhere
    assert (deadline is not None) is elsewhere
    assert deadline is None or 0 < deadline.left() <= 9


@pytest.mark.parametrize(("size", "elsewhere"), SIZES)
async def test_only_what_is_large_is_read_beside_the_event_loop(size: int, elsewhere: bool) -> None:
    """And has the call's time begin with it."""
    thread, deadline = await Reading(RerankClient("http://host")._transport, 9.0).aread(threading.get_ident, size)
    assert (thread != threading.get_ident()) is elsewhere
    assert (deadline is not None) is elsewhere
    assert deadline is None or 0 < deadline.left() <= 9
