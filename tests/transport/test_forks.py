"""A client made before a fork works in the child, whatever it was doing; the parent doesn't notice."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from fake_server import FakeServer
from qwen3_sglang import RerankClient

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),  # the fake server's
]
DOCUMENTS = ["p=0.1", "p=0.9"]


def in_child(work: Callable[[], Any]) -> None:
    """Run `work` in a forked child, which is gone afterwards; fails if it does."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def expect_scores(client: RerankClient) -> None:
    """Sync and async."""
    assert client.score("q", DOCUMENTS) == [0.1, 0.9]
    assert asyncio.run(client.ascore("q", DOCUMENTS)) == [0.1, 0.9]


@pytest.mark.parametrize("used", [False, True], ids=["unused", "with open connections"])
def test_parent_and_child_share_no_connection(server: FakeServer, used: bool) -> None:
    """Three processes, one client each, and no connection that two of them write to."""
    client = RerankClient(server.url)
    if used:
        client.score("q", DOCUMENTS)
    before = set(server.ports)

    def work() -> None:
        expect_scores(client)
        in_child(lambda: expect_scores(client))

    in_child(work)
    children = set(server.ports) - before
    assert len(children) >= 4
    assert set(server.ports[: len(before)]) & children == set()
    server.ports.clear()
    expect_scores(client)
    assert set(server.ports) & children == set()


def test_locks_that_were_held_at_the_fork(server: FakeServer) -> None:
    """Another thread's request takes the only slot; in the child there is no such thread to give it back."""
    client = RerankClient(server.url, model="toy", max_length=8192, max_concurrency=1, timeout=20, cache_size=9)
    client.score("q", ["p=0.2"])
    server.barrier = threading.Barrier(2)  # the parent's thread and the child are answered together
    thread = threading.Thread(target=client.score, args=("q", DOCUMENTS))
    thread.start()
    server.arrived.wait(20)
    with client._transport._lock:
        in_child(lambda: expect_score(client))
    thread.join()
    assert client.score("q", DOCUMENTS) == [0.1, 0.9]  # remembered


def expect_score(client: RerankClient) -> None:
    """Sync alone."""
    assert client.score("q", DOCUMENTS) == [0.1, 0.9]


def test_an_event_loop_goes_on_after_a_fork(server: FakeServer) -> None:
    """The child shares the parent's selector: were it to close its copy of a socket, the parent would wait for ever."""
    code = f"""
import asyncio, gc, os, sys
from qwen3_sglang import RerankClient

async def main():
    client = RerankClient({server.url!r}, timeout=10)
    await client.ascore("q", {DOCUMENTS!r})
    child = os.fork()
    if child == 0:
        gc.collect()
        print(client.score("q", {DOCUMENTS!r}), flush=True)
        os._exit(0)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    print(await client.ascore("q", {DOCUMENTS!r}), status, flush=True)
    await client.aclose()

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.splitlines() == ["[0.1, 0.9]", "[0.1, 0.9] 0"], done.stdout + done.stderr


def test_the_interpreters_end_is_quiet() -> None:
    """Nothing of ours on stderr where a script ends by an error while a client lives."""
    code = "from qwen3_sglang import RerankClient as C\nclient = C()\ndef work(own):\n    1 / 0\nwork(C())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr
    assert "ZeroDivisionError" in said
    assert "Exception ignored" not in said
