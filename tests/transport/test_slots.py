"""Who gets the next request in flight."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from qwen3_sglang.transport.deadline import Deadline
from qwen3_sglang.transport.slots import Slots

LONG = 60.0  # seconds; no test waits for them to pass
NOW = Deadline(0)


@pytest.fixture
def pool() -> ThreadPoolExecutor:
    """Threads that wait for a slot."""
    return ThreadPoolExecutor(4)


def waits(pool: ThreadPoolExecutor, slots: Slots, then: Callable[[], object] = lambda: None) -> Future[bool]:
    """A thread that stands in line once this returns; `then` runs when it has its slot."""
    before = slots.waiting

    def wait() -> bool:
        got = slots.acquire(Deadline(LONG))
        then()
        return got

    future = pool.submit(wait)
    while slots.waiting == before:
        threading.Event().wait(0.001)
    return future


def test_no_more_than_there_are() -> None:
    """The third of two is refused until one is given back."""
    slots = Slots(2)
    assert [slots.acquire(NOW), slots.acquire(NOW), slots.acquire(NOW)] == [True, True, False]
    slots.release()
    assert slots.acquire(NOW)


def test_who_gives_back_does_not_go_ahead_of_who_waits(pool: ThreadPoolExecutor) -> None:
    """With a semaphore the thread that runs takes its slot again before the other one wakes up."""
    slots = Slots(1)
    slots.acquire(NOW)
    other = waits(pool, slots)
    slots.release()
    assert not slots.acquire(NOW)
    assert other.result()


def test_whoever_has_waited_longest_is_next(pool: ThreadPoolExecutor) -> None:
    """In the order they came."""
    slots, order = Slots(1), list[int]()
    slots.acquire(NOW)
    for number in range(3):
        waits(pool, slots, lambda number=number: (order.append(number), slots.release()))  # type: ignore[misc]
    slots.release()
    pool.shutdown()
    assert order == [0, 1, 2]


def test_who_gave_up_is_not_waited_for() -> None:
    """Its turn goes to nobody, so the slot is free."""
    slots = Slots(1)
    slots.acquire(NOW)
    assert not slots.acquire(Deadline(0.001))
    assert slots.waiting == 0
    slots.release()
    assert slots.acquire(NOW)


class _Interrupted:
    """A lock whose second acquiring is Ctrl-C, as the wait for a turn can be; maybe just after the turn came."""

    def __init__(self, slots: Slots, *, came: bool) -> None:
        self.slots, self.came, self.taken = slots, came, False

    def acquire(self, timeout: float = -1) -> bool:
        del timeout
        if self.taken:
            if self.came:
                self.slots.release()
            raise KeyboardInterrupt
        self.taken = True
        return True

    def release(self) -> None:
        """Its turn has come."""


@pytest.mark.parametrize("came", [False, True])
def test_ctrl_c_while_waiting_loses_no_slot(monkeypatch: pytest.MonkeyPatch, came: bool) -> None:
    """The one held is given back once, and is free then, whether or not it was the interrupted one's turn."""
    slots = Slots(1)
    slots.acquire(NOW)
    locks = SimpleNamespace(Lock=lambda: _Interrupted(slots, came=came))
    with monkeypatch.context() as patch:
        patch.setattr("qwen3_sglang.transport.slots.threading", locks)
        with pytest.raises(KeyboardInterrupt):
            slots.acquire(Deadline(LONG))
    if not came:
        slots.release()
    assert slots.waiting == 0
    assert [slots.acquire(NOW), slots.acquire(NOW)] == [True, False]


def test_a_call_that_is_stopped_waits_no_more(pool: ThreadPoolExecutor) -> None:
    """It has no slot, and takes none from the others."""
    slots, deadline = Slots(1), Deadline(LONG)
    slots.acquire(NOW)
    future = pool.submit(slots.acquire, deadline)
    while not slots.waiting:
        threading.Event().wait(0.001)
    deadline.stop()
    assert not future.result(10)
    slots.release()
    assert slots.acquire(NOW)
