"""How a start of SGLang is prepared, without starting one: what is noted, how the model is called, what is refused.

Tests of `cli/start.py`, `cli/serve.py`, `cli/check.py`, `cli/evaluate.py`, `cli/options.py`,
`cli/demo.py`, `cli/playground.py`, `cli/rerank.py`, `cli/convert.py`.
"""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress
from typer.testing import CliRunner

from fake_server import FakeServer
from qwen3_sglang import InvalidInputError
from qwen3_sglang.cli import evaluate
from qwen3_sglang.cli.app import app, load
from qwen3_sglang.cli.options import client_of, lines, told
from qwen3_sglang.cli.start import Start, _public_name
from qwen3_sglang.convert.cached import Place


def start(**more: Any) -> tuple[Start, io.StringIO]:
    """One that writes its notes down."""
    notes = io.StringIO()
    given: dict[str, Any] = {
        "api_key": None,
        "extra": [],
        "print_only": False,
        "multi_item": False,
        "console": Console(file=notes, width=1000, highlight=False),
    }
    return Start("model", None, None, **given | more), notes


@pytest.mark.parametrize(
    ("host", "more", "noted"),
    [
        ("127.0.0.1", {}, []),
        ("localhost", {"api_key": "k"}, []),
        ("10.0.0.5", {}, ["everybody who reaches 10.0.0.5:7 may use the server"]),
        ("10.0.0.5", {"api_key": "k"}, []),
        ("127.0.0.1", {"multi_item": True}, ["multi-item scoring: POST /v1/score only"]),
        ("10.0.0.5", {"multi_item": True, "api_key": "k"}, ["multi-item scoring", "put examples/deploy/haproxy.cfg"]),
        ("10.0.0.5", {"multi_item": True}, ["everybody who", "multi-item scoring", "whoever reaches 10.0.0.5:7 can"]),
    ],
)
def test_what_to_know_before_it_starts(host: str, more: dict[str, Any], noted: list[str]) -> None:
    """Who may use it, and what multi-item scoring turns off; a line each."""
    asked, notes = start(**more)
    asked._warn(host, f"{host}:7")
    said = notes.getvalue().splitlines()
    assert len(said) == len(noted)
    for line, part in zip(said, noted, strict=True):
        assert line.startswith("note ")
        assert part in line


def test_what_clients_call_the_model(tmp_path: Path) -> None:
    """SGLang's own choice where a folder is served as it is; else the model's name, without what SGLang refuses."""
    folder = tmp_path / "served"
    folder.mkdir()
    assert _public_name(Place(folder, folder, "served"), str(folder)) is None
    assert _public_name(Place(folder, tmp_path / "source", "a:b"), str(folder)) == "a-b"
    assert _public_name(Place(folder, folder, "Qwen/Qwen3-Reranker-0.6B"), "no/folder") == "Qwen/Qwen3-Reranker-0.6B"


def test_defaults_of_the_commands() -> None:
    """What a command does where nothing is said."""
    wanted = {
        "serve": {"host": "127.0.0.1", "port": 30000, "engine": "sglang", "dp": None, "multi_item": False},
        "playground": {"port": 30080, "open_page": False, "timeout": 60.0},
        "demo": {"port": 0, "keep_serving": False},
        "evaluate": {"max_concurrency": 8, "timeout": 600, "target_recall": 0.95, "fresh": False},
        "rerank": {"field": "text", "as_json": False, "timeout": 60.0, "max_chunks": 32, "chunk_overlap": 128},
        "convert": {"force": False, "link": False, "verify": None},
        "check": {"target": None, "expect": None, "timeout": 60.0},
    }
    for command, defaults in wanted.items():
        found = {parameter.name: parameter.default for parameter in load(command).params}
        assert {name: found[name] for name in defaults} == defaults, command


@pytest.mark.parametrize(
    ("command", "flag", "least"),
    [
        (["serve", "no/model/there"], "--port", 0),
        (["serve", "no/model/there"], "--dp", 1),
        (["serve", "no/model/there"], "--context-length", 1),
        (["serve", "no/model/there"], "--threads", 1),
        (["playground", "--url", "ftp://nowhere"], "--port", 0),
        (["evaluate", "no/such/file"], "--top-k", 1),
        (["evaluate", "no/such/file"], "--max-concurrency", 1),
    ],
)
def test_the_least_and_the_most_of_a_number(command: list[str], flag: str, least: int) -> None:
    """The parser itself refuses others, with exit code 2; a port has 16 bits."""
    most = 65535 if flag == "--port" else 10**6
    codes = [CliRunner().invoke(app, [*command, flag, str(value)]).exit_code for value in (least - 1, least, most)]
    assert codes == [2, 1, 1]
    if flag == "--port":
        assert CliRunner().invoke(app, [*command, flag, "65536"]).exit_code == 2


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_ports_of_the_demo(port: str) -> None:
    """The same; it would take a free one by 0."""
    assert CliRunner().invoke(app, ["demo", "--port", port]).exit_code == 2


@pytest.mark.parametrize("given", [["--target", "x"], ["http://127.0.0.1:9", "--url", "http://127.0.0.1:9"]])
def test_what_is_checked_is_named_once(given: list[str]) -> None:
    """As TARGET or by --url."""
    said = CliRunner().invoke(app, ["check", *given])
    if given[0] == "--target":
        assert said.exit_code == 2
    else:
        assert isinstance(said.exception, InvalidInputError)
        assert said.exception.field == "url"


@pytest.mark.parametrize("by", ["target", "url", "environment"])
def test_a_server_is_checked(server: FakeServer, by: str) -> None:
    """However it is named; unknown answers are refused before anything is asked."""
    server.fault = (400, {"message": "no such thing"})
    arguments = {"target": [server.url], "url": ["--url", server.url], "environment": []}[by]
    environment = {"QWEN3_SGLANG_BASE_URL": server.url} if by == "environment" else {}
    said = CliRunner().invoke(app, ["check", *arguments, "--model", "toy"], env=environment)
    assert f"reachable: {server.url} serves toy" in said.output
    assert said.exit_code == 1
    server.asked.clear()
    unknown = CliRunner().invoke(app, ["check", *arguments, "--expect", "4B"], env=environment)
    assert isinstance(unknown.exception, InvalidInputError)
    assert server.asked == []


def test_options_in_words() -> None:
    """A default stands where None would."""
    assert told("max_length").startswith("Tokens per prompt, template included; default: the template's limit (8192)")
    assert told("base_url").endswith(" Default: QWEN3_SGLANG_BASE_URL, then http://127.0.0.1:30000.")
    assert "Default" not in told("timeout")
    assert lines(None) is lines([]) is None
    assert lines(["a: 1", "b: 2"]) == "a: 1\nb: 2"


@pytest.mark.parametrize(
    ("long_documents", "overlap", "chunks", "refused"),
    [
        ("truncate", 128, 32, None),
        ("truncate", 127, 32, "chunk_overlap"),
        ("truncate", 128, 33, "max_chunks"),
        ("chunks", 127, 33, None),
    ],
)
def test_options_of_chunks(long_documents: str, overlap: int, chunks: int, refused: str | None) -> None:
    """Where documents are cut, another than the default would be ignored."""

    def make() -> Any:
        return client_of(None, ["x-a: b"], long_documents=long_documents, chunk_overlap=overlap, max_chunks=chunks)

    if refused:
        with pytest.raises(InvalidInputError, match=f"{refused}=.*--long-documents chunks"):
            make()
    else:
        settings = make().settings
        assert (settings.long_documents, settings.chunk_overlap, settings.max_chunks) == (
            long_documents,
            overlap,
            chunks,
        )
        assert settings.headers["x-a"].get_secret_value() == "b"


def test_where_scores_are_kept() -> None:
    """Beside the report, or else beside the data, wherever that is a link to."""
    assert evaluate.default_scores(Path("data.jsonl"), Path("out/report.html")) == Path("out/report.scores.sqlite")
    assert evaluate.default_scores(Path("a/data.jsonl"), None) == Path("a/data.scores.sqlite").absolute()


@pytest.mark.parametrize(("terminal", "shown"), [(True, "x" * 60), (False, "x" * 70)])
def test_a_warning_beside_the_bar(terminal: bool, shown: str) -> None:
    """As much as there is room for; a line of its own where there is no bar."""
    written = io.StringIO()
    bar = Progress(console=Console(file=written, width=200, force_terminal=terminal), disable=not terminal)
    task = bar.add_task("scoring", total=None)
    beside = evaluate._Progress(bar, task)
    assert beside.level == logging.NOTSET  # what the library logs at all is -v's to say
    beside(3, 7)
    assert (bar.tasks[0].completed, bar.tasks[0].total, bar.tasks[0].description) == (3, 7, "scoring")
    beside.emit(logging.LogRecord("x", logging.WARNING, "", 0, "x" * 70, None, None))
    assert (bar.tasks[0].description == shown) is terminal
    assert (written.getvalue() == shown + "\n") is not terminal


@pytest.mark.parametrize(("found", "said"), [(True, ""), (False, "no browser was found; open report.html yourself\n")])
def test_a_report_without_a_browser(monkeypatch: pytest.MonkeyPatch, found: bool, said: str) -> None:
    """Is left to the reader."""
    opened: list[str] = []
    monkeypatch.setattr(evaluate.webbrowser, "open", lambda url: opened.append(url) or found)
    written = io.StringIO()
    evaluate._open(Path("report.html"), Console(file=written, width=200))
    assert opened == [Path("report.html").resolve().as_uri()]
    assert written.getvalue() == said
