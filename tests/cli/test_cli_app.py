"""The commands, through the real parser, against a real server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qwen3_sglang import InvalidInputError, ServerUnreachableError
from qwen3_sglang.cli.app import app, read_documents
from qwen3_sglang.local import run_in_thread

TEXTS = "Gravity is a force.\n\nThe capital of China is Beijing.\n"
QUERY = "What is the capital of China?"


@pytest.fixture(scope="module")
def base_url(converted_toy: Path) -> Iterator[str]:
    """The toy behind the embedded server."""
    with run_in_thread(converted_toy, device="cpu", dtype="float32") as url:
        yield url


def test_rerank_from_a_file(base_url: str, tmp_path: Path) -> None:
    """A table, best first."""
    file = tmp_path / "texts.txt"
    file.write_text(TEXTS)
    said = CliRunner().invoke(app, ["rerank", QUERY, str(file), "--url", base_url])
    assert said.exit_code == 0, said.output
    assert said.output.index("Beijing") < said.output.index("Gravity")


def test_rerank_from_standard_input_as_json(base_url: str) -> None:
    """JSON with the input's index and P(yes)."""
    said = CliRunner().invoke(app, ["rerank", QUERY, "--url", base_url, "--json", "--top-n", "1"], input=TEXTS)
    [row] = json.loads(said.stdout)
    assert (row["index"], row["document"]) == (1, "The capital of China is Beijing.")
    assert row["score"] > 0.9


def test_errors_are_one_line_with_the_remedy() -> None:
    """Through the real entry point: no traceback, exit code 1."""
    code = "from qwen3_sglang.cli.app import main; main()"
    command = [sys.executable, "-c", code, "rerank", QUERY, "--url", "http://127.0.0.1:9"]
    run = subprocess.run(command, input=TEXTS, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "base_url" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("text", "documents"),
    [
        ("one\n\n two \n", ["one", " two "]),
        ('{"text": "a"}\n"b"\n', ["a", "b"]),
        ('{"text": "a"}\nnot json', ['{"text": "a"}', "not json"]),
        ("1\n2", ["1", "2"]),
        ('\ufeff{"text": "a"}\n"b"', ["a", "b"]),  # what Windows editors put in front
        ('{"text": "a\u2028b\x85c"}\r\n"d"\r\n', ["a\u2028b\x85c", "d"]),  # no line ends to JSON
        ("9" * 5000 + "\n" + "[" * 100_000, ["9" * 5000, "[" * 100_000]),
        ("", []),
    ],
)
def test_documents_of_a_text(text: str, documents: list[str]) -> None:
    """Lines, or JSONL where every line is."""
    assert read_documents(text) == documents


def test_jsonl_without_the_field_is_refused() -> None:
    """The message names the option to set."""
    with pytest.raises(InvalidInputError, match="--field"):
        read_documents('{"body": "a"}')


def test_check_says_what_to_do() -> None:
    """Nothing listens: exit code 1 and the remedy."""
    said = CliRunner().invoke(app, ["check", "http://127.0.0.1:9"])
    assert said.exit_code == 1
    assert "not usable" in said.output
    assert "base_url" in said.output


def test_check_of_a_usable_server(base_url: str) -> None:
    """Three findings, all well."""
    said = CliRunner().invoke(app, ["check", base_url])
    assert (said.exit_code, said.output.count("ok ")) == (0, 3)


def test_demo_runs_end_to_end() -> None:
    """Toy, convert, serve, rerank, stop."""
    said = CliRunner().invoke(app, ["demo"])
    assert said.exit_code == 0, said.output
    assert said.output.index("Beijing") < said.output.index("Gravity")


@pytest.mark.parametrize("command", ["convert", "serve", "rerank", "check", "evaluate", "playground", "demo"])
def test_help_has_an_example(command: str) -> None:
    """Every command shows how it is called."""
    said = CliRunner().invoke(app, [command, "--help"])
    assert said.exit_code == 0
    assert "Example:" in said.output


def test_unreachable_is_a_connection_error() -> None:
    """So that callers may catch the built-in."""
    assert issubclass(ServerUnreachableError, ConnectionError)
