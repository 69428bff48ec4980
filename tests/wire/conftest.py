"""Each behaviour holds for sync and for async calls."""

from __future__ import annotations

import pytest
from asking import Ask, ask_async, ask_sync


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """ask(client, wanted scores, …) -> scores or typed errors."""
    found: Ask = request.param
    return found
