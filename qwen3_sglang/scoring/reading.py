"""Arguments read within the time of their call, however large they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from qwen3_sglang.errors import ServerTimeoutError
from qwen3_sglang.protocol.exchange import computed
from qwen3_sglang.scoring.aside import MUCH
from qwen3_sglang.transport.deadline import Deadline
from qwen3_sglang.transport.threads import in_thread
from qwen3_sglang.transport.transport import Transport

T = TypeVar("T")
Late = Callable[[ServerTimeoutError], T]


class Reading:
    """Reads large arguments in a thread, which is left behind when the call's time is over.

    Both methods return what was read, and when the call must end: None where its time hasn't begun, since there was
    little to read. They raise what `read` raises, and ServerTimeoutError unless `late` makes something of it.
    """

    def __init__(self, transport: Transport, timeout: float) -> None:
        """`timeout`: seconds that a call may take."""
        self._transport = transport
        self._timeout = timeout

    def read(self, read: Callable[[], T], size: int, late: Late[T] | None = None) -> tuple[T, Deadline | None]:
        """Arguments of that `size`. Raises: see the class."""
        if size <= MUCH:
            return read(), None
        deadline = Deadline(self._timeout)
        try:
            return self._transport.drive(computed(read), deadline), deadline
        except ServerTimeoutError as failure:
            return _made(late, failure), deadline

    async def aread(self, read: Callable[[], T], size: int, late: Late[T] | None = None) -> tuple[T, Deadline | None]:
        """`read` beside the running event loop. Raises: see the class."""
        if size <= MUCH:
            return read(), None
        deadline = Deadline(self._timeout)
        try:
            return await self._transport.within(in_thread(read), deadline), deadline
        except ServerTimeoutError as failure:
            return _made(late, failure), deadline


def _made(late: Late[T] | None, failure: ServerTimeoutError) -> T:
    if late is None:
        raise failure
    return late(failure)
