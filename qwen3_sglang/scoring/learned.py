"""What a client has learned of the model that is served, and of the way its server runs. No I/O."""

from __future__ import annotations

import time
from collections.abc import Callable

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.protocol.answers import Names
from qwen3_sglang.protocol.call import Mark
from qwen3_sglang.protocol.served import Served
from qwen3_sglang.protocol.ways import Way
from qwen3_sglang.scoring.cache import ScoreCache
from qwen3_sglang.settings import Settings

IDLE = 30.0  # seconds: after so long the next request needs a new connection, and another server may listen


class Learned:
    """All of it, in one object that is forgotten as a whole when another model is served.

    A call keeps to the one that it began with: what another thread learns of another model never gets into it, and
    what it learns itself of a model that is gone gets lost with its object.

    Attributes:
        served: the served model; None while it isn't known.
        way: how the server is asked; None while it isn't known.
        answered: names that the answers gave.
        listed: names that the server's model list gave.
        cache: scores to remember; None where none are.
        refusal: why the endpoint that the user named must not be asked there; None where it may.
        renewed: set where a new connection was opened: another server may listen there now.
    """

    def __init__(
        self,
        served: Served | None,
        cache_size: int,
        clock: Callable[[], float] = time.monotonic,
        way: Way | None = None,
    ) -> None:
        self.served = served
        self.answered, self.listed = Names(), Names()
        self.cache = ScoreCache(cache_size) if cache_size else None
        self.refusal: InvalidInputError | None = None
        self.renewed = Mark()
        self._clock = clock
        self.way = way
        self._heard = clock()

    def found(self, way: Way) -> None:
        """The server is asked that way."""
        self.way = way
        self.renewed.clear()
        self.heard()

    def heard(self) -> None:
        """The server answered just now."""
        self._heard = self._clock()

    @property
    def in_doubt(self) -> bool:
        """Whether another server may have taken its place: a new connection was, or will be, needed."""
        return self.renewed.is_set() or self._clock() - self._heard > IDLE


def told(settings: Settings) -> Served | None:
    """The model and limit, where the user gave both, so that the server needn't be asked."""
    if settings.model is None or settings.max_length is None:
        return None
    return Served(settings.model)
