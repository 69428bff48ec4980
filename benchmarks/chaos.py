"""Is anything lost when real workers are killed, restarted, overloaded or stopped under load?

    python benchmarks/chaos.py --sglang VENV --smg VENV

Two real SGLang workers on the CPU serve the converted toy, behind SMG; then one of them alone. The counts are the
result, the times are not: 0 calls lost and 0 wrong scores is what is promised, and the exit status says whether it
was kept. The retries say that there was something to survive.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import requests

from qwen3_sglang import RerankClient, RerankResult
from qwen3_sglang.convert import convert
from qwen3_sglang.retry import Backoff
from qwen3_sglang.toy import build_toy

DOCUMENTS = 16
LISTS = 20
TOLERANCE = 0.002  # bfloat16: what a list is batched with moved no score by 0.00005 in 240 calls
START_SECONDS = 300
Mode = Callable[[RerankClient, int, "Tally"], None]
TOPICS = ["capital of China", "gravity", "tea", "rivers", "Beijing", "force", "drinks", "sea", "countries", "bodies"]


@dataclass
class Worker:
    """One SGLang server, on a port of its own across restarts."""

    venv: Path
    model: Path
    log: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, *flags: str) -> None:
        """Start it and don't wait."""
        command = [str(self.venv / "bin/python"), "-m", "sglang.launch_server", "--model-path", str(self.model)]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--device", "cpu"]
        command += ["--attention-backend", "torch_native", "--mem-fraction-static", "0.1", *flags]
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(command, stdout=sink, stderr=sink, start_new_session=True)

    def terminate(self) -> None:
        """Ask the server to stop, as a deployment does."""
        assert self.process is not None
        self.process.terminate()

    def stop(self) -> None:
        """Kill what there is of it."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@dataclass
class Tally:
    """What became of the calls."""

    truth: list[list[float]]
    done: int = 0
    lost: list[str] = field(default_factory=list)
    wrong: int = 0
    furthest: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, place: int, results: list[RerankResult] | Exception) -> None:
        """One call that ended."""
        with self.lock:
            self.done += 1
            if isinstance(results, Exception):
                self.lost.append(f"{type(results).__name__}: {results}")
                return
            expected = self.truth[place % LISTS]
            if sorted(result.index for result in results) != list(range(len(expected))):
                self.lost.append("documents are missing")
                return
            off = max(abs(result.score - expected[result.index]) for result in results)
            self.wrong += not off <= TOLERANCE  # so that NaN is wrong
            self.furthest = max(self.furthest, off)


class Waits(Backoff):
    """The client's own backoff, which counts how often it is asked: once before whatever is sent again."""

    count = 0

    def ceiling(self, attempt: int) -> float:
        """As always."""
        Waits.count += 1
        return super().ceiling(attempt)


class Chaos:
    """The servers, and what is done to them.

    Attributes:
        failed: scenarios that broke the promise.
    """

    def __init__(self, options: argparse.Namespace, workers: list[Worker], gateway: str) -> None:
        self.options = options
        self.workers = workers
        self.gateway = gateway
        self.lone = workers[0].url
        self.truth = _truth(self.lone)
        self.failed = 0

    def killed_gateway(self) -> None:
        """One of two workers is killed and restarted."""
        self._both("killed and restarted, behind the gateway", self.gateway, lambda: _restart(self.workers[0]))

    def killed_alone(self) -> None:
        """The only worker is killed and restarted: until it is back, nobody answers."""
        self._both("killed and restarted, alone", self.lone, lambda: _restart(self.workers[0]))

    def overloaded(self) -> None:
        """Lists of 16 for queues of 4, which the workers keep: nothing comes after this."""
        for worker in self.workers:
            worker.stop()
            worker.start("--max-queued-requests", "4")
        self._both("overloaded, alone", self.lone)
        self._both("overloaded, behind the gateway", self.gateway)

    def stopped(self) -> None:
        """One of two workers is asked to stop, as a deployment does."""
        for mode in (_threads, _tasks):
            worker = self.workers[0]
            self._one("stopped by SIGTERM, behind the gateway", mode, self.gateway, worker.terminate)
            worker.stop()
            worker.start()

    def _both(self, what: str, url: str, disturb: Callable[[], None] = lambda: None) -> None:
        for mode in (_threads, _tasks):
            self._one(what, mode, url, disturb)

    def _one(self, what: str, mode: Mode, url: str, disturb: Callable[[], None]) -> None:
        _wait_for_all(self.gateway, self.workers)
        tally, began, Waits.count = Tally(self.truth), time.monotonic(), 0
        client = RerankClient(url, timeout=self.options.timeout, backoff=Waits())
        with ThreadPoolExecutor(1) as pool:
            disturbed = pool.submit(_after, tally, self.options.calls // 5, disturb)
            mode(client, self.options.calls, tally)
            disturbed.result()
        client.close()
        self.failed += bool(tally.lost or tally.wrong)
        print(
            f"{what}, {mode.__name__.strip('_')}: {tally.done} calls of {DOCUMENTS}, lost {len(tally.lost)}, "
            f"wrong {tally.wrong} (furthest off {tally.furthest:.4f}), {Waits.count} retries, "
            f"{time.monotonic() - began:.0f} s",
            *sorted(set(tally.lost))[:3],
            sep="\n    ",
            flush=True,
        )


SCENARIOS = {
    "killed-gateway": Chaos.killed_gateway,
    "killed-alone": Chaos.killed_alone,
    "stopped": Chaos.stopped,
    "overloaded": Chaos.overloaded,
}


def main() -> None:
    """Every scenario, from threads and from async tasks."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no server outlives the script
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        logs = options.logs or Path(folder)
        build_toy(Path(folder, "toy"))
        model = convert(Path(folder, "toy"), Path(folder, "model"), verify=False)
        workers = [Worker(options.sglang, model, logs / f"worker{n}.log", _free_port()) for n in range(2)]
        for worker in workers:
            stack.callback(worker.stop)
            worker.start()
        for worker in workers:
            _wait(f"{worker.url}/health")
        gateway = stack.enter_context(_gateway(options.smg, workers, logs / "smg.log"))
        chaos = Chaos(options, workers, gateway)
        print(f"{_telling(chaos.truth):.0%} of the pairs of documents of a list differ by more than {TOLERANCE}")
        for name, scenario in SCENARIOS.items():
            if name in (options.only or SCENARIOS):
                scenario(chaos)
    sys.exit(bool(chaos.failed))


def _threads(client: RerankClient, calls: int, tally: Tally) -> None:
    def call(place: int) -> None:
        try:
            tally.count(place, client.rerank(*_question(place)))
        except Exception as error:  # whatever it is, that call is lost
            tally.count(place, error)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(calls)))


def _tasks(client: RerankClient, calls: int, tally: Tally) -> None:
    async def work(places: Iterator[int]) -> None:
        for place in places:
            try:
                tally.count(place, await client.arerank(*_question(place)))
            except Exception as error:  # whatever it is, that call is lost
                tally.count(place, error)

    async def run() -> None:
        places = iter(range(calls))
        await asyncio.gather(*(work(places) for _ in range(64)))
        await client.aclose()

    asyncio.run(run())


def _after(tally: Tally, calls: int, disturb: Callable[[], None]) -> None:
    while tally.done < calls:
        time.sleep(0.01)
    disturb()


def _restart(worker: Worker) -> None:
    worker.stop()
    worker.start()


def _question(place: int) -> tuple[str, list[str]]:
    number = place % LISTS
    topic = TOPICS[number % len(TOPICS)]
    others = [TOPICS[(number + step) % len(TOPICS)] for step in range(DOCUMENTS)]
    return f"What about {topic}?", [f"Number {number} {n}: something about {other}." for n, other in enumerate(others)]


def _truth(url: str) -> list[list[float]]:
    with RerankClient(url) as client:
        return [client.score(*_question(place)) for place in range(LISTS)]


def _telling(truth: list[list[float]]) -> float:
    """The share of swapped scores that would be noticed."""
    pairs = [abs(a - b) > TOLERANCE for scores in truth for a, b in combinations(scores, 2)]
    return sum(pairs) / len(pairs)


@contextmanager
def _gateway(venv: Path, workers: list[Worker], log: Path) -> Iterator[str]:
    port = _free_port()
    command = [str(venv / "bin/smg"), "launch", "--host", "127.0.0.1", "--port", str(port), "--policy", "round_robin"]
    command += ["--worker-urls", *(worker.url for worker in workers)]
    command += ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(_free_port())]
    command += ["--health-check-interval-secs", "2", "--health-failure-threshold", "2"]
    command += ["--health-success-threshold", "1", "--cb-timeout-duration-secs", "5"]
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, start_new_session=True)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for_all(gateway: str, workers: list[Worker]) -> None:
    for worker in workers:
        _wait(f"{worker.url}/health")
    _wait(f"{gateway}/readiness", healthy=len(workers))  # 200 as soon as there is one


def _wait(url: str, healthy: int | None = None) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with suppress(requests.RequestException):
            answer = requests.get(url, timeout=5)
            if answer.status_code == 200 and (healthy is None or answer.json()["healthy_workers"] == healthy):
                return
        time.sleep(0.5)
    raise SystemExit(f"{url} did not come up within {START_SECONDS} s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sglang = os.environ.get("SGLANG_CPU_VENV", "~/.cache/qwen3-sglang/sglang-cpu")
    parser.add_argument("--sglang", type=lambda p: Path(p).expanduser(), default=Path(sglang).expanduser())
    parser.add_argument("--smg", type=lambda p: Path(p).expanduser(), default=os.environ.get("SMG_VENV"))
    parser.add_argument("--calls", type=int, default=500, help="reranks of 16 documents in each scenario")
    parser.add_argument("--timeout", type=float, default=300, help="of each call, in seconds")
    parser.add_argument("--only", choices=SCENARIOS, nargs="+", help="no other scenarios")
    parser.add_argument("--logs", type=Path, help="an existing folder for the servers' logs; without it they are lost")
    options = parser.parse_args()
    if options.smg is None:
        parser.error("pass --smg, or set SMG_VENV: the venv with the gateway (pip install smg)")
    return options


if __name__ == "__main__":
    main()
