"""For tests of the generators of decisions: nobody carries, nobody sleeps."""

from __future__ import annotations

from typing import Any

from qwen3_sglang.protocol.exchange import Compute, Pause, Request, Steps
from qwen3_sglang.protocol.retry import Backoff, Patience

PATIENCE = Patience(left=lambda: 60.0, random=lambda: 0.5, met=lambda: True, max_retries=2, backoff=Backoff(1, 8))


def after(steps: Steps[Any], reply: object = None) -> Request | Pause:
    """What they ask next, now that this is the reply; what they compute in between is done."""
    asked = steps.send(reply)
    while isinstance(asked, Compute):
        asked.do()
        asked = steps.send(None)
    return asked


def where(place: int) -> list[int]:
    """Each document stands where it stands in the list."""
    return [place]


class Letters:
    """A tokenizer with one token per character."""

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Code points."""
        return [list(map(ord, text)) for text in texts]

    def decode(self, ids: list[list[int]]) -> list[str]:
        """Their characters."""
        return ["".join(map(chr, row)) for row in ids]
