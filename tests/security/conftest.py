"""Fixtures for everything about the key, TLS and proxies."""

from __future__ import annotations

import pytest

from qwen3_sglang.protocol.retry import Backoff
from ways import authority, bundle, origin, other, silent, tls, way  # noqa: F401 - fixtures for this folder


@pytest.fixture(autouse=True)
def no_wait_before_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapters have no option for it, and no test here is about when."""
    monkeypatch.setattr(Backoff, "ceiling", lambda self, attempt: 0.0)
