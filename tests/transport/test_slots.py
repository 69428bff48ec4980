"""Who gets the next request in flight."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from qwen3_sglang.transport.deadline import Deadline
from qwen3_sglang.transport.slots import Slot, Slots

LONG = 60.0  # seconds; no test waits for them to pass
NOW = Deadline(0)


@pytest.fixture
def pool() -> ThreadPoolExecutor:
    """Threads that wait for a slot."""
    return ThreadPoolExecutor(4)


def taken(slots: Slots, deadline: Deadline = NOW) -> Slot | None:
    """One of them, if there was one in time."""
    slot = slots.slot()
    return slot if slot.acquire(deadline) else None


def held(slots: Slots) -> Slot:
    """One that is free."""
    slot = taken(slots)
    assert slot is not None
    return slot


def waits(pool: ThreadPoolExecutor, slots: Slots, then: Callable[[Slot], object] = lambda slot: None) -> Future[Slot]:
    """A thread that stands in line once this returns; `then` runs when it has its slot."""
    before = slots.waiting

    def wait() -> Slot:
        slot = slots.slot()
        assert slot.acquire(Deadline(LONG))
        then(slot)
        return slot

    future = pool.submit(wait)
    while slots.waiting == before:
        threading.Event().wait(0.001)
    return future


def test_no_more_than_there_are() -> None:
    """The third of two is refused until one is given back."""
    slots = Slots(2)
    assert slots.free == 2
    first, second = held(slots), held(slots)
    assert taken(slots) is None
    assert slots.free == 0
    first.release()
    assert slots.free == 1
    assert taken(slots)
    second.release()


def test_who_gives_back_does_not_go_ahead_of_who_waits(pool: ThreadPoolExecutor) -> None:
    """With a semaphore the thread that runs takes its slot again before the other one wakes up."""
    slots = Slots(1)
    slot = held(slots)
    other = waits(pool, slots)
    slot.release()
    slot.release()
    assert taken(slots) is None
    assert other.result().held
    assert not slot.held


def test_whoever_has_waited_longest_is_next(pool: ThreadPoolExecutor) -> None:
    """In the order they came."""
    slots, order = Slots(1), list[int]()
    slot = held(slots)
    for number in range(3):
        waits(pool, slots, lambda slot, number=number: (order.append(number), slot.release()))  # type: ignore[misc]
    slot.release()
    pool.shutdown()
    assert order == [0, 1, 2]


def test_who_gave_up_is_not_waited_for() -> None:
    """Its turn goes to nobody, so the slot is free."""
    slots = Slots(1)
    slot = held(slots)
    assert taken(slots, Deadline(0.001)) is None
    assert slots.waiting == 0
    slot.release()
    assert taken(slots)


def test_a_slot_is_given_back_once() -> None:
    """Released twice, or released and forgotten, it is one slot."""
    slots = Slots(1)
    slot = held(slots)
    slot.release()
    slot.release()
    del slot
    kept = held(slots)
    assert taken(slots) is None
    kept.release()


def test_a_slot_that_was_lost_is_free() -> None:
    """Ctrl-C at the beginning of its release, say: nothing refers to it then."""
    slots = Slots(1)
    held(slots)
    assert taken(slots)


class _Interrupted:
    """A lock whose second acquiring is Ctrl-C, as the wait for a turn can be; maybe just after the turn came."""

    def __init__(self, came: Callable[[], object]) -> None:
        self.came, self.taken = came, False

    def acquire(self, timeout: float = -1) -> bool:
        del timeout
        if self.taken:
            self.came()
            raise KeyboardInterrupt
        self.taken = True
        return True

    def release(self) -> None:
        """Its turn has come."""


@pytest.mark.parametrize("came", [False, True])
def test_ctrl_c_while_waiting_loses_no_slot(monkeypatch: pytest.MonkeyPatch, came: bool) -> None:
    """The one held is given back once, and is free then, whether or not it was the interrupted one's turn."""
    slots = Slots(1)
    slot = held(slots)
    locks = SimpleNamespace(Lock=lambda: _Interrupted(slot.release if came else lambda: None))
    with monkeypatch.context() as patch:
        patch.setattr("qwen3_sglang.transport.slots.threading", locks)
        interrupted = slots.slot()
        with pytest.raises(KeyboardInterrupt):
            interrupted.acquire(Deadline(LONG))
        interrupted.release()
    slot.release()
    assert slots.waiting == 0
    kept = held(slots)
    assert taken(slots) is None
    kept.release()


def test_a_call_that_is_stopped_waits_no_more(pool: ThreadPoolExecutor) -> None:
    """It has no slot, and takes none from the others."""
    slots, deadline = Slots(1), Deadline(LONG)
    slot = held(slots)
    future = pool.submit(taken, slots, deadline)
    while not slots.waiting:
        threading.Event().wait(0.001)
    deadline.stop()
    assert future.result(10) is None
    slot.release()
    assert taken(slots)
