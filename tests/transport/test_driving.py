"""What the protocol decides, carried out in order, in time, and so many at once.

Tests of `transport/transport.py` and `transport/pauses.py`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import traceback
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest
from aiohttp.client_proto import ResponseHandler

from qwen3_sglang import Backoff, RerankClient
from qwen3_sglang.errors import (
    InvalidInputError,
    ProtocolError,
    ServerError,
    ServerOverloadedError,
    ServerTimeoutError,
)
from qwen3_sglang.protocol.exchange import Compute, Pause, Request, Steps
from qwen3_sglang.protocol.responses import Response
from qwen3_sglang.transport import pauses
from qwen3_sglang.transport.deadline import Deadline
from qwen3_sglang.transport.strict_async import StrictProtocol
from qwen3_sglang.transport.transport import Transport
from stand_in import seen_by
from ways import Server, Silent

LONG = 60.0  # seconds; no test waits for them to pass


def transport(**options: Any) -> Transport:
    """A client's, of a server that nobody asks."""
    return RerankClient("http://127.0.0.1:1", **options)._transport


def drive(mode: str, carrier: Transport, *several: Steps[Any]) -> list[Any]:
    """Carry them out, whichever way."""
    if mode == "sync":
        return carrier.drive_all(several, Deadline(LONG))
    return asyncio.run(carrier.adrive_all(several))


def returning(work: Callable[[], Any]) -> Steps[Any]:
    """Steps that ask nothing."""
    yield from ()
    return work()


def test_a_single_list_needs_no_thread(mode: str) -> None:
    """Nor a task: it is the usual case."""

    def here() -> object:
        return threading.current_thread() if mode == "sync" else asyncio.current_task()

    async def asked() -> bool:
        return await transport().adrive_all([returning(here)]) == [here()]

    assert drive("sync", transport(), returning(here)) == [here()] if mode == "sync" else asyncio.run(asked())


def test_nothing_to_carry_out(mode: str) -> None:
    """No list, no result."""
    assert drive(mode, transport()) == []


def test_results_are_in_the_lists_order(mode: str) -> None:
    """Though the last one is done first; it is computed in a thread of its own."""
    done = threading.Event()
    found: list[object] = []

    def computing(do: Callable[[], object], result: int) -> Steps[int]:
        yield Compute(lambda: found.append((do(), threading.current_thread())))
        return result

    several = computing(lambda: done.wait(LONG), 1), computing(done.set, 2)
    assert drive(mode, transport(), *several) == [1, 2]
    assert threading.current_thread() not in {thread for _, thread in found}  # type: ignore[misc] # pairs


@pytest.mark.parametrize("most", [1, 2, 3])
def test_so_many_are_under_way_at_once(mode: str, most: int) -> None:
    """As many as max_concurrency says, and no more."""
    lock, under_way, highest = threading.Lock(), 0, 0
    together = threading.Barrier(most)

    def count(by: int) -> None:
        nonlocal under_way, highest
        with lock:
            under_way += by
            highest = max(highest, under_way)

    def counting() -> Steps[None]:
        count(1)
        yield Compute(lambda: together.wait(LONG) and None)
        count(-1)

    drive(mode, transport(max_concurrency=most), *(counting() for _ in range(3 * most)))
    assert highest == most


def test_the_first_failure_is_raised(mode: str) -> None:
    """Alone, without a group around it, and without the frames that it went through."""
    failure = ServerOverloadedError("http://host", "full")

    def failing() -> Steps[None]:
        yield Pause(0.0)
        raise failure

    with pytest.raises(ServerOverloadedError) as caught:
        drive(mode, transport(), failing(), returning(lambda: 1))
    assert caught.value is failure
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(("seconds", "level"), [(0.0, logging.INFO), (0.04, logging.WARNING)])
def test_a_pause_is_told(mode: str, seconds: float, level: int, caplog: pytest.LogCaptureFixture) -> None:
    """A warning where the call waits; nothing where the failure was told before."""
    caplog.set_level(logging.DEBUG, "qwen3_sglang")

    def pausing() -> Steps[int]:
        yield Pause(seconds, ServerError("http://host", "not now"))
        yield Pause(seconds)
        return 1

    assert drive(mode, transport(), pausing()) == [1]
    [record] = caplog.records
    assert record.levelno == level
    assert record.getMessage() == f"http://host: not now: trying again in {seconds:.1f} s"


def test_a_pause_ends_with_its_call() -> None:
    """Stopping the call ends it, as Ctrl-C does."""
    deadline = Deadline(LONG)

    def pausing() -> Steps[int]:
        deadline.stop()
        yield Pause(LONG)
        return 1

    assert transport().drive(pausing(), deadline) == 1


def test_patience_is_the_clients() -> None:
    """As its options say; nobody has answered yet."""
    backoff = Backoff(1, 2)
    patience = transport(max_retries=3, backoff=backoff).patience(Deadline(LONG))
    assert (patience.max_retries, patience.backoff, patience.met()) == (3, backoff, False)
    assert 0 < patience.left() <= LONG
    assert 0 <= patience.random() < 1


def within(work: Coroutine[Any, Any, Any], deadline: Deadline | None, **options: Any) -> Any:
    """Its result, or the error that the call ends with."""
    return asyncio.run(transport(**options).within(work, deadline))


@pytest.mark.parametrize(("deadline", "options"), [(0.01, {}), (None, {"timeout": 0.01})])
def test_async_work_ends_in_time(deadline: float | None, options: dict[str, float]) -> None:
    """At the deadline; where there is none, after `timeout` seconds."""
    until = None if deadline is None else Deadline(deadline)
    with pytest.raises(ServerTimeoutError, match="timeout="):
        within(asyncio.sleep(LONG), until, **options)
    assert within(asyncio.sleep(0, "done"), Deadline(LONG), **options) == "done"


def test_a_timeout_of_the_callers_own_is_its_own() -> None:
    """An on_progress may raise one: nothing says that the server was late."""

    async def work() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine") as caught:
        within(work(), None)
    assert not isinstance(caught.value, ServerTimeoutError)


def test_each_pause_is_waited_for_before_what_follows(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first as well as the others, each as long as it was decided."""
    order: list[object] = []

    async def sleep(seconds: float) -> None:
        order.append(seconds)

    monkeypatch.setattr(pauses, "sleep_using_event", lambda _: order.append)
    seen_by(monkeypatch, pauses, "asyncio", sleep=sleep)

    def pausing() -> Steps[int]:
        for place, seconds in enumerate((3.0, 0.0, 5.0)):
            order.append(f"step {place}")
            yield Pause(seconds)
        order.append("the end")
        return 1

    assert drive(mode, transport(), pausing()) == [1]
    assert order == ["step 0", 3.0, "step 1", 0.0, "step 2", 5.0, "the end"]


def test_of_two_failures_the_first_is_raised() -> None:
    """Both lists fail in the same turn of the loop."""

    def fail(name: str) -> None:
        raise LookupError(name)

    with pytest.raises(LookupError, match="first"):
        drive("async", transport(), *(returning(partial(fail, name)) for name in ("first", "second")))


def test_a_listener_that_cancels_the_task_it_runs_in() -> None:
    """Ends the call as a cancelled one: not every list has a result."""

    def cancelling() -> Steps[None]:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        yield Compute(lambda: None)

    with pytest.raises(asyncio.CancelledError):
        drive("async", transport(), cancelling(), returning(lambda: 1))


@pytest.mark.parametrize("lists", [1, 2])
def test_what_is_computed_ends_in_time(lists: int) -> None:
    """A thread that only computes is left behind."""
    over = threading.Event()

    def computing() -> Steps[None]:
        yield Compute(lambda: over.wait(LONG) and None)

    with pytest.raises(ServerTimeoutError, match="timeout="):
        transport().drive_all([computing() for _ in range(lists)], Deadline(0.01))
    over.set()


def test_no_failure_leaves_with_the_key(mode: str) -> None:
    """What the protocol decides on may hold the server's words, and they the key."""

    def fail() -> None:
        raise ServerOverloadedError("http://host", "sk-secret-1 is full")

    with pytest.raises(ServerOverloadedError) as caught:
        drive(mode, transport(api_key="sk-secret-1"), returning(fail))
    assert "is full" in str(caught.value)
    assert "sk-secret-1" not in "".join(traceback.format_exception_only(caught.value))


def sent(mode: str, carrier: Transport, request: Request) -> Response | ServerError:
    """What the protocol is told of it."""
    if mode == "sync":
        return carrier._send(request, Deadline(LONG))

    async def ask() -> Response | ServerError:
        try:
            return await carrier.within(carrier._asend(request))
        finally:
            await carrier.aclose()

    return asyncio.run(ask())


def test_an_answer_that_is_too_long_is_told_to_the_protocol(
    mode: str, origin: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a value: it decides what to do about it."""
    monkeypatch.setattr(Request, "limit", 3)
    carrier = RerankClient(origin.url)._transport
    assert isinstance(sent(mode, carrier, Request("/v1/classify", b"{}")), ProtocolError)
    carrier.close()


def test_a_request_may_have_less_time_than_its_call(mode: str) -> None:
    """The protocol is told that it was too long, and goes on. Nobody takes the connection, or need do so."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        carrier = RerankClient(f"http://127.0.0.1:{server.getsockname()[1]}")._transport
        assert isinstance(sent(mode, carrier, Request("/v1/classify", b"{}", seconds=0.01)), ServerError)
        carrier.close()


def test_a_connection_is_listened_to_once_before_each_request(origin: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is made, or when it is taken from the idle ones; one that speaks gets no request."""
    asked, said = list[bool](), [False]

    def spoke(_: StrictProtocol) -> bool:
        asked.append(said[0])
        return asked[-1]

    monkeypatch.setattr(StrictProtocol, "spoke", spoke)
    carrier, request = RerankClient(origin.url)._transport, Request("/v1/classify", b"{}")

    async def ask() -> list[object]:
        found: list[object] = []
        for _ in range(3):
            found.append(await carrier._asend(request))
            found.append(len(asked))
        said[:] = [True]
        found.append(await carrier._asend(request))
        await carrier.aclose()
        return found

    *answers, last = asyncio.run(carrier.within(ask()))
    assert answers[1::2] == [1, 2, 3]
    assert all(isinstance(answer, Response) for answer in answers[::2])
    assert isinstance(last, ServerError)
    assert "before it was asked for" in str(last)
    assert len(origin.seen) == 3


def test_that_a_server_has_answered_is_known_from_then_on(mode: str, origin: Server) -> None:
    """Before that it may still be starting."""
    carrier = RerankClient(origin.url)._transport
    patience = carrier.patience(Deadline(LONG))
    assert not patience.met()
    assert isinstance(sent(mode, carrier, Request("/v1/classify", b"{}")), Response)
    assert patience.met()
    carrier.close()


def test_what_is_wrong_on_this_side_is_no_failure_of_the_server(origin: Server) -> None:
    """An aiohttp whose connections can't be guarded: no request is sent again for that."""
    carrier = RerankClient(origin.url)._transport

    async def ask() -> None:
        connector: Any = carrier._loop().session.connector
        connector._factory = lambda: ResponseHandler(asyncio.get_running_loop())
        try:
            await carrier.within(carrier._asend(Request("/v1/classify", b"{}")))
        finally:
            await carrier.aclose()

    with pytest.raises(InvalidInputError, match="aiohttp"):
        asyncio.run(ask())
    assert origin.seen == []


def frames(error: BaseException | None) -> list[str]:
    """The functions that it went through."""
    return [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__ if error else None)]


def test_ctrl_c_leaves_without_frames_that_hold_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that logs its end would log their variables too."""

    def interrupted(*_: object) -> Response:
        raise KeyboardInterrupt from ValueError("its cause")

    carrier = transport()
    monkeypatch.setattr(carrier, "_exchange", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        carrier._send(Request("/v1/classify", b"{}"), Deadline(LONG))
    assert "interrupted" not in frames(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert carrier._slots.waiting == 0


def test_a_cancelled_call_leaves_without_frames_that_hold_the_key(silent: Silent) -> None:
    """Those of aiohttp have the headers among their variables."""
    carrier = RerankClient(silent.url)._transport
    found: list[BaseException] = []

    async def ask() -> None:
        try:
            await carrier._asend(Request("/v1/classify", b"{}"))
        except asyncio.CancelledError as error:
            found.append(error)

    async def cancel() -> None:
        task = asyncio.create_task(ask())
        await asyncio.to_thread(silent.asked.wait, LONG)
        task.cancel()
        await task
        await carrier.aclose()

    asyncio.run(cancel())
    assert frames(found[0]) == ["ask", "_asend"]
