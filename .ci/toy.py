"""The toy reranker behind the embedded server, for checks whose own environment has no torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qwen3_sglang.toy.serving import serve_toy


@contextmanager
def toy() -> Iterator[str]:
    """Yield its base URL; it stops with the block."""
    with serve_toy() as base_url:
        yield base_url
