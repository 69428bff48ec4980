"""Ctrl-C at any place of a call: the next ones work as if it hadn't been."""

from __future__ import annotations

import faulthandler
import gc
import itertools
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ctrl_c import ctrl_c_at, ends
from fake_server import FakeServer
from qwen3_sglang import RerankClient

CALLS = 150
LONGEST = 0.006  # seconds from a call's beginning to Ctrl-C: about what a call takes


@pytest.fixture
def ctrl_c_within() -> Iterator[Callable[[float], object]]:
    """Presses it after so many seconds; 0: not at all."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    # A lock that is never released can't be asked for in vain: better no process than one that hangs.
    faulthandler.dump_traceback_later(120, exit=True, file=sys.__stderr__)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    faulthandler.cancel_dump_traceback_later()


def interrupted(call: Callable[[], Any], within: Callable[[float], object], seconds: float) -> bool:
    """Whether Ctrl-C came before its end."""
    try:
        within(seconds)
        call()
        within(0)
    except KeyboardInterrupt:
        return True
    return False


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Ctrl-C inside a weak reference's end
@pytest.mark.parametrize(("concurrency", "batch_size"), [(1, 32), (1, 1), (3, 1)])
def test_ctrl_c_at_any_place(
    server: FakeServer, ctrl_c_within: Callable[[float], object], concurrency: int, batch_size: int
) -> None:
    """No slot is lost, no thread goes on, and no score is another text's."""
    chance = random.Random(concurrency + batch_size)  # noqa: S311 - any places will do
    client = RerankClient(server.url, timeout=20, max_concurrency=concurrency, batch_size=batch_size)
    came = 0
    for number in range(CALLS):
        texts = [f"{number} p=0.{place}" for place in (1, 2, 3)]
        came += interrupted(lambda texts=texts: client.score("q", texts), ctrl_c_within, chance.uniform(1e-5, LONGEST))  # type: ignore[misc]
        if number % 10 == 0:
            assert client.score("q", [f"after {number} p=0.7"]) == [0.7]
    assert came > CALLS // 20
    assert _ended()
    gc.collect()  # what Ctrl-C left half done may be garbage by now
    assert client._transport._slots.free == concurrency
    assert client.score("q", ["p=0.5"]) == [0.5]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Ctrl-C inside a weak reference's end
@pytest.mark.parametrize("used", [False, True], ids=["new client", "used client"])
def test_ctrl_c_after_each_lock_that_is_taken(server: FakeServer, used: bool) -> None:
    """None that calls share stays locked: neither ours nor one of the libraries below."""
    scores: list[float] = []

    def made() -> RerankClient:
        client = RerankClient(server.url, timeout=20)
        if used:
            client.score("q", ["p=0.25"])
        return client

    client = made()
    for place in itertools.count():
        client = client if used else made()
        if not ctrl_c_at(lambda client=client: client.score("q", ["p=0.5"]), place):  # type: ignore[misc]
            break
        scores.clear()
        assert ends(lambda client=client: scores.extend(client.score("q", ["p=0.75"]))), place  # type: ignore[misc]
        assert scores == [0.75]
    assert place > 2


def _ended() -> bool:
    """Whether no thread of a call is left. One that Ctrl-C kept from being started is enumerated for ever."""
    until = time.monotonic() + 10
    while any(thread.name == "qwen3-sglang" and thread.is_alive() for thread in threading.enumerate()):
        if time.monotonic() > until:
            faulthandler.dump_traceback(all_threads=True)
            return False
        threading.Event().wait(0.01)
    return True
