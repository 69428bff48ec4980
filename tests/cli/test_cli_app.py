"""The commands, through the real parser, against a real server.

Tests of `__main__.py`, `cli/app.py`, `cli/console.py`, `cli/demo.py`, `cli/options.py`, `cli/verbose.py`.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qwen3_sglang import ServerUnreachableError, __version__
from qwen3_sglang.cli.app import COMMANDS, app, load
from qwen3_sglang.local import run_in_thread

TEXTS = "Gravity is a force.\n\nThe capital of China is Beijing.\n"
QUERY = "What is the capital of China?"


@pytest.fixture(scope="module")
def base_url(converted_toy: Path) -> Iterator[str]:
    """The toy behind the embedded server."""
    with run_in_thread(converted_toy, device="cpu", dtype="float32") as url:
        yield url


def test_errors_are_one_line_with_the_remedy() -> None:
    """Through the real entry point: no traceback, exit code 1."""
    code = "from qwen3_sglang.cli.app import main; main()"
    command = [sys.executable, "-c", code, "rerank", QUERY, "--url", "http://127.0.0.1:9"]
    run = subprocess.run(command, input=TEXTS, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "is --url right?" in run.stderr
    assert "base_url" not in run.stderr
    assert "qwen3-sglang serve" in run.stderr
    assert "Traceback" not in run.stderr


def test_check_says_what_to_do() -> None:
    """Nothing listens: exit code 1 and the remedy."""
    said = CliRunner().invoke(app, ["check", "http://127.0.0.1:9"])
    assert said.exit_code == 1
    assert "not usable" in said.output
    assert "is --url right?" in said.output
    assert "qwen3-sglang serve" in said.output


def test_check_of_a_usable_server(base_url: str) -> None:
    """Four findings, all well."""
    said = CliRunner().invoke(app, ["check", base_url])
    assert (said.exit_code, said.output.count("ok ")) == (0, 4)


def test_demo_runs_end_to_end() -> None:
    """Toy, convert, serve, rerank, stop."""
    said = CliRunner().invoke(app, ["demo"])
    assert said.exit_code == 0, said.output
    assert said.output.index("Beijing") < said.output.index("Gravity")
    assert "the playground: qwen3-sglang demo --keep-serving" in said.output  # no address of a server that has gone


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_has_an_example(command: str, option: str) -> None:
    """Every command shows how it is called, and does what the list of commands says."""
    said = CliRunner().invoke(app, [command, option])
    assert said.exit_code == 0
    assert "Example:" in said.output
    assert load(command).help.splitlines()[0] == COMMANDS[command]


@pytest.mark.parametrize("command", ["rerank", "check", "evaluate", "playground"])
def test_who_asks_a_server_has_a_time_limit(command: str) -> None:
    """And an address and a key."""
    options = {name for parameter in load(command).params for name in parameter.opts}
    assert {"--url", "--api-key", "--timeout"} <= options


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_all_commands_are_listed(option: str) -> None:
    """By name."""
    said = CliRunner().invoke(app, [option])
    assert said.exit_code == 0
    assert [name for name in COMMANDS if f" {name} " not in said.output] == []


def test_nothing_asked_for_is_help() -> None:
    """The list of commands, not an error."""
    said = CliRunner().invoke(app, []).output
    assert [name for name in COMMANDS if f" {name} " not in said] == []
    assert "Missing" not in said


def test_the_version() -> None:
    """The package's."""
    assert CliRunner().invoke(app, ["--version"]).output.strip() == __version__


def test_a_misspelled_command_names_the_right_one() -> None:
    """Exit code 2, as for every wrong use."""
    said = CliRunner().invoke(app, ["rernk"])
    assert said.exit_code == 2
    assert "rerank" in said.output


def test_completion_knows_commands_and_their_options() -> None:
    """As a shell asks for it."""
    words = {"": COMMANDS, "check --ti": ["--timeout"]}
    for typed, wanted in words.items():
        environment = {"_QWEN3_SGLANG_COMPLETE": "complete_bash", "COMP_WORDS": f"qwen3-sglang {typed}"}
        environment["COMP_CWORD"] = str(len(f"x {typed}".split(" ")) - 1)
        said = CliRunner().invoke(app, [], prog_name="qwen3-sglang", env=environment)
        assert set(wanted) <= set(said.output.split()), said.output


def test_verbose_says_more(base_url: str) -> None:
    """What the library logs, on standard error; before the command's name or behind it."""
    code = "from qwen3_sglang.cli.app import main; main()"
    document = "The capital of China is Beijing. " * 200
    asked = ["rerank", QUERY, "--url", base_url, "--max-length", "500"]
    for arguments in (["-v", *asked], [*asked, "-vv"], asked):
        command = [sys.executable, "-c", code, *arguments]
        run = subprocess.run(command, input=document, capture_output=True, text=True, check=True)
        assert ("1 of 1 documents were cut to" in run.stderr) is (arguments != asked)
        assert (f"{base_url}/v1/classify: " in run.stderr) is ("-vv" in arguments)


def test_listing_the_commands_is_quick() -> None:
    """At most 1.5 times the CPU time of an empty application with as many commands; no HTTP library is loaded."""
    empty = "import typer; app = typer.Typer(no_args_is_help=True)\n"
    empty += "".join(f"@app.command()\ndef c{number}(): 'Help.'\n" for number in range(len(COMMANDS)))
    ours = "from qwen3_sglang.__main__ import main as app\n"
    run = "import sys; sys.argv = ['x', '--help']\ntry: app()\nexcept SystemExit: pass\n"
    run += "print({'aiohttp', 'requests', 'httpx', 'torch'} & set(sys.modules), file=sys.stderr)"
    spent: dict[str, list[float]] = {empty: [], ours: []}
    for _ in range(3):
        for code, seconds in spent.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            said = subprocess.run([sys.executable, "-c", code + run], capture_output=True, text=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            assert said.stderr.strip() == "set()"
    assert min(spent[ours]) <= 1.5 * min(spent[empty])


def test_unreachable_is_a_connection_error() -> None:
    """So that callers may catch the built-in."""
    assert issubclass(ServerUnreachableError, ConnectionError)
