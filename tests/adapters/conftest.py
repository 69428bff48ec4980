"""Each case runs through both adapters, sync and async."""

from __future__ import annotations

from typing import Any

import pytest
from frameworks import ADAPTERS, Adapter, Ask


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.extra)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    """LangChain's, then LlamaIndex's."""
    found: Adapter = request.param
    return found


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, adapter: Adapter) -> Ask:
    """ask(reranker, items, query="q", **overrides) -> what comes back; connections are closed behind it."""

    async def run_sync(reranker: Any, items: Any, query: str = "q", **overrides: Any) -> Any:
        try:
            if overrides:
                return adapter.call_with(reranker, items, query, **overrides)
            return adapter.call(reranker, items, query)
        finally:
            reranker.close()

    async def run_async(reranker: Any, items: Any, query: str = "q", **overrides: Any) -> Any:
        try:
            if overrides:
                return await adapter.acall_with(reranker, items, query, **overrides)
            return await adapter.acall(reranker, items, query)
        finally:
            await reranker.aclose()

    return run_sync if request.param == "sync" else run_async
