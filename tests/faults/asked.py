"""What the faulty server is asked."""

from __future__ import annotations

from collections.abc import Callable

from qwen3_sglang import RerankResult

QUERY = "What is the capital of China?"
DOCUMENTS = [
    "Gravity is a force that attracts two bodies.",
    "The capital of China is Beijing.",
    "Tea is a drink.",
    "Beijing is the capital.",
    "Tea is a drink.",
    "Rivers flow to the sea.",
    "China is a country.",
]
Rerank = Callable[..., list[RerankResult]]
