"""When to send a request again, and how long to wait first: arithmetic, without a clock or a sleep of its own.

The wait is exponential backoff with full jitter
(https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), on top of the server's Retry-After
(RFC 9110, section 10.2.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from msgspec import Struct

from qwen3_sglang.errors import ServerError, ServerTimeoutError, ServerUnreachableError

RETRIED = frozenset({408, 429, 500, 502, 503, 504})
FIRST_CONTACT_RETRIES = 2  # a server that never answered is more likely a wrong address than one that restarts
FAILURE_RETRIES = 4  # a 500 either passes at once (a gateway lost a worker), or comes from the request and stays
LEAST_LEFT = 0.05  # seconds: too short for any answer
_MOST_DOUBLINGS = 30


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait: before retry n up to base * 2^(n - 1) seconds, but never more than `cap`.

    Once it takes long, the defaults wait about 4 s between two tries. A server that restarts takes 10 to 60 s: that
    is seldom enough not to load it, and often enough to notice within seconds that it is back.
    """

    base: float = 0.5
    cap: float = 8.0

    def ceiling(self, attempt: int) -> float:
        """The longest wait after the given number of attempts, in seconds."""
        return min(self.cap, self.base * 2.0 ** min(attempt - 1, _MOST_DOUBLINGS))


DEFAULT_BACKOFF = Backoff()


class Patience(Struct, frozen=True):
    """What the decision to try again depends on.

    Attributes:
        left: seconds that the call has left.
        random: a number in [0, 1).
        met: whether the server has ever answered.
        max_retries: retries of one request at most; None: while time is left.
        backoff: how long to wait.
    """

    left: Callable[[], float]
    random: Callable[[], float]
    met: Callable[[], bool]
    max_retries: int | None = None
    backoff: Backoff = DEFAULT_BACKOFF

    def delay(self, failure: ServerError, attempt: int) -> float | None:
        """Seconds to wait before the next try after `attempt` tries; None to give up."""
        if not is_transient(failure) or attempt > self._most(failure):
            return None
        return self.pause(attempt, failure.retry_after)

    def pause(self, attempt: int, retry_after: float | None = None) -> float | None:
        """Seconds to wait after `attempt` refusals; None where the call ends before."""
        least = retry_after or 0.0
        room = self.left() - least
        if room < LEAST_LEFT:
            return None
        return least + self.random() * min(self.backoff.ceiling(attempt), room)

    def _most(self, failure: ServerError) -> float:
        most = math.inf if self.max_retries is None else self.max_retries
        if isinstance(failure, ServerUnreachableError) and not self.met():
            return min(most, FIRST_CONTACT_RETRIES)
        return min(most, FAILURE_RETRIES) if failure.status == 500 else most  # noqa: PLR2004 - as in the constant's comment


def is_transient(failure: ServerError) -> bool:
    """Whether the same request may succeed a little later."""
    return isinstance(failure, (ServerUnreachableError, ServerTimeoutError)) or failure.status in RETRIED


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """The seconds that a Retry-After header asks for, as a number or an HTTP date; None if it says nothing usable.

    Args:
        value: the header; None where there is none.
        now: seconds since the epoch.
    """
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None
