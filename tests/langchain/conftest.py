"""Every call runs on both paths; runs are recorded as a tracer sees them."""

from __future__ import annotations

from typing import Any

import pytest
from chain_parts import Go, Runs


@pytest.fixture(params=["sync", "async"])
def go(request: pytest.FixtureRequest) -> Go:
    """go(thing, "invoke", ...) calls thing.invoke, or awaits thing.ainvoke."""

    async def call(thing: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        if request.param == "sync":
            return getattr(thing, name)(*args, **kwargs)
        return await getattr(thing, f"a{name}")(*args, **kwargs)

    return call


@pytest.fixture
def runs() -> Runs:
    """To pass as a callback."""
    return Runs()
