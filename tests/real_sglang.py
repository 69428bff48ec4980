"""Real SGLang on the CPU, alone or behind its gateway, for the contract suite and for recording cassettes."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

import pytest
import requests

VENV = Path(os.environ.get("SGLANG_CPU_VENV", "~/.cache/qwen3-sglang/sglang-cpu")).expanduser()
GATEWAY_VENV = Path(os.environ.get("SMG_VENV", "~/.cache/qwen3-sglang/smg")).expanduser()
START_SECONDS = 600  # a minute where nothing else runs
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PORTS = itertools.cycle(range(20_000 + _WORKER % 12 * 1000, 21_000 + _WORKER % 12 * 1000))


def free_port() -> int:
    """A port that nothing listens on: below those that the system gives away, and of this worker of pytest's alone."""
    for port in itertools.islice(_PORTS, 1000):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("there are no more ports")


@contextmanager
def real_sglang(model: Path, log: Path, *flags: str, port: int | None = None) -> Iterator[str]:
    """Real SGLang on the CPU, from start to the end of its last child."""
    port = port or free_port()
    command = [str(VENV / "bin/python"), "-m", "sglang.launch_server", "--model-path", str(model)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--attention-backend", "torch_native"]
    with running([*command, "--mem-fraction-static", "0.1", *flags], f"http://127.0.0.1:{port}/health", log):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def gateway(model: Path, logs: Path, workers: int = 2) -> Iterator[str]:
    """SGLang's gateway in HTTP mode over so many real SGLang workers, from the last one's start to the end of all."""
    port = free_port()
    command = [str(GATEWAY_VENV / "bin/smg"), "launch", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--policy", "round_robin", "--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port())]
    with ExitStack() as stack:
        urls = [stack.enter_context(real_sglang(model, logs / f"worker-{i}.log")) for i in range(workers)]
        # Not /health: that is 200 before the gateway has any worker.
        ready = f"http://127.0.0.1:{port}/readiness"
        stack.enter_context(running([*command, "--worker-urls", *urls], ready, logs / "gateway.log", workers))
        yield f"http://127.0.0.1:{port}"


@contextmanager
def running(command: list[str], ready: str, log: Path, workers: int | None = None) -> Iterator[None]:
    """The command as a process group, from the moment that `ready` answers 200 (with so many workers)."""
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, start_new_session=True)
        try:
            wait_for(ready, process, log, workers)
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path, workers: int | None = None) -> None:
    """Until the URL answers as it should; the end of the log when it never does."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            answer = requests.get(url, timeout=5)
            if answer.status_code == 200 and (workers is None or answer.json()["total_workers"] == workers):
                return
        except requests.RequestException:
            pass
        time.sleep(0.5)
    pytest.fail(f"{url} was never ready:\n{log.read_text(errors='replace')[-3000:]}")


@cache
def is_installed() -> bool:
    """Whether real SGLang is."""
    return (VENV / "bin/python").exists()


def needs_sglang() -> None:
    """Skip with the remedy where real SGLang isn't installed."""
    if not is_installed():
        pytest.skip(f"no SGLang in {VENV}: run tests/sglang_cpu/install.sh {VENV}")


def needs_gateway() -> None:
    """Skip with the remedy where SGLang or its gateway isn't installed."""
    needs_sglang()
    if not (GATEWAY_VENV / "bin/smg").exists():
        remedy = f"python3 -m venv {GATEWAY_VENV} && {GATEWAY_VENV}/bin/pip install smg==1.13.0"
        pytest.skip(f"no SGLang gateway in {GATEWAY_VENV}: run {remedy}")
