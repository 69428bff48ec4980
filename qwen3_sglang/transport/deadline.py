"""When a call must end, and how to end what it is waiting for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Deadline:
    """The end of a call: after `seconds`, or as soon as it is stopped."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._ends: dict[object, Callable[[], object]] = {}
        self.stopped = threading.Event()

    def left(self) -> float:
        """Seconds that are left; 0 once it was stopped."""
        return 0.0 if self.stopped.is_set() else max(0.0, self._until - time.monotonic())

    def rest(self) -> Deadline:
        """A deadline for a part of the call: over at the same time, and stopped by itself."""
        return Deadline(self.left())

    @contextmanager
    def within(self, seconds: float | None) -> Iterator[Deadline]:
        """A deadline that is over after `seconds` at most, or at the same time; stopped with this one."""
        if seconds is None:
            yield self
            return
        part = Deadline(min(seconds, self.left()))
        with self.ending(part.stop):
            yield part

    def stop(self) -> None:
        """End the call now, with all that it is waiting for."""
        self.stopped.set()
        with self._lock:
            ends = list(self._ends.values())
        for end in ends:
            end()

    @contextmanager
    def ending(self, end: Callable[[], object]) -> Iterator[None]:
        """Inside, `stop` calls `end`, which must end the wait inside; at once where the deadline was stopped before."""
        mark = object()
        with self._lock:
            self._ends[mark] = end
        try:
            if self.stopped.is_set():
                end()
            yield
        finally:
            with self._lock:
                del self._ends[mark]
