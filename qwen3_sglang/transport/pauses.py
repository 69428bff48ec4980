"""Steps that pause between two tries, carried out to their end; without a fault none of it runs.

Each function is given the first pause, and what goes on from there until the next one: that returns None at the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_result, sleep_using_event, stop_never

from qwen3_sglang.protocol.exchange import Pause
from qwen3_sglang.transport.deadline import Deadline

_PAUSED = retry_if_result(lambda pause: pause is not None)


def go_on(first: Pause, until_next: Callable[[], Pause | None], deadline: Deadline) -> None:
    """Wait and go on until the end; a pause is cut short where the deadline is stopped."""
    waiting = [first]
    retrying = Retrying(retry=_PAUSED, wait=_as_decided, stop=stop_never, sleep=sleep_using_event(deadline.stopped))
    retrying(lambda: waiting.pop() if waiting else until_next())


async def ago_on(first: Pause, until_next: Callable[[], Awaitable[Pause | None]]) -> None:
    """`go_on` on the running event loop."""
    waiting = [first]

    async def following() -> Pause | None:
        return waiting.pop() if waiting else await until_next()

    await AsyncRetrying(retry=_PAUSED, wait=_as_decided, stop=stop_never, sleep=asyncio.sleep)(following)


def _as_decided(state: RetryCallState) -> float:
    pause: Pause = state.outcome.result()  # type: ignore[union-attr] # there is one where it waits
    return pause.seconds
