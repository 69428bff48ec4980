"""Each request says how long the client will wait for its answer: what is left of the call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from qwen3_sglang import Backoff, RerankClient
from qwen3_sglang.errors import ServerFailureError
from qwen3_sglang.names import PATIENCE
from qwen3_sglang.transport.until import begin, left, waits
from ways import Answer, Server


def in_sync(client: RerankClient) -> None:
    client.rerank("q", ["d"])


def in_a_loop(client: RerankClient) -> None:
    asyncio.run(client.arerank("q", ["d"]))


@pytest.mark.parametrize("way", [in_sync, in_a_loop])
def test_each_request_says_what_is_left(origin: Server, way: Callable[[RerankClient], None]) -> None:
    """Less with every attempt, and never more than `timeout`."""
    origin.answer = Answer(500, b"{}")
    options = {"model": "toy", "max_retries": 2, "backoff": Backoff(0.01, 0.01), "timeout": 50}
    with RerankClient(origin.url, **options) as client, pytest.raises(ServerFailureError):
        way(client)
    said: dict[str, list[float]] = {headers["request"].split()[1]: [] for headers in origin.seen}
    for headers in origin.seen:
        said[headers["request"].split()[1]].append(float(headers[PATIENCE.lower()]))
    lists = said["/v1/classify"]
    assert 50 > lists[0] > lists[1] > lists[2] > 0
    assert all(value <= 50 for values in said.values() for value in values)


async def test_what_is_left_is_the_shorter_of_both() -> None:
    """The call's and the wait's own; each may be without a limit, and neither is ever below 0."""
    assert (left(3.0), left(-1.0), left(None)) == (3.0, 0.0, 0.0)
    now = asyncio.get_running_loop().time()
    begin(asyncio.Timeout(now + 50))
    assert left(3.0) == 3.0
    assert 3.0 < left(None) <= 50.0
    assert left(99.0) <= 50.0
    begin(asyncio.Timeout(now - 1))
    assert left(3.0) == 0.0


def test_the_header_is_in_seconds() -> None:
    """To the millisecond."""
    assert waits(1.23456) == {PATIENCE: "1.235"}
