"""What a client has learned of the model that is served. No I/O."""

from __future__ import annotations

from qwen3_sglang.protocol.answers import Names
from qwen3_sglang.protocol.lists import Served
from qwen3_sglang.scoring.cache import ScoreCache


class Learned:
    """All of it, in one object that is forgotten as a whole when another model is served.

    A call keeps to the one that it began with: what another thread learns of another model never gets into it, and
    what it learns itself of a model that is gone gets lost with its object.

    Attributes:
        served: the served model; None while it isn't known.
        answered: names that the answers gave.
        listed: names that the server's model list gave.
        cache: scores to remember; None where none are.
    """

    def __init__(self, served: Served | None, cache_size: int) -> None:
        self.served = served
        self.answered, self.listed = Names(), Names()
        self.cache = ScoreCache(cache_size) if cache_size else None
