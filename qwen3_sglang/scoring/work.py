"""Work as a generator: it yields what to send, is sent what came of it, and returns the result. No I/O."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar, cast

from msgspec import Struct

from qwen3_sglang import errors
from qwen3_sglang.protocol.exchange import Steps
from qwen3_sglang.transport.deadline import Deadline

T = TypeVar("T")


class Sending(NamedTuple):
    """Lists to send together, and when they must be done."""

    steps: Sequence[Steps[Any]]
    deadline: Deadline


Work = Generator[Sending, list[Any], T]


class Step(Struct, Generic[T], frozen=True):
    """How far work has come.

    Attributes:
        sending: what is to be sent next; None at the end.
        result: what it came to, at the end.
    """

    sending: Sending | None
    result: T | None = None


def begun(work: Work[T]) -> Step[T]:
    """What is to be sent first."""
    return resumed(work, None)


def resumed(work: Work[T], reply: list[Any] | errors.ModelReplacedError | None) -> Step[T]:
    """What is to be sent now that this came of the last sending; or the result."""
    try:
        if isinstance(reply, errors.ModelReplacedError):
            return Step(work.throw(reply))
        return Step(work.send(cast(list[Any], reply)))
    except StopIteration as done:
        return Step(None, done.value)
