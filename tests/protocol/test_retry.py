"""When to try again and how long to wait: arithmetic."""

from __future__ import annotations

import math

import pytest

from qwen3_sglang import errors
from qwen3_sglang.protocol.retry import LEAST_LEFT, Backoff, Patience, retry_after_seconds

NOW = 1_445_412_480.0  # Wed, 21 Oct 2015 07:28:00 GMT


def patience(left: float = 60.0, random: float = 0.5, *, met: bool = True, most: int | None = None) -> Patience:
    """The usual backoff."""
    return Patience(lambda: left, lambda: random, lambda: met, most, Backoff())


def failed(status: int, retry_after: float | None = None) -> errors.ServerError:
    """A failure with that status."""
    return errors.ServerError("u", "m", status=status, retry_after=retry_after)


UNREACHABLE = errors.ServerUnreachableError("u", "m")
SILENT = errors.ServerTimeoutError("u", "m")


@pytest.mark.parametrize(("attempt", "ceiling"), [(1, 0.5), (2, 1.0), (5, 8.0), (6, 8.0), (10**6, 8.0)])
@pytest.mark.parametrize("random", [0.0, 0.25, 0.999])
def test_full_jitter(attempt: int, ceiling: float, random: float) -> None:
    """Anywhere between nothing and a ceiling that doubles up to its cap."""
    assert patience(random=random).delay(UNREACHABLE, attempt) == pytest.approx(random * ceiling)


@pytest.mark.parametrize(
    ("failure", "again"),
    [
        *[(failed(status), True) for status in (408, 429, 500, 502, 503, 504)],
        *[(failed(status), False) for status in (302, 400, 401, 403, 404, 405, 409, 413, 422, 501)],
        (UNREACHABLE, True),
        (SILENT, True),
        (errors.ProtocolError("u", "m"), False),
        (errors.ServerFailureError("u", "a row of a 200"), False),
    ],
)
def test_what_is_tried_again(failure: errors.ServerError, again: bool) -> None:
    """Only what may pass by itself."""
    assert (patience().delay(failure, 1) is not None) is again


@pytest.mark.parametrize(
    ("retry_after", "left", "delay"), [(None, 60, 0.25), (2, 60, 2.25), (0, 60, 0.25), (2, 2.2, 2.1), (9, 9, None)]
)
def test_retry_after(retry_after: float | None, left: float, delay: float | None) -> None:
    """Not a moment earlier than the server asked for; not at all where that is too late."""
    found = patience(left).delay(failed(503, retry_after), 1)
    assert found == (None if delay is None else pytest.approx(delay))


@pytest.mark.parametrize("left", [0.1, 1.0, 5.0, 60.0])
@pytest.mark.parametrize("attempt", [1, 3, 50])
def test_no_retry_outlives_the_call(left: float, attempt: int) -> None:
    """The wait always ends within what is left."""
    delay = patience(left, random=0.999).delay(UNREACHABLE, attempt)
    assert delay is not None
    assert delay < left


def test_a_wait_doubles_thirty_times_at_most() -> None:
    """However high its cap, no power of two gets too large for a number."""
    high = Backoff(base=1.0, cap=1e300)
    assert [high.ceiling(attempt) for attempt in (1, 30, 31, 32, 10**6)] == [1.0, 2.0**29, 2.0**30, 2.0**30, 2.0**30]


def test_no_time_left() -> None:
    """Gives up instead of a wait of zero, and where an answer could hardly come in time."""
    assert patience(0.0).delay(UNREACHABLE, 1) is None
    assert patience(LEAST_LEFT).delay(UNREACHABLE, 1) is not None
    assert patience(LEAST_LEFT - 0.001).delay(UNREACHABLE, 1) is None
    assert patience(2 + LEAST_LEFT - 0.001).delay(failed(503, 2.0), 1) is None
    assert 0 < LEAST_LEFT < 0.1


def test_a_backoff_of_ones_own() -> None:
    """It doubles from its base, at most to its cap, and to no more than a number can hold."""
    assert [Backoff(3, 20).ceiling(attempt) for attempt in (1, 2, 3, 4, 5)] == [3, 6, 12, 20, 20]
    assert Backoff(1, math.inf).ceiling(10**9) == Backoff(1, math.inf).ceiling(31) == 2.0**30


@pytest.mark.parametrize(
    ("failure", "most", "met", "tries"),
    [
        (failed(503), 0, True, 1),
        (failed(503), 3, True, 4),
        (failed(503), None, True, 200),
        (failed(500), None, True, 5),
        (failed(500), 1, True, 2),
        (UNREACHABLE, None, True, 200),
        (UNREACHABLE, None, False, 3),
        (UNREACHABLE, 1, False, 2),
        (SILENT, None, False, 200),
    ],
)
def test_how_often(failure: errors.ServerError, most: int | None, met: bool, tries: int) -> None:
    """Till the time is up, but for a 500 and for a server that never answered."""
    calm = patience(met=met, most=most)
    assert next((n for n in range(1, 200) if calm.delay(failure, n) is None), 200) == tries


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("Wed, 21 Oct 2015 07:28:09 GMT", 9.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("²", None),
        ("", None),
        ("Wed, 99999999999999999999 Oct 2015 07:28:00 GMT", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("9" * 400, math.inf),
    ],
)
def test_the_header(value: str | None, seconds: float | None) -> None:
    """Seconds or an HTTP date; nonsense is no instruction."""
    assert retry_after_seconds(value, NOW) == seconds


def test_a_restart_of_a_minute_is_survived() -> None:
    """With the default backoff and timeout, tries reach into the last ten seconds whatever the jitter."""
    for random in (0.2, 0.5, 0.9, 0.999):
        spent, tries = 0.0, 0
        while (delay := patience(60 - spent, random).delay(UNREACHABLE, tries + 1)) is not None:
            spent, tries = spent + delay, tries + 1
        assert spent > 50
        assert tries < 60
