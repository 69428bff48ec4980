"""How long a call may still take, for a server that is told; an asynchronous call's end, known to all of its tasks."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

from qwen3_sglang.names import PATIENCE

_END: ContextVar[float | None] = ContextVar("qwen3_sglang_end", default=None)  # by the loop's clock


def waits(seconds: float) -> dict[str, str]:
    """The header that says how long the client waits for the answer."""
    return {PATIENCE: f"{seconds:.3f}"}


def begin(limit: asyncio.Timeout) -> None:
    """From here on, this task and those that it starts end with `limit`."""
    _END.set(limit.when())


def left(seconds: float | None) -> float:
    """Seconds that are left of the call, at most `seconds`."""
    end = _END.get()
    limits = (seconds, None if end is None else end - asyncio.get_running_loop().time())
    return max(0.0, min((limit for limit in limits if limit is not None), default=0.0))
