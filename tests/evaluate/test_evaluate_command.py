"""qwen3-sglang evaluate, through the real parser.

Tests of `cli/evaluate.py`, `evaluate/tables.py`.
"""

from __future__ import annotations

import inspect
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from judged_data import write_lines
from typer.testing import CliRunner, Result

from fake_server import FakeServer
from qwen3_sglang import DEFAULT_INSTRUCTION, InvalidInputError
from qwen3_sglang.cli.app import app
from qwen3_sglang.cli.evaluate import _progress, evaluate
from qwen3_sglang.evaluate import load_dataset
from qwen3_sglang.evaluate.thresholds import GRID

DOCS = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables as a wide terminal shows them."""
    monkeypatch.setenv("COLUMNS", "160")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_table_json_and_html(server: FakeServer, data: Path, tmp_path: Path) -> None:
    """All three outputs; scores beside the report; figures by hand.

    Query a: the relevant one goes from place 2 to 1. Query b: grades 2 and 1 at places 2 and 3, before and after.
    """
    html, out = tmp_path / "out" / "report.html", tmp_path / "out" / "report.json"
    said = run(data, "--url", server.url, "--html", html, "--json", out, "--target-recall", 1)
    assert said.exit_code == 0, said.output
    assert sorted(path.name for path in html.parent.iterdir()) == ["report.html", "report.json", "report.scores.sqlite"]
    report = json.loads(out.read_text(encoding="utf-8"))
    assert (report["queries"], report["judged"], report["pairs"], report["relevant"]) == (3, 2, 8, 3)
    [variant] = report["variants"]
    metrics = {metric["name"]: metric for metric in variant["metrics"]}
    assert metrics["MRR@10"]["before"]["value"] == 0.5
    assert metrics["MRR@10"]["after"]["value"] == 0.75
    assert metrics["recall@1"]["difference"]["value"] == 0.5
    recall, f1 = variant["suggestions"]
    assert (recall["goal"], recall["min_score"], recall["point"]["recall"]) == ("recall of at least 1", 0.1, 1)
    assert (f1["goal"], f1["min_score"]) == ("highest F1", 0.1)
    assert [document["id"] for document in variant["queries"][0]["documents"]] == ["1", "2", "0"]
    assert "text" not in variant["queries"][0]["documents"][0]
    for shown in ("nDCG@10", "0.750", "highest F1", "min_score", "8 scores asked for", "report.html"):
        assert shown in said.output


def test_scores_beside_the_data_and_compared_instructions(server: FakeServer, data: Path) -> None:
    """Without an output; "default" is Qwen's own; the second run asks nothing."""
    arguments = (data, "--url", server.url, "--instruction", "default", "--instruction", "Find [it]")
    said = run(*arguments)
    assert said.exit_code == 0, said.output
    assert (data.parent / "data.scores.sqlite").exists()
    assert DEFAULT_INSTRUCTION in said.output
    assert "Find [it]" in said.output
    assert "to the first" in said.output
    assert "0 scores asked for, 16 kept" in run(*arguments).output


def test_a_beir_folder(server: FakeServer, beir: Path) -> None:
    """With a run, and with BM25."""
    said = run(beir, "--run", beir / "run.trec", "--url", server.url, "--target-precision", 1)
    assert said.exit_code == 0, said.output
    assert "it found 1 of 2 relevant documents" in said.output
    assert "precision of at least 1" in said.output
    assert "first stage: BM25" in run(beir, "--url", server.url).output


def test_it_fits_eighty_columns(
    server: FakeServer, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict first, the suggestion last; files that were written stand before it."""
    monkeypatch.setenv("COLUMNS", "80")
    said = run(data, "--url", server.url, "--target-precision", "0.9", "--json", tmp_path / "o.json").stdout
    tables = [line for line in said.splitlines() if line.startswith(("┃", "│", "┏", "└"))]
    assert tables
    assert max(map(len, tables)) <= 80
    assert not any("…" in line for line in tables)
    first, *_ = said.splitlines()
    assert first.startswith("No measurable difference on 2 queries")
    assert said.index("any min_score is a guess") < said.index("│ nDCG@10")
    assert said.index("written: ") < said.index("note min_score=") < said.index("│ highest F1")
    assert said.rstrip().endswith("┘")


def test_a_report_that_cant_be_written_costs_no_figures(server: FakeServer, data: Path, tmp_path: Path) -> None:
    """They are shown, and the earlier report stays."""
    said = run(data, "--url", server.url, "--json", data / "report.json", "--scores", tmp_path / "s.sqlite")
    assert isinstance(said.exception, InvalidInputError)
    assert "nDCG@10" in said.output
    assert "highest F1" in said.output


def test_open_shows_the_report(server: FakeServer, data: Path, tmp_path: Path) -> None:
    """In the browser that BROWSER names; without a report to open, that is said before anything is asked."""
    seen, browser = tmp_path / "seen", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}\n', encoding="utf-8")
    browser.chmod(0o755)
    html = tmp_path / "my report.html"
    command = [sys.executable, "-m", "qwen3_sglang", "evaluate", data, "--url", server.url, "--html", html, "--open"]
    subprocess.run([*map(str, command)], env=os.environ | {"BROWSER": str(browser)}, check=True, capture_output=True)
    assert seen.read_text().strip() == html.as_uri()
    server.prompts.clear()
    refused = run(data, "--url", server.url, "--open")
    assert isinstance(refused.exception, InvalidInputError)
    assert "--html" in str(refused.exception)
    assert server.prompts == []


def test_a_report_is_opened_only_where_that_is_asked_for(
    server: FakeServer, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And figures have no colours of their own, so that those that have mean something."""
    monkeypatch.setattr("webbrowser.open", lambda url: pytest.fail(f"opened {url}"))
    asked = ["evaluate", str(data), "--url", server.url, "--html", str(tmp_path / "r.html")]
    said = CliRunner().invoke(app, asked, env={"FORCE_COLOR": "1", "TERM": "xterm-256color"}, color=True)
    assert said.exit_code == 0, said.output
    assert "\x1b[1m" in said.stdout
    assert "\x1b[1;36m" not in said.stdout


def test_labels_that_may_be_indices_are_asked_for(server: FakeServer, tmp_path: Path) -> None:
    """And the option answers."""
    rows = [{"query": "q", "documents": ["a p=0.1", "b p=0.9"], "relevant": [0, 1]}]
    data = write_lines(tmp_path / "data.jsonl", rows)
    assert "--relevant" in str(run(data, "--url", server.url).exception)
    said = run(data, "--url", server.url, "--relevant", "labels")
    assert said.exit_code == 0, said.output
    assert "it found 1 of 1 relevant documents" in said.output


def test_chunk_options_where_documents_are_cut(server: FakeServer, data: Path) -> None:
    """Refused before anything is asked, since they would be ignored."""
    said = run(data, "--url", server.url, "--max-chunks", 2)
    assert isinstance(said.exception, InvalidInputError)
    assert "--long-documents chunks" in str(said.exception)
    assert server.asked == []


def test_warnings_of_the_library_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Such as that a request is sent again: where there is no bar to show them beside, as lines."""
    log = logging.getLogger("qwen3_sglang.transport")
    with _progress() as told:
        log.warning("status 503,\nsent again in %d s (timeout=)", 2)
        told(1, 2)
    assert "status 503, sent again in 2 s (--timeout)" in capsys.readouterr().err
    assert told not in logging.getLogger("qwen3_sglang").handlers


def test_bad_input_is_one_line(data: Path) -> None:
    """Through the real entry point: the line's number, the remedy, no traceback, exit code 1."""
    with data.open("a", encoding="utf-8") as file:
        file.write("{broken\n")
    code = "from qwen3_sglang.cli.app import main; main()"
    command = [sys.executable, "-c", code, "evaluate", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "data.jsonl line 4" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_not_there_is_said_at_once() -> None:
    """Before what takes seconds to import, and in the words of other bad input."""
    code = "import atexit, sys; from qwen3_sglang.cli.app import main\n"
    code += "atexit.register(lambda: print({'scipy', 'numpy', 'aiohttp'} & set(sys.modules))); main()"
    command = [sys.executable, "-c", code, "evaluate", "missing.jsonl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (1, "set()")
    assert done.stderr.strip() == "error data 'missing.jsonl': name a JSONL file or a BEIR folder that exists"


@pytest.mark.parametrize("before", [True, False], ids=["before", "behind"])
def test_verbose_says_more(server: FakeServer, tmp_path: Path, before: bool) -> None:
    """What the library logs, beside the bar or as lines; before the command's name or behind it."""
    data = write_lines(
        tmp_path / "data.jsonl", [{"query": "q", "documents": ["p=0.4" + " long" * 500, "b p=0.3"], "relevant": [1]}]
    )
    command = [sys.executable, "-m", "qwen3_sglang"]
    asked = ["evaluate", str(data), "--url", server.url, "--max-length", "900", "--fresh"]
    for arguments in ([*command, "-v", *asked] if before else [*command, *asked, "-v"], [*command, *asked]):
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert ("1 of 2 documents were cut to" in done.stderr) is ("-v" in arguments)


def test_a_server_that_is_down_is_said(data: Path, nobody: str) -> None:
    """With the model's name the scoring begins, breaks off, and the note says how to go on."""
    said = run(data, "--url", nobody, "--model", "toy")
    assert isinstance(said.exception, ConnectionError)
    assert "0 of 8 scores are kept" in said.output
    assert "run the same again" in said.output


def test_targets_are_checked_first(data: Path, nobody: str) -> None:
    """No request for a wish that can't be met."""
    said = run(data, "--url", nobody, "--target-recall", 95)
    assert isinstance(said.exception, InvalidInputError)
    assert "target_recall=95" in str(said.exception)


def test_the_command_line_loads_without_the_extra() -> None:
    """The other commands don't pay for matplotlib and scipy."""
    heavy = {"scipy", "matplotlib", "jinja2", "ir_measures"}
    code = f"import sys, qwen3_sglang.cli.app; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_without_the_extra_the_remedy_is_said(data: Path, server: FakeServer) -> None:
    """By a Python that can't find the package."""
    code = (
        "import sys; sys.modules['ir_measures'] = None\n"
        "from qwen3_sglang import RerankClient, MissingDependencyError\n"
        "from qwen3_sglang.evaluate import evaluate, load_dataset\n"
        "try:\n"
        f"    evaluate(RerankClient({server.url!r}), load_dataset({str(data)!r}), scores={str(data) + '.sqlite'!r})\n"
        "except MissingDependencyError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "qwen3-sglang[evaluate]"' in done.stdout
    assert server.prompts == []


@pytest.mark.parametrize("missing", ["ir_measures", "scipy", "numpy"])
def test_without_the_extra_the_command_says_it_in_one_line(missing: str, data: Path, server: FakeServer) -> None:
    """Through the real entry point, before anything is asked."""
    code = f"import sys; sys.modules[{missing!r}] = None; from qwen3_sglang.cli.app import main; main()"
    command = [sys.executable, "-c", code, "evaluate", str(data), "--url", server.url]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    [line] = ran.stderr.splitlines()
    assert 'pip install "qwen3-sglang[evaluate]"' in line
    assert server.prompts == []


def test_every_option_is_documented() -> None:
    """docs/evaluation.md has a row for each, and none for others."""
    names = set(inspect.signature(evaluate).parameters) - {"data", "open_html"} | {"open"}
    options = {f"--{name.replace('_', '-')}" for name in names}
    assert set(re.findall(r"^\| `(--[\w-]+)` \|", DOCS, re.MULTILINE)) == options
    assert f"{len(GRID)} thresholds" in DOCS


def test_the_documented_python_runs(server: FakeServer, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands, against another address."""
    monkeypatch.chdir(data.parent)
    [block] = [block for block in re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL) if "evaluate(" in block]
    exec(compile(block.replace("http://127.0.0.1:30000", server.url), "evaluation.md", "exec"), {})  # noqa: S102 - ours
    assert "Which min_score" in (data.parent / "report.html").read_text(encoding="utf-8")


def test_the_documented_jsonl_is_read(tmp_path: Path) -> None:
    """Both ways to say what is relevant."""
    [block] = re.findall(r"```json\n(.*?)```", DOCS, re.DOTALL)
    (tmp_path / "data.jsonl").write_text(block, encoding="utf-8")
    queries = load_dataset(tmp_path / "data.jsonl").queries
    assert [dict(query.grades) for query in queries] == [
        {"0": 0, "1": 1},
        {"0": 2, "1": 0},
    ]
