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
        self._turns: deque[Slot] = deque()
        self._lock = threading.RLock()  # the garbage collector may free a lost slot wherever this is held

    @property
    def free(self) -> int:
        """How many nobody has."""
        return self._free

    @property
    def waiting(self) -> int:
        """Threads that wait for one."""
        return len(self._turns)

    def slot(self) -> Slot:
        """One to acquire, and to release whether or not that came to its end."""
        return Slot(self)

    # Ctrl-C raises where a call returns or begins: so what a slot holds and what is left change in one breath. A slot
    # that was lost before it was released is released once nothing refers to it.
    def take(self, slot: Slot) -> bool:
        """Whether one was free; if not, the slot is in line from now on."""
        with self._lock:
            if self._free:
                self._free -= 1
                slot.held = True
            else:
                self._turns.append(slot)
            return slot.held

    def leave(self, slot: Slot) -> None:
        """It waits no more."""
        with self._lock, suppress(ValueError):
            self._turns.remove(slot)

    def give(self, slot: Slot) -> None:
        """What it holds goes to who has waited longest, or back."""
        with self._lock:
            if self._turns:
                following = self._turns[0]
                try:
                    following.held, slot.held = True, False
                    self._turns.popleft()
                finally:
                    following.wake()
            else:
                self._free += 1
                slot.held = False


class Slot:
    """One of the slots, once it is acquired."""

    held = False

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._turn = threading.Lock()

    def acquire(self, deadline: Deadline) -> bool:
        """Take a slot before the deadline; whether there was one."""
        self._turn.acquire()
        if self._slots.take(self):
            return True
        with deadline.ending(self.wake):
            self._turn.acquire(timeout=deadline.left())
        self._slots.leave(self)
        return self.held

    def release(self) -> None:
        """Give it back, if it was acquired; wait for it no more."""
        if self.held:
            self._slots.give(self)
        else:
            self._slots.leave(self)

    def wake(self) -> None:
        """Make its wait return."""
        with suppress(RuntimeError):  # it was woken before: its turn came just as its call was stopped
            self._turn.release()

    def __del__(self) -> None:
        if self.held:
            self._slots.give(self)
