"""Where a hub's model doesn't come, the message says why in one line, and what to do. The hub is one on loopback."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from real_sglang import free_port

NAME = "Qwen/Qwen3-Reranker-0.6B"


@contextmanager
def hub(status: int, code: str) -> Iterator[str]:
    """A hub that answers every request with that status and the hub's own error code."""

    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815 - http.server's name

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def convert(endpoint: str, folder: Path, **variables: str) -> str:
    """What `convert` says of a model there. A process of its own: the hub's client reads the address once."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "hf"), **variables}
    command = [sys.executable, "-m", "qwen3_sglang", "convert", NAME, str(folder / "target")]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 1
    assert not (folder / "target").exists()
    [line] = (line for line in ran.stderr.splitlines() if line)
    return line


@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [
        (404, "RepoNotFound", "check the name"),
        (401, "RepoNotFound", "check the name"),  # what the hub answers without a login
        (401, "GatedRepo", "accept the model's terms"),
        (403, "GatedRepo", "accept the model's terms"),
    ],
)
def test_a_hub_that_does_not_give_it(tmp_path: Path, status: int, code: str, remedy: str) -> None:
    with hub(status, code) as endpoint:
        said = convert(endpoint, tmp_path)
    assert said.startswith(f"error {NAME}: ")
    assert endpoint in said
    assert remedy in said


def test_a_hub_that_is_not_there(tmp_path: Path) -> None:
    """The address that was asked, why it doesn't answer, and both ways around it."""
    endpoint = f"http://127.0.0.1:{free_port()}"
    said = convert(endpoint, tmp_path)
    assert f"{endpoint} can't be reached (" in said
    assert "refused" in said
    assert "HF_ENDPOINT" in said
    assert "name its folder" in said


def test_a_hub_that_may_not_be_asked(tmp_path: Path) -> None:
    """The variable that forbids it is named."""
    said = convert("http://127.0.0.1:9", tmp_path, HF_HUB_OFFLINE="1")
    assert "turn off HF_HUB_OFFLINE" in said
    assert "check the network" not in said
