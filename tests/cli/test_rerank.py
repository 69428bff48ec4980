"""`qwen3-sglang rerank`, through the real parser, against a server on a real socket."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fake_server import FakeServer
from qwen3_sglang import InvalidInputError
from qwen3_sglang.cli.app import app
from qwen3_sglang.cli.failures import explain

TEXTS = "low p=0.1\n\nhigh p=0.9\n"


def test_a_file(server: FakeServer, tmp_path: Path) -> None:
    """A table, best first."""
    file = tmp_path / "texts.txt"
    file.write_text(TEXTS)
    said = CliRunner().invoke(app, ["rerank", "q", str(file), "--url", server.url])
    assert said.exit_code == 0, said.output
    assert said.output.index("high") < said.output.index("low")
    assert said.stderr == ""  # a bar, and the line that it leaves, are for terminals


@pytest.mark.parametrize("file", [[], ["-"]])
def test_standard_input_as_json(server: FakeServer, file: list[str]) -> None:
    """With the input's index, P(yes) and the logit."""
    arguments = ["rerank", "q", *file, "--url", server.url, "--json", "--top-n", "1"]
    [row] = json.loads(CliRunner().invoke(app, arguments, input=TEXTS).stdout)
    assert (row["index"], row["id"], row["score"], row["truncated"]) == (1, None, 0.9, False)
    assert row["document"] == "high p=0.9"
    assert row["logit"] == pytest.approx(2.197, abs=1e-3)


def test_options_reach_the_server(server: FakeServer) -> None:
    """The model, the endpoint and the key; a time limit that is met."""
    options = ["--model", "mine", "--endpoint", "v1/classify", "--timeout", "30", "--api-key", "made-up"]
    said = CliRunner().invoke(app, ["rerank", "q", "--url", server.url, *options], input=TEXTS)
    assert said.exit_code == 0, said.output
    assert ("/v1/classify", "Bearer made-up") in server.asked


def test_a_cut_document_is_marked(server: FakeServer) -> None:
    """In the table, and in JSON."""
    long = "p=0.7" + " word" * 9000
    arguments = ["rerank", "q", "--url", server.url]
    assert "(cut)" in CliRunner().invoke(app, arguments, input=long).output
    assert json.loads(CliRunner().invoke(app, [*arguments, "--json"], input=long).stdout)[0]["truncated"] is True
    assert "cut" not in CliRunner().invoke(app, arguments, input=TEXTS).output


def test_long_documents_in_chunks(server: FakeServer) -> None:
    """The table shows the best chunk and its place, JSON the same as numbers."""
    long = "many words " * 100 + "p=0.9 is the answer" + " more words" * 100
    arguments = ["rerank", "q p=0.1", "--url", server.url, "--long-documents", "chunks", "--max-length", "800"]
    shown = CliRunner().invoke(app, arguments, input=long).output
    [row] = json.loads(CliRunner().invoke(app, [*arguments, "--json"], input=long).stdout)
    assert (row["score"], row["truncated"]) == (0.9, False)
    assert "p=0.9" in long[row["chunk"]["start"] : row["chunk"]["end"]]
    assert row["chunk"]["scored"] > 2
    place = f"characters {row['chunk']['start']}-{row['chunk']['end']}"
    assert f"best of {row['chunk']['scored']} chunks, {place}" in " ".join(shown.split())
    first = [*arguments, "--max-chunks", "1", "--chunk-overlap", "0"]
    assert "0.1000 (cut)" in CliRunner().invoke(app, first, input=long).output
    assert json.loads(CliRunner().invoke(app, [*arguments, "--json"], input="p=0.2").stdout)[0]["chunk"] is None


@pytest.mark.parametrize(
    ("flag", "value", "remedy"),
    [
        ("--long-documents", "chunk", 'pass "truncate" or "chunks"'),
        ("--chunk-overlap", "800", "pass fewer than the 800 tokens of --max-length"),
        ("--max-chunks", "0", "pass an integer of at least 1"),
    ],
)
def test_unusable_chunks(server: FakeServer, flag: str, value: str, remedy: str) -> None:
    """The error names the flag; nothing is asked."""
    arguments = ["rerank", "q", "--url", server.url, "--long-documents", "chunks", "--max-length", "800", flag, value]
    said = CliRunner().invoke(app, arguments, input=TEXTS)
    assert isinstance(said.exception, InvalidInputError)
    words = explain(said.exception)
    assert words is not None
    assert words.startswith(flag)
    assert remedy in words
    assert server.asked == []


@pytest.mark.parametrize(("flag", "value"), [("--chunk-overlap", "0"), ("--max-chunks", "2")])
def test_chunk_options_where_documents_are_cut(server: FakeServer, flag: str, value: str) -> None:
    """Refused, since they would be ignored; `evaluate` does the same."""
    said = CliRunner().invoke(app, ["rerank", "q", "--url", server.url, flag, value], input=TEXTS)
    assert isinstance(said.exception, InvalidInputError)
    assert f"{flag} {value}: pass --long-documents chunks too" in (explain(said.exception) or "")
    assert server.asked == []


def test_nothing_reaches_the_limit(server: FakeServer) -> None:
    """Said with the best score; JSON stays an empty list."""
    arguments = ["rerank", "q", "--url", server.url, "--min-score", "0.95"]
    said = CliRunner().invoke(app, arguments, input=TEXTS)
    assert said.exit_code == 0
    assert "no document reached --min-score 0.95; the best has 0.9000" in said.output
    assert json.loads(CliRunner().invoke(app, [*arguments, "--json"], input=TEXTS).stdout) == []


def test_min_score_of_zero_keeps_all(server: FakeServer) -> None:
    """It isn't taken for none given, nor for one that drops."""
    said = CliRunner().invoke(app, ["rerank", "q", "--url", server.url, "--min-score", "0", "--json"], input=TEXTS)
    assert [row["index"] for row in json.loads(said.stdout)] == [1, 0]


def test_limits_of_the_table(server: FakeServer) -> None:
    """What reaches the least score exactly is kept; then so many of the best."""
    asked = ["rerank", "q", "--url", server.url, "--json"]
    texts = "p=0.1\np=0.9\np=0.5\np=0.6"
    for limits, kept in ((["--min-score", "0.5"], [1, 3, 2]), (["--min-score", "0.5", "--top-n", "2"], [1, 3])):
        said = CliRunner().invoke(app, [*asked, *limits], input=texts)
        assert [row["index"] for row in json.loads(said.stdout)] == kept


@pytest.mark.parametrize(("flag", "value"), [("--top-n", "0"), ("--min-score", "1.5"), ("--min-score", "-0.1")])
def test_limits_that_cannot_be_met(server: FakeServer, flag: str, value: str) -> None:
    """Refused before the file is read or the server asked."""
    said = CliRunner().invoke(app, ["rerank", "q", "no/such/file", "--url", server.url, flag, value])
    assert said.exception is not None
    assert (explain(said.exception) or "").startswith(f"{flag} ")
    assert server.asked == []


def test_a_field_and_an_instruction(server: FakeServer) -> None:
    """The text may have another name; the task stands in the prompt."""
    arguments = ["rerank", "q", "--url", server.url, "--field", "body", "--instruction", "Find the law", "--json"]
    said = CliRunner().invoke(app, arguments, input='{"body": "Straße p=0.4", "id": "x"}')
    [row] = json.loads(said.stdout)
    assert (row["id"], row["document"]) == ("x", "Straße p=0.4")
    assert "Straße" in said.stdout  # as it is, not escaped
    assert "<Instruct>: Find the law\n" in server.prompts[0]


def test_no_documents(server: FakeServer) -> None:
    """Said; nothing is asked."""
    said = CliRunner().invoke(app, ["rerank", "q", "--url", server.url], input="\n")
    assert "no document to rerank" in said.output
    assert server.asked == []


def test_a_terminal_that_waits_says_for_what(server: FakeServer) -> None:
    """Someone who forgot the file sees what to do."""
    ours, theirs = pty.openpty()
    code = "from qwen3_sglang.cli.app import main; main()"
    command = [sys.executable, "-c", code, "rerank", "q", "--url", server.url]
    with subprocess.Popen(command, stdin=theirs, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert b"end with Ctrl-D" in process.stderr.readline()
        os.write(ours, b"p=0.4\n\x04")
        said, _ = process.communicate(timeout=60)
    assert b"0.4000" in said
    os.close(ours)
    os.close(theirs)
