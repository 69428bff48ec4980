"""Servers on the CPU and what stands in front of them, each started, killed and waited for on its own.

SGLang behind its gateway, and embedded servers with multi-item scoring behind HAProxy.
"""

from __future__ import annotations

import csv
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import requests

START_SECONDS = FLUSH_SECONDS = 300
CONFIG = Path(__file__).parents[1] / "examples" / "deploy" / "haproxy.cfg"


@dataclass
class Worker:
    """One server, on a port of its own across restarts."""

    python: Path
    model: Path
    log: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """SGLang's, with flags of the scenario to follow."""
        command = [str(self.python), "-m", "sglang.launch_server", "--model-path", str(self.model)]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--device", "cpu"]
        # Small, and with room for memory that others take meanwhile: both workers start at once.
        command += ["--mem-fraction-static", "0.4", "--max-total-tokens", "131072"]
        return [*command, "--attention-backend", "torch_native"]

    def flush(self) -> None:
        """Empty the prefix cache: a prompt whose start is cached is hardly computed again."""
        flush(self.url)

    def start(self, *flags: str) -> None:
        """Start it and don't wait."""
        with self.log.open("ab") as sink:
            command = [*self.command(), *flags]
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


class Embedded(Worker):
    """The embedded server with multi-item scoring: SGLang's own needs an NVIDIA GPU."""

    def command(self) -> list[str]:
        """`qwen3-sglang serve`."""
        command = [str(self.python), "-m", "qwen3_sglang", "serve", str(self.model), "--engine", "local"]
        command += ["--multi-item", "--device", "cpu", "--dtype", "float32", "--threads", "1"]
        return [*command, "--port", str(self.port)]

    def flush(self) -> None:
        """It keeps nothing from one request to the next."""


@contextmanager
def two_workers(kind: type[Worker], python: Path, model: Path, logs: Path) -> Iterator[list[Worker]]:
    """Two that answer; neither outlives this."""
    workers = [kind(python, model, logs / f"{kind.__name__.lower()}{n}.log", free_port()) for n in range(2)]
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


class Upstream(Protocol):
    """What a balancer needs to know of a server."""

    port: int

    def wait(self) -> None:
        """Until it answers."""


@dataclass
class Balancer:
    """HAProxy with examples/deploy/haproxy.cfg, on a port of its own across restarts."""

    workers: Sequence[Upstream]
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, **settings: str) -> None:
        """Start it, with other settings than the file's."""
        self.stop()
        self._socket.unlink(missing_ok=True)
        more = self.folder / "admin.cfg"  # how it tells which servers it uses
        more.write_text(f"global\n    stats socket {self._socket}\n")
        own = {f"SERVER_{n}": f"127.0.0.1:{worker.port}" for n, worker in enumerate(self.workers, 1)}
        environment = os.environ | own | {"BIND": f"127.0.0.1:{self.port}"} | settings
        program = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "haproxy"
        command = [program, "-db", "-f", str(CONFIG), "-f", str(more)]
        with (self.folder / "haproxy.log").open("ab") as sink:
            self.process = subprocess.Popen(command, env=environment, stdout=sink, stderr=sink)
        self.wait()

    def stop(self) -> None:
        """Kill it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def wait(self) -> None:
        """Until each worker answers, and the balancer uses them all."""
        for worker in self.workers:
            worker.wait()
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            with suppress(OSError):
                if self._up() == len(self.workers):
                    return
            time.sleep(0.2)
        raise SystemExit(f"{self.url} did not find its servers; pass --logs DIR to read why")

    @property
    def _socket(self) -> Path:
        return self.folder / "admin"

    def _up(self) -> int:
        """How many servers passed a check since the last failed one."""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(self._socket))
            admin.sendall(b"show stat\n")
            told = b"".join(iter(lambda: admin.recv(65536), b"")).decode()
        rows = csv.DictReader(told.removeprefix("# ").splitlines())
        return sum(row["pxname"] == "servers" and row["check_status"] == "L7OK" for row in rows)


@contextmanager
def haproxy(workers: Sequence[Upstream], folder: Path) -> Iterator[Balancer]:
    """HAProxy over those servers."""
    balancer = Balancer(workers, folder, free_port())
    try:
        balancer.start()
        yield balancer
    finally:
        balancer.stop()


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


def flush(url: str, seconds: float = FLUSH_SECONDS) -> None:
    """Empty a server's prefix cache. SGLang refuses while a request runs, and a busy machine answers late."""
    until = time.monotonic() + seconds
    said: object = "nothing"
    while time.monotonic() < until:
        try:
            answer = requests.post(f"{url}/flush_cache", timeout=60)
        except requests.RequestException as error:
            said = error
        else:
            if answer.status_code == requests.codes.ok:
                return
            said = f"HTTP {answer.status_code}: {answer.text[:200]}"
        time.sleep(0.5)
    raise SystemExit(f"{url}/flush_cache did not come about within {seconds:g} s ({said}); pass --logs DIR to read why")


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
