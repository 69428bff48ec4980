"""A server that answers as it is told, and what was sent without aiohttp's own way."""

from __future__ import annotations

from typing import Any

import pytest

from qwen3_sglang.transport.strict_async import StrictProtocol
from ways import origin, silent  # noqa: F401 - fixtures for this folder


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bodies that were sent without aiohttp's own way."""
    found: list[bytes] = []
    send = StrictProtocol.send

    def note(self: StrictProtocol, head: bytes, body: bytes, **options: Any) -> None:
        found.append(body)
        send(self, head, body, **options)

    monkeypatch.setattr(StrictProtocol, "send", note)
    return found
