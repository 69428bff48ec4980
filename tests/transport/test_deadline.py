"""The end of a call, and of its parts."""

from __future__ import annotations

import pytest

from qwen3_sglang.transport import deadline as module
from qwen3_sglang.transport.deadline import Deadline


class Clock:
    """Stands still until it is set."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What deadlines look at."""
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_what_is_left(clock: Clock) -> None:
    """It gets less, and never less than nothing; nothing is left once the call was stopped."""
    deadline = Deadline(5)
    clock.now += 2
    assert deadline.left() == 3
    clock.now += 9
    assert deadline.left() == 0
    stopped = Deadline(5)
    stopped.stop()
    assert stopped.left() == 0


def test_a_part_ends_with_the_call(clock: Clock) -> None:
    """Or before, where it has a limit of its own; and it is stopped with the call."""
    deadline = Deadline(5)
    with deadline.within(None) as same, deadline.within(2) as short, deadline.within(9) as long:
        assert same is deadline
        assert (short.left(), long.left()) == (2, 5)
        short.stop()
        assert (short.left(), long.left(), deadline.left()) == (0, 5, 5)
        deadline.stop()
        assert long.stopped.is_set()


def test_the_rest_is_stopped_by_itself(clock: Clock) -> None:
    """It is over when the call is."""
    deadline = Deadline(5)
    clock.now += 2
    rest = deadline.rest()
    assert rest.left() == 3
    rest.stop()
    assert not deadline.stopped.is_set()


def test_stopping_ends_each_wait_under_way() -> None:
    """Those that are over are left alone; one that begins afterwards is ended at once."""
    deadline, ended = Deadline(5), list[str]()
    with deadline.ending(lambda: ended.append("over")):
        pass
    with deadline.ending(lambda: ended.append("one")), deadline.ending(lambda: ended.append("two")):
        assert ended == []
        deadline.stop()
    assert ended == ["one", "two"]
    with deadline.ending(lambda: ended.append("late")):
        assert ended == ["one", "two", "late"]


@pytest.mark.parametrize("waited_before", [True, False])
def test_whoever_waits_for_the_end_is_told(waited_before: bool) -> None:
    """Also who asks for the event after the end; it is always the same."""
    deadline = Deadline(5)
    if waited_before:
        event = deadline.stopped
        assert not event.is_set()
    deadline.stop()
    assert deadline.stopped.is_set()
    assert deadline.stopped is (event if waited_before else deadline.stopped)
