"""Real SGLang on the CPU, for the contract suite and for recording cassettes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

VENV = Path(os.environ.get("SGLANG_CPU_VENV", "~/.cache/qwen3-sglang/sglang-cpu")).expanduser()
START_SECONDS = 240


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def real_sglang(model: Path, log: Path, *flags: str, port: int | None = None) -> Iterator[str]:
    """Real SGLang on the CPU, from start to the end of its last child."""
    port = port or free_port()
    command = [str(VENV / "bin/python"), "-m", "sglang.launch_server", "--model-path", str(model)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--attention-backend", "torch_native"]
    command += ["--mem-fraction-static", "0.1", *flags]
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, start_new_session=True)
        try:
            wait_for(f"http://127.0.0.1:{port}/health", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until /health answers; the end of the log when it never does."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            if requests.get(url, timeout=5).status_code == 200:
                return
        except requests.RequestException:
            pass
        time.sleep(0.5)
    pytest.fail(f"SGLang did not start:\n{log.read_text(errors='replace')[-3000:]}")


def needs_sglang() -> None:
    """Skip with the remedy where real SGLang isn't installed."""
    if not (VENV / "bin/python").exists():
        pytest.skip(f"no SGLang in {VENV}: run tests/sglang_cpu/install.sh {VENV}")
