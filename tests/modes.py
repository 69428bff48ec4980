"""Sync or async: the fixture `mode` says which."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from qwen3_sglang import RerankClient


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    """Every behaviour holds for both."""
    return str(request.param)


def call(mode: str, client: RerankClient, name: str, *args: Any, **options: Any) -> Any:
    """One call, whichever way."""
    if mode == "sync":
        return getattr(client, name)(*args, **options)
    return asyncio.run(getattr(client, f"a{name}")(*args, **options))
