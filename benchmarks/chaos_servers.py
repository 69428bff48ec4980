"""SGLang workers on the CPU and the gateway before them, each started, killed and waited for on its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import requests

START_SECONDS = 300


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
        # Small, and with room for memory that others take meanwhile: both workers start at once.
        command += ["--mem-fraction-static", "0.4", "--max-total-tokens", "131072"]
        command += ["--attention-backend", "torch_native", *flags]
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(command, stdout=sink, stderr=sink, start_new_session=True)

    def wait(self) -> None:
        """Until it answers."""
        wait_for(f"{self.url}/health", process=self.process)

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

    def restart(self, *flags: str) -> None:
        """Kill it and start it again, without a wait."""
        self.stop()
        self.start(*flags)


@contextmanager
def two_workers(venv: Path, model: Path, logs: Path) -> Iterator[list[Worker]]:
    """Two that answer; neither outlives this."""
    workers = [Worker(venv, model, logs / f"worker{n}.log", free_port()) for n in range(2)]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.wait()
        yield workers
    finally:
        for worker in workers:
            worker.stop()


@contextmanager
def smg(venv: Path, workers: Sequence[str], log: Path) -> Iterator[str]:
    """SMG in HTTP mode, told to notice within seconds which of those addresses is gone and which is back: its own."""
    port = free_port()
    command = [str(venv / "bin/smg"), "launch", "--host", "127.0.0.1", "--port", str(port), "--policy", "round_robin"]
    command += ["--worker-urls", *workers]
    command += ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port())]
    command += ["--health-check-interval-secs", "2", "--health-failure-threshold", "2"]
    command += ["--health-success-threshold", "1", "--cb-timeout-duration-secs", "5"]
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, start_new_session=True)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for_all(gateway: str, workers: Sequence[Worker]) -> None:
    """Until each worker answers, and the gateway uses them all."""
    for worker in workers:
        worker.wait()
    wait_for(f"{gateway}/readiness", healthy=len(workers))  # 200 as soon as there is one


def wait_for(url: str, *, healthy: int | None = None, process: subprocess.Popen[bytes] | None = None) -> None:
    """Until it answers 200 (with so many healthy workers).

    Ends the script where that takes too long, or where the process that should answer has ended.
    """
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and (process is None or process.poll() is None):
        with suppress(requests.RequestException):
            answer = requests.get(url, timeout=5)
            if answer.status_code == 200 and (healthy is None or answer.json()["healthy_workers"] == healthy):
                return
        time.sleep(0.5)
    raise SystemExit(f"{url} did not come up; pass --logs DIR to read why")


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
