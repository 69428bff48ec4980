"""What one request may take.

Tests of `transport/deadline.py`.
"""

from __future__ import annotations

import socket
from typing import Any

import pytest

from qwen3_sglang.transport.bounds import LEAST_TIMEOUT, MOST_HEAD, Bounds, Budget, Carried, TooMuchError
from qwen3_sglang.transport.deadline import Deadline


class Fixed(Deadline):
    """So many seconds are always left."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self._seconds = seconds

    def left(self) -> float:
        """As told."""
        return self._seconds


def bounds(left: float, read_timeout: float | None = None) -> Bounds:
    """Those of a request with so much time."""
    return Bounds(100, None, deadline=Fixed(left), read_timeout=read_timeout)


def test_an_operation_takes_what_is_left() -> None:
    """Reading also no longer than read_timeout."""
    assert bounds(5).seconds() == bounds(5).seconds(reading=True) == 5
    assert (bounds(5, 2).seconds(), bounds(5, 2).seconds(reading=True), bounds(1, 2).seconds(reading=True)) == (5, 2, 1)


def test_a_socket_never_gets_a_timeout_of_nearly_nothing() -> None:
    """0 would make it non-blocking; nor does it get much more than is left."""
    assert bounds(1e-9).seconds(reading=True) == LEAST_TIMEOUT
    assert LEAST_TIMEOUT <= 0.01


@pytest.mark.parametrize("reading", [True, False])
def test_nothing_begins_after_the_end(reading: bool) -> None:
    """Not even with a read_timeout of its own."""
    with pytest.raises(TimeoutError):
        bounds(0, 10).seconds(reading=reading)


def test_a_head_has_a_limit_of_its_own() -> None:
    """256 KiB, to the byte."""
    budget = Budget(10**6)
    budget.took(256 * 1024, head=True)
    budget.took(1000, head=False)
    with pytest.raises(TooMuchError, match="more than 262144 bytes of headers"):
        budget.took(1, head=True)


def test_all_of_an_answer_has_a_limit() -> None:
    """Six times its body, for chunks of one byte, and the head."""
    budget = Budget(10)
    budget.took(MOST_HEAD + 60, head=False)
    with pytest.raises(TooMuchError):
        budget.took(1, head=False)


def test_a_connection_that_the_call_is_stopped_on() -> None:
    """Whoever takes one after that is told so."""
    one, other = socket.socketpair()
    with one, other:
        stopped = bounds(5)
        stopped.hold(one, Carried())
        stopped.end()
        assert other.recv(1) == b""
        with pytest.raises(TimeoutError):
            stopped.hold(other, Carried())


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ((b"a", b"{}"), (b"b", b"{}"), False),
        ((b"a", b"{}"), (b"a", b"{}"), True),
        ((b"a", b"{}"), (b"b", b"[]"), None),
        ((None, b"{}"), (b"b", b"{}"), False),
        ((None, b"{}"), (None, b"{}"), True),
        ((b"a", (5, 7)), (b"b", (5, 7)), False),
        ((b"a", (5, 7)), (b"b", (5, 8)), None),
        ((b"a", (5, 7)), (b"b", (6, 7)), None),
        ((b"a", (5, 7)), (b"b", b"{}"), None),
    ],
)
def test_an_answer_that_comes_again(first: tuple[Any, ...], second: tuple[Any, ...], same: bool | None) -> None:
    """To the same request, or to another one."""
    carried = Carried()
    assert carried.add(*first) is None
    assert carried.add(*second) is same


@pytest.mark.parametrize(("size", "kept"), [(2**17 - 1, bytes), (2**17, int)])
def test_how_requests_are_remembered(size: int, kept: type) -> None:
    """Short ones as they are; for long ones memory counts more than time, and a hash tells them apart."""
    carried, found = Carried(), []
    for asked in (b"a" * size, b"a" * size, b"b" * size):
        budget = Budget(10, asked)
        budget.read(b"{}")
        budget.whole(carried, surplus=False)
        found.append(budget.doubted)
    assert found == [False, False, True]
    assert [type(asked) for _, asked in carried._answers] == [kept]


def test_older_answers_are_remembered() -> None:
    """Not the last one only, but not all for ever."""
    carried = Carried()
    for number in range(8):
        assert carried.add(b"asked", b"%d" % number) is None
    assert carried.add(b"other", b"0") is False
    assert carried.add(b"asked", b"8") is None
    assert carried.add(b"other", b"0") is None


@pytest.mark.parametrize(
    ("first", "second", "doubted", "spent"),
    [(b"a", b"b", True, True), (b"a", b"a", False, True), (None, None, False, False), (None, b"b", True, True)],
)
def test_what_an_answer_that_comes_again_costs(
    first: bytes | None, second: bytes | None, doubted: bool, spent: bool
) -> None:
    """Its connection, unless it is a list of models; and it is no answer to another request."""
    carried = Carried()
    for asked in (first, second):
        budget = Budget(10, asked)
        budget.read(b"{}")
        budget.whole(carried, surplus=False)
    assert (budget.doubted, budget.spent) == (doubted, spent)


@pytest.mark.parametrize("fresh", [True, False])
def test_an_answer_with_more_behind_it(fresh: bool) -> None:
    """Which of two is the right one can't be told, unless nothing was asked before on that connection."""
    budget = Budget(10, b"a")
    budget.fresh = fresh
    budget.whole(Carried(), surplus=True, good=False)
    assert (budget.doubted, budget.spent) == (not fresh, True)


def test_an_answer_that_nothing_is_known_of() -> None:
    """Its connection isn't taken for a new one, nor is it doubted before it is whole."""
    budget = Budget(10, b"a")
    assert (budget.fresh, budget.doubted, budget.spent) == (False, False, False)


@pytest.mark.parametrize(("size", "kept"), [(0, bytes), (2**15 - 1, bytes), (2**15, tuple), (10**6, tuple)])
def test_how_answers_are_remembered(size: int, kept: type) -> None:
    """As requests are; in how many parts one comes makes no difference."""
    body, carried, found = bytes(range(256)) * (size // 256) + b"x" * (size % 256), Carried(), []
    for step in (size or 1, 1000, 7):
        budget = Budget(10, b"%d" % step)
        for start in range(0, size, step):
            budget.read(body[start : start + step])
        budget.whole(carried, surplus=False)
        found.append(budget.doubted)
        assert not budget._parts or kept is bytes
    other = Budget(10, b"other")
    other.read(body[:-1] + b"y")
    other.whole(carried, surplus=False)
    assert (found, other.doubted) == ([False, True, True], False)
    assert [type(answer) for answer, _ in carried._answers] == [kept, bytes if not size else kept]


def test_a_call_that_is_stopped_before_it_has_a_connection() -> None:
    """It gets none; one that it has let go of is left alone."""
    one, other = socket.socketpair()
    with one, other:
        stopped, done = bounds(5), bounds(5)
        stopped.end()
        with pytest.raises(TimeoutError):
            stopped.hold(one, Carried())
        done.hold(one, Carried())
        done.let_go()
        done.end()
        one.send(b"x")
        assert other.recv(1) == b"x"
