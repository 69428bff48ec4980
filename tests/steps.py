"""For tests of the generators of decisions: nobody carries, nobody sleeps."""

from __future__ import annotations

from qwen3_sglang.protocol.retry import Backoff, Patience

PATIENCE = Patience(left=lambda: 60.0, random=lambda: 0.5, met=lambda: True, max_retries=2, backoff=Backoff(1, 8))


def where(place: int) -> list[int]:
    """Each document stands where it stands in the list."""
    return [place]
