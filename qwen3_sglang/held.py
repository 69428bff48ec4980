"""What a client holds, and how that is kept, closed and copied; `client` adds what it is asked."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from typing import Any, Self

from qwen3_sglang.protocol.ways import Way
from qwen3_sglang.scoring.asked import Reader
from qwen3_sglang.scoring.reading import Reading
from qwen3_sglang.scoring.scorer import Scorer
from qwen3_sglang.settings import Settings
from qwen3_sglang.transport.transport import Transport


class Held:
    """Settings, connections, and what was learned of the server."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._reader = Reader(settings)
        self._transport = Transport(settings)
        self._reading = Reading(self._transport, settings.timeout)
        self._scorer = Scorer(settings, self._transport)

    def __repr__(self) -> str:
        # Half made, it is in tracebacks' locals.
        name = type(self).__name__
        return f"{name}({self.settings.base_url!r})" if hasattr(self, "settings") else f"{name}()"

    def model(self) -> str:
        """The served model's name: the one given, or what the server answers.

        Raises:
            ServerError: one of its subclasses; see `qwen3_sglang.errors`.
        """
        return self._scorer.run(self._scorer.model())

    def way(self) -> Way:
        """How the server is asked. Raises: as `model`; InvalidInputError where `endpoint` would end its scheduler."""
        return self._scorer.run(self._scorer.way())

    @property
    def known_model(self) -> str | None:
        """`model()` as far as it is known without asking."""
        return self._scorer.known_model

    def close(self) -> None:
        """Close the sync side's connections; a later call opens new ones."""
        self._transport.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop, and the sync side's."""
        await self._transport.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles carry the settings; key and headers are read from the environment again."""
        options = {field.name: getattr(self.settings, field.name) for field in fields(self.settings)}
        del options["api_key"], options["headers"]
        return partial(type(self), options.pop("base_url"), **options), ()
