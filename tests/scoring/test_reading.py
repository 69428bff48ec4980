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
