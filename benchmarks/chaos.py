"""Is anything lost when real workers are killed, restarted, overloaded or stopped under load?

    python benchmarks/chaos.py --sglang VENV --smg VENV

Two real SGLang workers on the CPU serve the converted toy, behind SMG; then one of them alone. The counts are the
result, the times are not: 0 calls lost and 0 wrong scores is what is promised.
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
from pathlib import Path

import requests

from qwen3_sglang import Qwen3SGLangError, RerankClient, RerankResult
from qwen3_sglang.convert import convert
from qwen3_sglang.toy import build_toy

DOCUMENTS = 16
LISTS = 20
TOLERANCE = 0.02  # the toy's bfloat16, whatever a list is batched with
START_SECONDS = 300
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

    def signal(self, number: int) -> None:
        """To the server alone when it is asked to stop, to all of its processes when it is killed."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            (os.killpg if number == signal.SIGKILL else os.kill)(self.process.pid, number)

    def stop(self) -> None:
        """Kill what is left of it."""
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
            off = max(abs(result.score - expected[result.index]) for result in results)
            self.wrong += off > TOLERANCE
            self.furthest = max(self.furthest, off)


def main() -> None:
    """Every scenario, from threads and from async tasks."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no server outlives the script
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        build_toy(Path(folder, "toy"))
        model = convert(Path(folder, "toy"), Path(folder, "model"), verify=False)
        workers = [Worker(options.sglang, model, Path(folder, f"worker{n}.log"), _free_port()) for n in range(2)]
        for worker in workers:
            stack.callback(worker.stop)
            worker.start()
            _wait(f"{worker.url}/health")
        truth = _truth(workers[0].url)
        lone = workers[0].url
        gateway = stack.enter_context(_gateway(options.smg, workers, Path(folder, "smg.log")))
        _scenarios(options, workers, lone, gateway, truth)


def _scenarios(
    options: argparse.Namespace, workers: list[Worker], lone: str, gateway: str, truth: list[list[float]]
) -> None:
    for mode in (_threads, _tasks):
        _run(
            "killed and restarted, behind the gateway",
            mode,
            options,
            url=gateway,
            truth=truth,
            disturb=lambda: _restart(workers[0]),
        )
        _wait(f"{lone}/health")
    for mode in (_threads, _tasks):
        _run("killed and restarted, alone", mode, options, url=lone, truth=truth, disturb=lambda: _restart(workers[0]))
        _wait(f"{lone}/health")
    for worker in workers:
        worker.stop()
        worker.start("--max-queued-requests", "4")
        _wait(f"{worker.url}/health")
    for mode in (_threads, _tasks):
        _run("overloaded, alone", mode, options, url=lone, truth=truth)
        _run("overloaded, behind the gateway", mode, options, url=gateway, truth=truth)
    for mode in (_threads, _tasks):
        _run(
            "stopped by SIGTERM, behind the gateway",
            mode,
            options,
            url=gateway,
            truth=truth,
            disturb=lambda: _terminate(workers[0]),
        )
        workers[0].stop()
        workers[0].start()
        _wait(f"{workers[0].url}/health")


def _run(
    what: str,
    mode: Callable[[RerankClient, int, Tally], None],
    options: argparse.Namespace,
    *,
    url: str,
    truth: list[list[float]],
    disturb: Callable[[], None] = lambda: None,
) -> None:
    tally, began = Tally(truth), time.monotonic()
    client = RerankClient(url, timeout=options.timeout)
    with ThreadPoolExecutor(1) as pool:
        disturbed = pool.submit(_after, tally, options.calls // 5, disturb)
        mode(client, options.calls, tally)
        disturbed.result()
    client.close()
    print(
        f"{what}, {mode.__name__.strip('_')}: {tally.done} calls of {DOCUMENTS}, lost {len(tally.lost)}, "
        f"wrong {tally.wrong} (furthest off {tally.furthest:.4f}), {time.monotonic() - began:.0f} s",
        *sorted(set(tally.lost))[:3],
        sep="\n    ",
        flush=True,
    )


def _threads(client: RerankClient, calls: int, tally: Tally) -> None:
    def call(place: int) -> None:
        try:
            tally.count(place, client.rerank(*_question(place)))
        except Qwen3SGLangError as error:
            tally.count(place, error)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(calls)))


def _tasks(client: RerankClient, calls: int, tally: Tally) -> None:
    async def work(places: Iterator[int]) -> None:
        for place in places:
            try:
                tally.count(place, await client.arerank(*_question(place)))
            except Qwen3SGLangError as error:
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
    worker.signal(signal.SIGKILL)
    worker.stop()
    worker.start()


def _terminate(worker: Worker) -> None:
    worker.signal(signal.SIGTERM)


def _question(place: int) -> tuple[str, list[str]]:
    number = place % LISTS
    topic = TOPICS[number % len(TOPICS)]
    others = [TOPICS[(number + step) % len(TOPICS)] for step in range(DOCUMENTS)]
    return f"What about {topic}?", [f"Number {number} {n}: something about {other}." for n, other in enumerate(others)]


def _truth(url: str) -> list[list[float]]:
    with RerankClient(url) as client:
        return [client.score(*_question(place)) for place in range(LISTS)]


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
        _wait(f"http://127.0.0.1:{port}/readiness")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(url: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with suppress(requests.RequestException):
            if requests.get(url, timeout=5).status_code == 200:
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
    options = parser.parse_args()
    if options.smg is None:
        parser.error("pass --smg, or set SMG_VENV: the venv with the gateway (pip install smg)")
    return options


if __name__ == "__main__":
    main()
