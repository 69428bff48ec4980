"""Both homes of the playground, each with the toy behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qwen3_sglang import local, playground

KEY = "made-up-key"


@pytest.fixture(scope="session")
def key() -> str:
    """The guarded server's."""
    return KEY


@pytest.fixture(scope="session")
def embedded(converted_toy: Path) -> Iterator[str]:
    """The embedded server, which has the page at "/"."""
    with local.run_in_thread(converted_toy, device="cpu", dtype="float32", threads=1) as base_url:
        yield base_url


@pytest.fixture(scope="session")
def keyed(converted_toy: Path) -> Iterator[str]:
    """The same, guarded by KEY."""
    with local.run_in_thread(converted_toy, device="cpu", dtype="float32", threads=1, api_key=KEY) as base_url:
        yield base_url


@pytest.fixture(scope="session")
def proxied(keyed: str) -> Iterator[str]:
    """`qwen3-sglang playground` for the guarded server: it knows the key."""
    with playground.run_in_thread(keyed, api_key=KEY) as address:
        yield address


@pytest.fixture(params=["embedded", "proxied"])
def home(request: pytest.FixtureRequest) -> str:
    """Every behaviour holds in both."""
    return str(request.getfixturevalue(request.param))
