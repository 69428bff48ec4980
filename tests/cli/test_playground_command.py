"""`qwen3-sglang playground`, as a process.

Tests of `cli/playground.py`.
"""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading

import requests
from typer.testing import CliRunner

from fake_server import FakeServer
from qwen3_sglang import InvalidInputError
from qwen3_sglang.cli.app import app


def test_serves_until_ctrl_c(server: FakeServer) -> None:
    """Says where; the page and its API are there; the key goes to the server, and isn't printed."""
    # A shell starts what it puts into the background with SIGINT ignored, and so would this process then.
    reset = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code = reset + "from qwen3_sglang.cli.app import main; main()"
    command = [sys.executable, "-c", code, "playground", "--url", server.url, "--api-key", "made-up", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            line = process.stdout.readline()
            [address] = re.findall(r"http://127\.0\.0\.1:\d+", line)
            ask = {"query": "q", "documents": ["p=0.25"]}
            said = requests.post(f"{address}/playground/api/rerank", json=ask, timeout=30).json()
            assert said["results"][0]["score"] == 0.25
            assert "playground" in requests.get(address, timeout=30).text
            assert ("/v1/classify", "Bearer made-up") in server.asked
        finally:
            process.send_signal(signal.SIGINT)
            kill = threading.Timer(30, process.kill)  # so that a test that fails ends
            kill.start()
        rest = process.communicate()[0]
        kill.cancel()
    assert process.returncode == 130
    assert "made-up" not in line + rest


def test_a_taken_port_says_what_to_do() -> None:
    """One line, with the option."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = CliRunner().invoke(app, ["playground", "--port", str(taken.getsockname()[1])])
    assert isinstance(said.exception, InvalidInputError)
    assert "--port" in str(said.exception)
