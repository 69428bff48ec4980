"""The same tests against every server: the embedded one always, real SGLang where its venv is.

The venv is $SGLANG_CPU_VENV, or ~/.cache/qwen3-sglang/sglang-cpu; tests/sglang_cpu/install.sh makes it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests

from qwen3_sglang.local import run_in_thread

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


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """start(kind, model, api_key=None) -> base_url; each server is started once and stopped at the end."""
    running: dict[tuple[str, Path, str | None], str] = {}
    with ExitStack() as stack:

        def start_once(kind: str, model: Path, api_key: str | None = None) -> str:
            at = (kind, model, api_key)
            if at not in running:
                if kind == "embedded":
                    running[at] = stack.enter_context(run_in_thread(model, api_key=api_key))
                else:
                    needs_sglang()
                    flags = ["--api-key", api_key] if api_key else []
                    log = tmp_path_factory.mktemp("sglang") / "log"
                    running[at] = stack.enter_context(real_sglang(model, log, *flags))
            return running[at]

        yield start_once


@pytest.fixture(scope="session", params=["embedded", "sglang"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which server."""
    return str(request.param)


@pytest.fixture(scope="session")
def base_url(start: Callable[..., str], kind: str, converted_toy: Path) -> str:
    """The converted toy behind that server."""
    return start(kind, converted_toy)


@pytest.fixture(scope="session")
def one_label_toy(converted_toy: Path) -> Path:
    """What other converters make: one row, which SGLang's softmax turns into 1.0."""
    from safetensors.torch import load_file, save_file  # noqa: PLC0415 - slow to import

    folder = converted_toy.parent / "one-label"
    shutil.copytree(converted_toy, folder)
    [shard] = [f for f in folder.glob("*.safetensors") if "score.weight" in load_file(f)]
    tensors = load_file(shard)
    save_file({name: t[1:].clone() for name, t in tensors.items()}, shard, {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config |= {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder
