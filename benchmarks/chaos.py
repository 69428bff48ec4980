"""Is anything lost when real workers are killed, restarted, overloaded or stopped under load?

    python benchmarks/chaos.py --sglang VENV --smg VENV

Two real SGLang workers on the CPU serve the converted toy, behind SMG; then one of them alone. Two embedded servers
with multi-item scoring stand behind HAProxy, with the configuration of examples/deploy. The counts are the result, the
times are not: 0 calls lost and 0 wrong scores is what is promised, and the exit status says whether it was kept. The
retries say that there was something to survive. The calls go on until a killed worker is used again.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path

from chaos_lists import DOCUMENTS, Tally, measure, question
from chaos_servers import Balancer, Embedded, Worker, haproxy, smg, two_workers, wait_for_all

from qwen3_sglang import RerankClient
from qwen3_sglang.convert import convert
from qwen3_sglang.protocol.retry import Backoff
from qwen3_sglang.toy import build_toy

THREADS, TASKS = 8, 64
MULTI_ITEM = "v1/score-multi-item"  # the endpoint of servers with multi-item scoring


class Waits(Backoff):
    """The client's own backoff, which counts how often it is asked: once before whatever is sent again."""

    count = 0

    def ceiling(self, attempt: int) -> float:
        """As always."""
        Waits.count += 1
        return super().ceiling(attempt)


class Places(Iterator[int]):
    """0, 1, 2 and so on until it is enough, for several threads at once."""

    def __init__(self, enough: Callable[[int], bool]) -> None:
        self._numbers = count()
        self._enough = enough

    def __next__(self) -> int:
        """The next one's number."""
        place = next(self._numbers)
        if self._enough(place):
            raise StopIteration
        return place

    def close(self) -> None:
        """It is enough."""
        self._enough = lambda _: True


Mode = Callable[[RerankClient, Places, Tally], None]


class Chaos:
    """The servers, and what is done to them.

    Attributes:
        front: the address of what stands in front of the workers.
        endpoint: the one that is asked.
        ready: waits until everything is used.
        failed: scenarios that broke the promise.
    """

    def __init__(
        self, options: argparse.Namespace, workers: list[Worker], front: str, ready: Callable[[], None], endpoint: str
    ) -> None:
        self.options = options
        self.workers = workers
        self.front = front
        self.lone = workers[0].url
        self.endpoint = endpoint
        self.ready = ready
        ready()
        self.truth = measure(workers, front, endpoint)
        self.truth.check()
        print(self.truth.report(), flush=True)
        self.failed = 0

    def killed_gateway(self) -> None:
        """One of two workers is killed and restarted."""
        self._both("killed and restarted, behind the gateway", self.front, self._kill)

    def killed_alone(self) -> None:
        """The only worker is killed and restarted: until it is back, nobody answers."""
        self._both("killed and restarted, alone", self.lone, self._kill)

    def overloaded(self) -> None:
        """Lists of 16 for queues of 4, which the workers keep: nothing comes after this."""
        for worker in self.workers:
            worker.restart("--max-queued-requests", "4")
        self._both("overloaded, alone", self.lone)
        self._both("overloaded, behind the gateway", self.front)

    def stopped(self) -> None:
        """One of two workers is asked to stop, as a deployment does.

        SGLang may take a list after it has stopped scoring, and never answers it: only `read_timeout` notices.
        """
        for mode in (_threads, _tasks):
            worker = self.workers[0]
            what = f"stopped by SIGTERM, behind the gateway, read_timeout={self.options.read_timeout}"
            self._one(what, mode, self.front, worker.terminate, self.options.read_timeout)
            worker.restart()

    def _both(self, what: str, url: str, disturb: Callable[[], None] = lambda: None) -> None:
        for mode in (_threads, _tasks):
            self._one(what, mode, url, disturb)

    def _kill(self) -> None:
        self.workers[0].restart()
        self.ready()

    def _one(
        self, what: str, mode: Mode, url: str, disturb: Callable[[], None], read_timeout: float | None = None
    ) -> None:
        self.ready()
        tally, began, Waits.count = Tally(self.truth), time.monotonic(), 0
        how = {"timeout": self.options.timeout, "read_timeout": read_timeout, "backoff": Waits()}
        client = RerankClient(url, endpoint=self.endpoint, **how)
        over = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            disturbed = pool.submit(_after, tally, self.options.calls // 5, disturb, over)
            try:
                mode(client, Places(lambda place: place >= self.options.calls and disturbed.done()), tally)
            finally:
                over.set()
            first, last = disturbed.result()
        client.close()
        lasted = f"a worker away from call {first} to {last}, " if last > first else ""
        self.failed += bool(tally.lost or tally.wrong)
        print(
            f"{what}, {mode.__name__.strip('_')}: {tally.done} calls of {DOCUMENTS}, lost {len(tally.lost)}, "
            f"wrong {tally.wrong} (furthest off {tally.furthest:.4f}), {Waits.count} retries, "
            f"{lasted}{time.monotonic() - began:.0f} s",
            *sorted(set(tally.lost))[:3],
            sep="\n    ",
            flush=True,
        )


class BalancedChaos(Chaos):
    """Embedded servers with multi-item scoring behind HAProxy."""

    def __init__(self, options: argparse.Namespace, workers: list[Worker], balancer: Balancer) -> None:
        super().__init__(options, workers, balancer.url, balancer.wait, MULTI_ITEM)
        self.balancer = balancer

    def killed_balancer(self) -> None:
        """One of two servers is killed and restarted."""
        self._both("killed and restarted, behind HAProxy", self.front, self._kill)

    def stopped_balancer(self) -> None:
        """One of two servers is asked to stop, as a deployment does, and restarted."""
        self._both("stopped by SIGTERM and restarted, behind HAProxy", self.front, self._stop)

    def overloaded_balancer(self) -> None:
        """One request per server at a time, and a queue that is left after a fifth of a second."""
        self.balancer.start(SERVER_MAXCONN="1", QUEUE_TIMEOUT="200ms")
        self._both("overloaded, behind HAProxy", self.front)

    def _stop(self) -> None:
        worker = self.workers[0]
        worker.terminate()
        assert worker.process is not None
        worker.process.wait()
        worker.start()
        self.ready()


SCENARIOS = {
    "killed-gateway": Chaos.killed_gateway,
    "killed-alone": Chaos.killed_alone,
    "stopped": Chaos.stopped,
    "overloaded": Chaos.overloaded,
}
BALANCED = {
    "killed-balancer": BalancedChaos.killed_balancer,
    "stopped-balancer": BalancedChaos.stopped_balancer,
    "overloaded-balancer": BalancedChaos.overloaded_balancer,
}


def main() -> None:
    """Every scenario, from threads and from async tasks."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no server outlives the script
    with tempfile.TemporaryDirectory() as folder:
        build_toy(Path(folder, "toy"))
        model = convert(Path(folder, "toy"), Path(folder, "model"), verify=False)
        failed = _run(options, model, options.logs or Path(folder))
    sys.exit(bool(failed))


def _run(options: argparse.Namespace, model: Path, logs: Path) -> int:
    only = options.only or [*SCENARIOS, *BALANCED]
    failed = 0
    if wanted := [scenario for name, scenario in SCENARIOS.items() if name in only]:
        with (
            two_workers(Worker, options.sglang / "bin/python", model, logs) as workers,
            smg(options.smg, [worker.url for worker in workers], logs / "smg.log") as gateway,
        ):
            chaos = Chaos(options, workers, gateway, lambda: wait_for_all(gateway, workers), "v1/classify")
            for scenario in wanted:
                scenario(chaos)
        failed += chaos.failed
    if balanced := [scenario for name, scenario in BALANCED.items() if name in only]:
        with two_workers(Embedded, Path(sys.executable), model, logs) as workers, haproxy(workers, logs) as balancer:
            behind = BalancedChaos(options, workers, balancer)
            for one in balanced:
                one(behind)
        failed += behind.failed
    return failed


def _threads(client: RerankClient, places: Places, tally: Tally) -> None:
    def work(_: int) -> None:
        for place in places:
            try:
                tally.count(place, client.rerank(*question(place)))
            except Exception as error:  # whatever it is, that call is lost
                tally.count(place, error)

    with ThreadPoolExecutor(THREADS) as pool, closing(places):  # so that Ctrl-C ends it
        list(pool.map(work, range(THREADS)))


def _tasks(client: RerankClient, places: Places, tally: Tally) -> None:
    async def work() -> None:
        for place in places:
            try:
                tally.count(place, await client.arerank(*question(place)))
            except Exception as error:  # whatever it is, that call is lost
                tally.count(place, error)

    async def run() -> None:
        await asyncio.gather(*(work() for _ in range(TASKS)))
        await client.aclose()

    asyncio.run(run())


def _after(tally: Tally, calls: int, disturb: Callable[[], None], over: threading.Event) -> tuple[int, int]:
    """How many calls had ended when it began, and when all was whole again; so many calls before it, and after."""
    if not _reached(tally, calls, over):
        return tally.done, tally.done
    first = tally.done
    disturb()
    last = tally.done
    _reached(tally, last + calls, over)
    return first, last


def _reached(tally: Tally, calls: int, over: threading.Event) -> bool:
    while tally.done < calls:
        if over.wait(0.01):  # interrupted before that
            return False
    return True


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sglang = os.environ.get("SGLANG_CPU_VENV", "~/.cache/qwen3-sglang/sglang-cpu")
    parser.add_argument("--sglang", type=lambda p: Path(p).expanduser(), default=Path(sglang).expanduser())
    parser.add_argument("--smg", type=lambda p: Path(p).expanduser(), default=os.environ.get("SMG_VENV"))
    parser.add_argument("--calls", type=int, default=500, help="reranks of 16 documents in each scenario, at least")
    parser.add_argument("--timeout", type=float, default=300, help="of each call, in seconds")
    seconds = "of the client, where a worker is stopped, in seconds; 0 for none"
    parser.add_argument("--read-timeout", type=lambda text: float(text) or None, default=30.0, help=seconds)
    parser.add_argument("--only", choices=[*SCENARIOS, *BALANCED], nargs="+", help="no other scenarios")
    parser.add_argument("--logs", type=Path, help="an existing folder for the servers' logs; without it they are lost")
    options = parser.parse_args()
    if options.smg is None and not set(options.only or SCENARIOS).isdisjoint(SCENARIOS):
        parser.error("pass --smg, or set SMG_VENV: the venv with the gateway (pip install smg)")
    return options


if __name__ == "__main__":
    main()
