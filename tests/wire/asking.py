"""Calls, sync and async, whose scores show whose they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from qwen3_sglang import RerankClient
from qwen3_sglang.errors import Qwen3SGLangError

Outcome = list[float] | Qwen3SGLangError
Ask = Callable[..., list[Outcome]]


def ask_sync(client: RerankClient, *calls: Sequence[float], between: Callable[[], object] = lambda: None) -> Any:
    """One call after the other: the scores that these documents must have, or the typed error that came."""
    found: list[Outcome] = []
    for wanted in calls:
        try:
            found.append(client.score("q", [f"p={p}" for p in wanted]))
        except Qwen3SGLangError as error:
            found.append(error)
        between()
    return found


def ask_async(client: RerankClient, *calls: Sequence[float], between: Callable[[], object] = lambda: None) -> Any:
    """The same, in one event loop."""

    async def work() -> list[Outcome]:
        found: list[Outcome] = []
        async with client:
            for wanted in calls:
                try:
                    found.append(await client.ascore("q", [f"p={p}" for p in wanted]))
                except Qwen3SGLangError as error:
                    found.append(error)
                await asyncio.to_thread(between)
        return found

    return asyncio.run(work())
