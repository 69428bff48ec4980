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
        self._stopped = False
        self._event: threading.Event | None = None

    @property
    def stopped(self) -> threading.Event:
        """Set once it was stopped; made when it is first asked for, since it costs more than the rest of a deadline."""
        with self._lock:
            if self._event is None:
                self._event = threading.Event()
                if self._stopped:
                    self._event.set()
            return self._event

    def left(self) -> float:
        """Seconds that are left; 0 once it was stopped."""
        return 0.0 if self._stopped else max(0.0, self._until - time.monotonic())

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
        with self._lock:
            self._stopped = True
            if self._event is not None:
                self._event.set()
            ends = list(self._ends.values())
        for end in ends:
            end()

    def ending(self, end: Callable[[], object]) -> Ending:
        """Inside, `stop` calls `end`, which must end the wait inside; at once where the deadline was stopped before."""
        return Ending(self, end)


class Ending:
    """A wait that is ended with its deadline. A class: a generator's context manager takes three times as long."""

    def __init__(self, deadline: Deadline, end: Callable[[], object]) -> None:
        self._deadline = deadline
        self._end = end

    def __enter__(self) -> None:
        with self._deadline._lock:
            self._deadline._ends[self] = self._end
        if self._deadline._stopped:
            self._end()

    def __exit__(self, *_: object) -> None:
        with self._deadline._lock:
            del self._deadline._ends[self]
