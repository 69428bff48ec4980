"""The embedded server, and a faulty one in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asked import DOCUMENTS, QUERY, Rerank
from faulty import Faulty

from qwen3_sglang import RerankClient, RerankResult
from qwen3_sglang.local import run_in_thread
from qwen3_sglang.protocol.retry import Backoff


@pytest.fixture(scope="session")
def upstream(converted_toy: Path) -> Iterator[str]:
    """A server without a fault."""
    with run_in_thread(converted_toy, device="cpu", dtype="float32") as url:
        yield url


@pytest.fixture(scope="session")
def truth(upstream: str) -> list[float]:
    """P(yes) of each document, asked without anything in between."""
    with RerankClient(upstream) as client:
        return client.score(QUERY, DOCUMENTS)


@pytest.fixture
def faulty(upstream: str) -> Iterator[Faulty]:
    """Without a fault until told."""
    with Faulty(upstream).running() as server:
        yield server


@pytest.fixture(params=["sync", "async"])
def rerank(request: pytest.FixtureRequest) -> Rerank:
    """rerank(url, documents=DOCUMENTS, **options): one call with a client of its own; no wait before a retry."""

    def call(url: str, documents: list[str] = DOCUMENTS, top_n: int | None = None, **options: Any) -> Any:
        client = RerankClient(url, **{"timeout": 30.0, "backoff": Backoff(0, 0)} | options)
        if request.param == "sync":
            with client:
                return client.rerank(QUERY, documents, top_n)

        async def work() -> list[RerankResult]:
            async with client:
                return await client.arerank(QUERY, documents, top_n)

        return asyncio.run(work())

    return call
