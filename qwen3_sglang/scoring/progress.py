"""Counting documents as their lists come back. No I/O."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.protocol.exchange import Steps

T = TypeVar("T")
OnProgress = Callable[[int, int], None]


def check_listener(on_progress: object) -> None:
    """Refuse a listener that can't be called, before anything is sent.

    Raises:
        InvalidInputError: `on_progress` is neither a function nor None.
    """
    if on_progress is not None and not callable(on_progress):
        raise InvalidInputError("on_progress", on_progress, "pass a function of (scored, to score), or None")


class Progress:
    """Tells one listener of every answered list, one at a time: sync lists come back on several threads."""

    def __init__(self, tell: OnProgress, total: int) -> None:
        """`tell` is called with (documents scored, `total`)."""
        self._tell, self._total, self._done = tell, total, 0
        self._lock = threading.RLock()  # nest_asyncio: the listener runs the loop, where another list comes back

    def watch(self, steps: Steps[Sequence[T]], finished: Callable[[], int] | None = None) -> Steps[Sequence[T]]:
        """The same steps; reports to the listener when the list is done.

        Args:
            steps: one list's.
            finished: how many documents are done with that list, called once at its end; None: each of its items.
        """
        scores = yield from steps
        with self._lock:
            self._done += len(scores) if finished is None else finished()
            self._tell(self._done, self._total)
        return scores
