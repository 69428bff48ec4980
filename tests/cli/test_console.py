"""What is said, and where: findings, notes, the log's lines, a table of documents.

Tests of `cli/console.py`, `cli/verbose.py`, `cli/rerank.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from qwen3_sglang.check import Finding
from qwen3_sglang.cli import verbose
from qwen3_sglang.cli.console import err, note, out, print_finding
from qwen3_sglang.cli.documents import Document
from qwen3_sglang.cli.rerank import print_table
from qwen3_sglang.ranking import Chunk, RerankResult


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """The library's log, without the listeners and the level that other tests left there."""
    found = logging.getLogger("qwen3_sglang")
    handlers, level = found.handlers[:], found.level
    found.handlers[:] = []
    found.setLevel(logging.NOTSET)
    yield found
    found.handlers[:] = handlers
    found.setLevel(level)


@pytest.mark.parametrize(
    ("finding", "line"),
    [
        (Finding(True, "two labels"), "ok two labels"),
        (Finding(True, "no id2label", note=True), "note no id2label"),
        (Finding(False, "swapped [labels]"), "no swapped [labels]"),
        (Finding(False, "raise timeout= or send fewer"), "no raise --timeout or send fewer"),
    ],
)
def test_a_finding_is_a_line(capsys: pytest.CaptureFixture[str], finding: Finding, line: str) -> None:
    """On standard output, brackets as they are, in the command's words."""
    print_finding(finding)
    assert capsys.readouterr() == (line + "\n", "")


@pytest.mark.parametrize(("ok", "helped"), [(False, True), (True, False)])
def test_a_server_that_refuses_gets_a_hint(capsys: pytest.CaptureFixture[str], ok: bool, helped: bool) -> None:
    """How to start one, where that is what is wrong."""
    print_finding(Finding(ok, "connection refused"))
    assert ("qwen3-sglang serve MODEL" in capsys.readouterr().out) is helped


def test_lines_are_printed_as_they_are() -> None:
    """Not wrapped, for whoever copies a command, and no number or path coloured for its own sake."""
    assert (out.soft_wrap, err.soft_wrap, out.stderr, err.stderr) == (True, True, False, True)
    for console in (out, err):
        assert console.render_str("12 of /some/path at http://gpu:1").spans == []


def test_a_note_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """So that a result can be piped on."""
    note("in [brackets]")
    assert capsys.readouterr() == ("", "note in [brackets]\n")


@pytest.mark.parametrize(("count", "level"), [(0, logging.NOTSET), (1, logging.INFO), (2, logging.DEBUG), (5, 10)])
def test_how_much_is_said(log: logging.Logger, count: int, level: int) -> None:
    """-v says more, -vv most; nothing given changes nothing."""
    assert verbose._be_verbose(count) == count
    assert log.level == level


def test_the_log_is_shown_once(log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    """As notes, in the command's words; not where something else shows it."""
    verbose.listen()
    verbose.listen()
    log.warning("sent again within timeout=%d s", 60)
    assert capsys.readouterr().err == "note sent again within --timeout 60 s\n"
    log.addHandler(logging.NullHandler())  # stands for the bar of `evaluate`
    log.warning("sent again")
    assert capsys.readouterr().err == ""


def test_who_listens_already_keeps_the_log(log: logging.Logger) -> None:
    """An application that calls the command from Python."""
    own = logging.NullHandler()
    log.addHandler(own)
    verbose.listen()
    assert log.handlers == [own]


def test_a_table_of_documents(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Places from 1, four decimals, what was cut, and of one in chunks the best with its place."""
    monkeypatch.setattr("qwen3_sglang.cli.rerank.out._width", 120)
    documents = [Document("first [text]"), Document("a long one: the answer. And more"), Document("third")]
    results = [
        RerankResult(1, 0.98765, 4.0, chunk=Chunk(12, 23, 4)),
        RerankResult(0, 0.5, 0.0, truncated=True),
        RerankResult(2, 0.00004, -9.0),
    ]
    print_table(results, documents)
    said = capsys.readouterr()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.out.splitlines() if line.startswith("│")]
    assert rows == [
        ["1", "0.9877", "[best of 4 chunks, characters 12-23]"],
        ["", "", "the answer."],
        ["2", "0.5000 (cut)", "first [text]"],
        ["3", "0.0000", "third"],
    ]
    assert said.err == "note cut: the model didn't read the document's end, which didn't fit\n"
