"""What an error says on the command line."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qwen3_sglang import ConversionError, InvalidInputError, ServerTimeoutError, ServerUnreachableError
from qwen3_sglang.cli.app import COMMANDS, load
from qwen3_sglang.cli.failures import FLAGS, explain, in_words

URL = "http://gpu:30000"


@pytest.mark.parametrize(
    ("library", "command"),
    [
        ("raise timeout= or send fewer", "raise --timeout or send fewer"),
        ("within timeout=60 s", "within --timeout 60 s"),
        ("api_key is sent under that name (api_key_header=)", "--api-key is sent under that name"),
        ("no connection within connect_timeout=10 s; is base_url right?", "no connection within 10 s; is --url right?"),
        ("pass its CA's file as verify=", "pass its CA's file as the environment variable REQUESTS_CA_BUNDLE"),
        ("name another folder, or use force to replace it", "name another folder, or use --force to replace it"),
        ("so force won't replace it", "so --force won't replace it"),
        ("pass another --port", "pass another --port"),
        ("pass an integer of at least 1, or None to keep all", "pass an integer of at least 1, or leave it out"),
        ("pass a share above 0 and up to 1, or None", "pass a share above 0 and up to 1, or leave it out"),
        ("http://x/?timeout=3 said model=", "http://x/?timeout=3 said --model"),
        ("no timeout, no model, no force of habit", "no timeout, no model, no force of habit"),
    ],
)
def test_arguments_become_options(library: str, command: str) -> None:
    """Where they are written as arguments, and nowhere else."""
    assert in_words(library) == command


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InvalidInputError("base_url", "x", "pass scheme"), "--url 'x': pass scheme"),
        (InvalidInputError("headers", "a", "leave it out"), "--header 'a': leave it out"),
        (InvalidInputError("top_n", 0, "pass 1"), "--top-n 0: pass 1"),
        (InvalidInputError("context-length", 5, "leave it out"), "--context-length 5: leave it out"),
        (InvalidInputError("target_recall", 95, "pass a share"), "--target-recall 95: pass a share"),
        (InvalidInputError("line 3", "{", "isn't JSON"), "line 3 '{': isn't JSON"),
        (InvalidInputError("port.low", 0, "pass 1"), "port.low 0: pass 1"),
        (InvalidInputError("FILE", "x" * 78, "no"), f"FILE '{'x' * 78}': no"),
        (InvalidInputError("FILE", "x" * 79, "no"), f"FILE '{'x' * 78}…: no"),
        (OSError("no number"), "the system: no number: see what the system says"),
        (OSError(errno.EACCES, "denied"), "the system: denied: permission is missing; name a place that you may use"),
        (
            UnicodeEncodeError("ascii", "é", 0, 1, "x"),
            "the terminal's encoding, ascii, lacks a character; set PYTHONUTF8=1",
        ),
        (ServerTimeoutError(URL, "raise timeout="), f"{URL}: raise --timeout"),
        (ConversionError("[bold]x: use force"), r"\[bold]x: use --force"),
    ],
)
def test_the_librarys_errors(error: Exception, line: str) -> None:
    """One line each, whose brackets are no markup."""
    assert explain(error) == line


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_its_flag(command: str) -> None:
    """A message that names it by its Python name is written as the user wrote it."""
    options = {word for one in load(command).params for word in one.opts if word.startswith("--")}
    assert options <= {*FLAGS.values(), "--verify", "--verbose", "--help"}


def test_a_server_that_refuses_is_answered_with_how_to_start_one() -> None:
    """Only where nothing listens."""
    refused = ServerUnreachableError(URL, "no answer ([Errno 111] Connection refused)")
    assert "qwen3-sglang serve" in (explain(refused) or "")
    proxied = "no answer (refused); the environment names the proxy p:1: is that right? NO_PROXY lists hosts"
    for other in ("unknown host", proxied):
        assert "qwen3-sglang serve" not in (explain(ServerUnreachableError(URL, other)) or "")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EADDRINUSE, "another --port"),
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "quota is used up"),
        (errno.ENOTDIR, "a part of that path is a file"),
        (errno.EROFS, "read-only"),
        (errno.EISDIR, "is a folder"),
        (errno.EACCES, "permission"),
        (errno.EIO, "Input/output"),
    ],
)
def test_the_systems_errors_are_one_line(number: int, remedy: str) -> None:
    """With the path, where there is one."""
    line = explain(OSError(number, os.strerror(number), "/some/where"))
    assert line is not None
    assert line.startswith("/some/where: ")
    assert remedy in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Exception("Error while serializing: I/O error: No space left on device (os error 28)"), "disk is full"),
        (RuntimeError("File too large (os error 27)"), "ulimit"),
        (MemoryError(), "memory ran out"),
        (RuntimeError("Could not determine home directory."), "set HOME"),
    ],
)
def test_what_others_raise_in_the_systems_place(error: Exception, said: str) -> None:
    """safetensors and tokenizers have classes of their own for a full disk; pathlib for a missing home."""
    assert said in (explain(error) or "")


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    """It is nothing that a user can mend."""
    assert explain(KeyError("x")) is None


def main(*arguments: str, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a process."""
    command = [sys.executable, "-c", "from qwen3_sglang.cli.app import main; main()", *arguments]
    return subprocess.run(
        command, input=text, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


def test_a_terminal_that_lacks_a_character(server: object) -> None:
    """ASCII, for example: the way out is named, and there is no traceback."""
    url = server.url  # type: ignore[attr-defined] # tests' own server
    said = main("rerank", "q", "--url", url, "--json", text="Straße p=0.4", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert said.returncode == 1
    assert "PYTHONUTF8=1" in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("file", ["folder", "missing"])
def test_a_file_that_is_none(tmp_path: Path, file: str) -> None:
    """A folder, or nothing."""
    (tmp_path / "folder").mkdir()
    said = main("rerank", "q", str(tmp_path / file))
    assert said.returncode == 1
    [line] = said.stderr.splitlines()
    assert "pass a readable UTF-8 file" in line
