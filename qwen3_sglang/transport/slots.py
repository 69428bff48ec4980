"""How many requests of all threads are in flight."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress

from qwen3_sglang.transport.deadline import Deadline


class Slots:
    """Given to at most so many threads at once; whoever has waited longest is next.

    threading.Semaphore lets a thread that gives its slot back take it again ahead of those that wait: with more
    threads than slots some would go from call to call while others wait for seconds.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._turns: deque[threading.Lock] = deque()  # of those that wait; each is released when its turn has come
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """Threads that wait for one."""
        return len(self._turns)

    def acquire(self, deadline: Deadline) -> bool:
        """Take a slot before the deadline; whether there was one."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._turns.append(turn)
        try:
            with deadline.ending(lambda: _wake(turn)):
                turn.acquire(timeout=deadline.left())
        except BaseException:  # Ctrl-C
            if not self._leave(turn):
                self.release()
            raise
        return not self._leave(turn)

    def release(self) -> None:
        """Give it to who has waited longest, or back."""
        with self._lock:
            if self._turns:
                _wake(self._turns.popleft())
            else:
                self._free += 1

    def _leave(self, turn: threading.Lock) -> bool:
        """Wait no more; False if the slot was given over meanwhile."""
        with self._lock:
            if turn not in self._turns:
                return False
            self._turns.remove(turn)
            return True


def _wake(turn: threading.Lock) -> None:
    with suppress(RuntimeError):  # it was woken before: its turn came just as its call was stopped
        turn.release()
