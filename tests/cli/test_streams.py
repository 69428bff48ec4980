"""What becomes of output that nobody takes, or that no encoding has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest

from fake_server import FakeServer

MAIN = "from qwen3_sglang.cli.app import main; main()"


def main(*arguments: str | bytes, text: bytes = b"", out: int | IO[Any] = subprocess.PIPE, **more: Any) -> Any:
    """The command as a process, its output as bytes."""
    command = [sys.executable, "-c", MAIN, *arguments]
    return subprocess.run(command, input=text, stdout=out, stderr=subprocess.PIPE, check=False, timeout=120, **more)


def closed(number: int, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """The command, started as a shell does that was told to close one of its streams."""
    start = ["sh", "-c", f'exec "$@" {number}>&-', "sh", sys.executable, "-c", MAIN, *arguments]
    return subprocess.run(start, capture_output=True, check=False, timeout=120)


@pytest.mark.parametrize("arguments", [["--json"], []], ids=["json", "table"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_closed_streams(server: FakeServer, tmp_path: Path, number: int, arguments: list[str]) -> None:
    """There is nobody to tell it to; the work is done all the same."""
    (tmp_path / "docs.txt").write_text("one p=0.4\ntwo p=0.6\n")
    said = closed(number, "rerank", "q", str(tmp_path / "docs.txt"), "--url", server.url, *arguments)
    assert (said.returncode, said.stderr) == (0, b"")
    assert (b"two" in said.stdout) is (number != 1)


def test_standard_input_that_is_closed(server: FakeServer) -> None:
    """It holds no document."""
    said = closed(0, "rerank", "q", "--url", server.url)
    assert said.returncode == 0
    assert b"no document" in said.stderr


@pytest.mark.parametrize("arguments", [["--json"], []], ids=["json", "table"])
def test_half_of_a_character(server: FakeServer, arguments: list[str]) -> None:
    """JSON can hold one and UTF-8 can't: U+FFFD is printed, as it is sent."""
    text = json.dumps({"text": "one \ud800 p=0.4", "id": "\udfff"}).encode()
    said = main("rerank", "q", "--url", server.url, *arguments, text=text)
    assert (said.returncode, said.stderr) == (0, b"")
    assert "one \ufffd p=0.4" in said.stdout.decode()


def test_a_file_name_that_is_no_text(converted_toy: Path, tmp_path: Path) -> None:
    """Its bytes are printed as they are, whatever the locale."""
    folder = os.path.join(os.fsencode(tmp_path), b"fi\xffle")
    os.symlink(converted_toy, folder)
    environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    said = main("serve", folder, "--print", env=environment)
    assert said.returncode == 0, said.stderr
    assert b"fi\xffle" in said.stdout


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["--help"], ["plan", "--qps", "9", "--documents", "9", "--tokens", "9"]])
def test_a_reader_that_has_gone(arguments: list[str], unbuffered: str) -> None:
    """As `| head` does: no word about it."""
    read, write = os.pipe()
    os.close(read)
    try:
        said = main(*arguments, out=write, env=os.environ | {"PYTHONUNBUFFERED": unbuffered})
    finally:
        os.close(write)
    assert said.stderr == b""


@pytest.mark.parametrize("arguments", [["--help"], ["plan", "--qps", "9", "--documents", "9", "--tokens", "9"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_output_to_a_full_disk(arguments: list[str], unbuffered: str) -> None:
    """One line that says so."""
    with open("/dev/full", "wb") as full:
        said = main(*arguments, out=full, env=os.environ | {"PYTHONUNBUFFERED": unbuffered})
    assert said.returncode == 1
    [line] = said.stderr.decode().splitlines()
    assert "the disk is full" in line


@pytest.mark.parametrize("arguments", [["--help"], ["evaluate", "--help"], ["plan", "--help"]])
def test_narrow_and_without_colour(arguments: list[str]) -> None:
    """40 columns, and no escape codes even where colour is forced by others."""
    said = main(*arguments, env=os.environ | {"COLUMNS": "40", "NO_COLOR": "1", "LC_ALL": "C"})
    assert said.returncode == 0, said.stderr
    assert max(map(len, said.stdout.decode().splitlines())) <= 40
    assert b"\x1b" not in said.stdout
