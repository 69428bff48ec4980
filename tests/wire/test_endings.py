"""What ends around a call - its client, its loop, its process - leaves a typed error or scores, and no noise.

Tests of `transport/loops.py`, `transport/transport.py`.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from peer import LATER, Asked, peer, right

from qwen3_sglang import RerankClient, errors
from qwen3_sglang.transport.bounds import Bounds
from qwen3_sglang.transport.deadline import Deadline
from qwen3_sglang.transport.strict import StrictAdapter

WANTED = [n / 32 for n in range(1, 20)]
TEXTS = [f"p={p}" for p in WANTED]


def slowly(asked: Asked) -> None:
    """Right, a moment later."""
    LATER.wait(0.01)
    right(asked)


def test_closing_while_other_threads_call() -> None:
    """Calls in flight go on; whatever they meet is typed."""
    with peer(slowly) as server:
        client = RerankClient(server.url, timeout=30, batch_size=2, max_concurrency=4)
        found: list[object] = []

        def call() -> None:
            for _ in range(5):
                try:
                    found.append(client.score("q", TEXTS))
                except errors.Qwen3SGLangError as error:
                    found.append(error)

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            client.close()
            LATER.wait(0.005)
    assert len(found) == 20
    assert all(one == WANTED or isinstance(one, errors.Qwen3SGLangError) for one in found)
    assert WANTED in found


async def test_closing_while_other_tasks_call() -> None:
    """The same in one loop."""
    with peer(slowly) as server:
        client = RerankClient(server.url, timeout=30, batch_size=2, max_concurrency=4)
        calls = [asyncio.create_task(client.ascore("q", TEXTS)) for _ in range(6)]
        for _ in range(10):
            await asyncio.sleep(0.01)
            await client.aclose()
        found = await asyncio.gather(*calls, return_exceptions=True)
        await client.aclose()
    assert all(one == WANTED or isinstance(one, errors.Qwen3SGLangError) for one in found)


def test_a_listener_sees_the_callers_context() -> None:
    """Threads that send carry the caller's context variables."""
    user = contextvars.ContextVar("user", default="nobody")
    user.set("somebody")
    seen: list[str] = []
    with peer(right) as server:
        client = RerankClient(server.url, batch_size=2)
        client.score("q", TEXTS, on_progress=lambda *_: seen.append(user.get()))
    assert set(seen) == {"somebody"}


def run(code: str, url: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """A script in a process of its own."""
    command = [sys.executable, *flags, "-c", code, url]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


AFTER_MAIN = """
import asyncio, sys, threading
from qwen3_sglang import RerankClient
client = RerankClient(sys.argv[1].replace("127.0.0.1", "localhost"), batch_size=1, timeout=20)
def work():
    threading.main_thread().join()
    print(client.score("q", ["p=0.1", "p=0.2"]))
    print(asyncio.run(client.ascore("q", ["p=0.1", "p=0.2"])))
threading.Thread(target=work).start()
"""


def test_a_thread_that_outlives_the_main_thread() -> None:
    """It calls as before, sync and async."""
    with peer(right) as server:
        done = run(AFTER_MAIN, server.url)
    assert (done.stdout, done.stderr) == ("[0.1, 0.2]\n" * 2, "")


LOOPS = """
import asyncio, gc, os, sys
from qwen3_sglang import RerankClient
client = RerankClient(sys.argv[1], batch_size=1)

async def call():
    return await client.ascore("q", ["p=0.1", "p=0.2"])

def run():
    return asyncio.run(call())

def bare():
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(call())
    finally:
        loop.close()

def inside():
    async def work():
        return bare_in_thread()
    return asyncio.run(work())

def bare_in_thread():
    import threading
    found = []
    thread = threading.Thread(target=lambda: found.append(bare()))
    thread.start()
    thread.join()
    return found[0]

def pending():
    loop = asyncio.new_event_loop()
    found = loop.run_until_complete(call())
    task = loop.create_task(call())
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    return found

def llama():
    from llama_index.core.async_utils import asyncio_run
    return asyncio_run(call())

def nested():
    import nest_asyncio
    nest_asyncio.apply()
    return asyncio.run(call())

def sockets():
    paths = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    return sum("socket:" in os.readlink(path) for path in paths if os.path.islink(path))

way = globals()[sys.argv[2]]
assert way() == [0.1, 0.2]
before = sockets()
for _ in range(12):
    assert way() == [0.1, 0.2]
print(sockets() - before, flush=True)
"""


@pytest.mark.parametrize("way", ["run", "bare", "inside", "pending", "llama", "nested"])
def test_loops_that_are_closed_without_ceremony(way: str) -> None:
    """No complaint on stderr, no socket left open, not even where the client is never closed.

    All warnings are shown, but for llama_index and nest_asyncio, which warn themselves. Those keep their loop, and with
    it the connections that the next call takes again.
    """
    keeps = way in {"llama", "nested"}
    flags = () if keeps else ("-W", "default")
    with peer(right) as server:
        command = [sys.executable, *flags, "-c", LOOPS, server.url, way]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.stderr == ""
    assert abs(int(done.stdout)) <= (2 if keeps else 0)


NEVER_CLOSED = """
import asyncio, gc, sys
from qwen3_sglang import RerankClient
client = RerankClient(sys.argv[1])
loop = asyncio.new_event_loop()
print(loop.run_until_complete(client.ascore("q", ["p=0.1"])))
if sys.argv[2:]:
    del loop, client
    gc.collect()
"""


@pytest.mark.parametrize("dropped", [(), ("dropped",)], ids=["kept", "dropped"])
def test_a_loop_that_nobody_closes(dropped: tuple[str, ...]) -> None:
    """Not even where the process ends with it."""
    with peer(right) as server:
        command = [sys.executable, "-c", NEVER_CLOSED, server.url, *dropped]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("[0.1]\n", "")


COLLECTED = """
import asyncio, gc, sys
from qwen3_sglang import RerankClient

async def main():
    for _ in range(3):
        client = RerankClient(sys.argv[1])
        assert await client.ascore("q", ["p=0.1"]) == [0.1]
        del client
        gc.collect()
        await asyncio.sleep(0.05)

asyncio.run(main())
"""


def test_clients_that_are_only_dropped() -> None:
    """Nobody complains where a client goes without being closed, in a loop that goes on."""
    with peer(right) as server:
        done = run(COLLECTED, server.url, "-W", "default")
    assert (done.returncode, done.stderr) == (0, "")


CLOSED_MEANWHILE = """
import asyncio, sys
from qwen3_sglang import RerankClient
client = RerankClient(sys.argv[1], batch_size=1)
ended = []

async def call():
    try:
        await client.ascore("q", ["p=0.1", "p=0.2"])
    except asyncio.CancelledError:
        ended.append("cancelled")
        raise

for size in range(8):
    loop = asyncio.new_event_loop()
    task = loop.create_task(call())
    loop.run_until_complete(asyncio.sleep(0.005 * size))
    loop.close()
print(len(ended), client.score("q", ["p=0.1"]))
"""


def test_a_loop_that_is_closed_while_calls_are_in_flight() -> None:
    """They are cancelled, with all of their lists: no task is left that asyncio complains about."""
    with peer(lambda asked: LATER.wait(0.2) or right(asked)) as server:
        done = run(CLOSED_MEANWHILE, server.url, "-W", "default")
    assert (done.stdout, done.stderr) == ("8 [0.1]\n", "")


async def _ask(client: RerankClient) -> list[float]:
    return await client.ascore("q", TEXTS)


async def _ask_for_much(client: RerankClient) -> list[float]:
    return await client.ascore("q", [*TEXTS, "x" * 2**18])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("call", [_ask, _ask_for_much, RerankClient.aclose])
def test_another_frameworks_loop(call: Callable[[RerankClient], Coroutine[Any, Any, object]]) -> None:
    """Trio's, or none: what is wrong is said, and no coroutine is left that was never awaited."""
    work = call(RerankClient("http://127.0.0.1:1"))
    with pytest.raises(errors.InvalidInputError, match="inside asyncio; under trio, call the sync method in a thread"):
        work.send(None)
    gc.collect()


NESTED = """
import asyncio, sys
import nest_asyncio
from qwen3_sglang import RerankClient

nest_asyncio.apply()
client = RerankClient(sys.argv[1], batch_size=1, timeout=20)
wanted = [place / 8 for place in range(1, 8)]
texts = [f"p={p}" for p in wanted]
told = []

def listener(done, total):
    asyncio.run(client.ascore("another", texts[:2]))
    told.append(done)

print(asyncio.run(client.ascore("q", texts, on_progress=listener)) == wanted, len(told))
"""


def test_a_listener_that_calls_again_in_the_same_loop() -> None:
    """As nest_asyncio allows: while the listener runs the loop, other lists of its own call come back."""
    with peer(right) as server:
        done = run(NESTED, server.url)
    assert (done.stdout, done.stderr) == ("True 7\n", "")


def test_a_call_that_is_stopped_while_it_connects() -> None:
    """The connection that nobody takes any more is closed, not left to the garbage collector."""
    with peer(right) as server:
        bounds = Bounds(100, None, deadline=Deadline(5))
        bounds.end()
        with bounds:
            adapter = StrictAdapter()
            pool: Any = adapter.poolmanager.connection_from_url(server.url)
            connection = pool.ConnectionCls("127.0.0.1", pool.port, timeout=5)
            with pytest.raises(TimeoutError) as caught:
                connection.connect()
        opened = next(frame.f_locals["sock"] for frame, _ in traceback.walk_tb(caught.tb) if "sock" in frame.f_locals)
        assert opened.fileno() == -1
