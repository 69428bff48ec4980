"""The demo runs, and what it prints is counted as it says.

Tests of `toy/serving.py`.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import re
import subprocess
import sys
import threading
from argparse import Namespace
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest

from qwen3_sglang.local import run_in_thread

for needed in ("bm25s", "langchain_classic", "llama_index.core"):
    pytest.importorskip(needed)
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def demo() -> Iterator[ModuleType]:
    """The script, with its folder on the path as Python has it."""
    spec = importlib.util.spec_from_file_location("demo_under_test", EXAMPLES / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(EXAMPLES))
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(EXAMPLES))
    for name in (spec.name, "demo_pipelines", "demo_server"):
        sys.modules.pop(name, None)


def test_demo_with_the_toy(
    demo: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line per step, three questions whole, the others in one table, the verdict, what next."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)  # else lines hold its path
    assert demo.main([]) == 0
    out = capsys.readouterr().out
    steps = [line.split()[1] for line in out.splitlines() if line.startswith("- ")]
    assert sorted(steps) == ["asking", "building", "converting", "loading", "starting"]
    assert [step for step in steps if step != "loading"] == ["building", "converting", "starting", "asking"]
    assert re.findall(r"^(\d)\. .*\?$", out, re.MULTILINE) == ["1", "2", "3"]
    assert re.findall(r"^ +(\d+)\. \S.* +(?:\d+|-) +(?:\d+|-)  \S", out, re.MULTILINE) == [str(n) for n in range(4, 21)]
    verdict = re.search(r"^Verdict: reranking \w+ MRR@10, from (\d\.\d{3}) to (\d\.\d{3})", out, re.MULTILINE)
    assert verdict is not None
    assert 0 < float(verdict[1]) <= float(verdict[2]) <= 1
    assert "LangChain and LlamaIndex agree on 20 of 20 questions" in out
    ways = out[out.index("What next") :]
    for way in (
        "open http://127.0.0.1:30000 ",
        "make demo MODEL=Qwen/Qwen3-Reranker-0.6B",
        "qwen3-sglang serve",
        "base_url=",
    ):
        assert way in ways
    assert "knows words, not meaning" in out
    assert max(map(len, out.splitlines())) <= 80


def test_the_next_commands_can_be_pasted(
    demo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the environment of `make demo` isn't activated, with the path into it."""
    (command := tmp_path / ".venv/bin/qwen3-sglang").parent.mkdir(parents=True)
    command.touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(command.with_name("python")))
    for path, expected in ((tmp_path, ".venv/bin/qwen3-sglang"), (command.parent, "qwen3-sglang")):
        monkeypatch.setenv("PATH", str(path))
        demo.what_next(Namespace(url=None, model=None))
        assert f"  {expected} demo --keep-serving " in capsys.readouterr().out


def test_scores_are_probabilities_above_the_threshold(
    demo: ModuleType, converted_toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also on the server that it is given, of which it says nothing that holds for the toy only."""
    with run_in_thread(converted_toy, device="cpu", dtype="float32") as base_url:
        assert demo.main(["--limit", "2", "--url", base_url]) == 0
    out = capsys.readouterr().out
    scores = [float(score) for score in re.findall(r" ([01]\.\d{4})$", out, re.MULTILINE)]
    assert scores
    assert all(0.1 <= score <= 1 for score in scores)
    assert "agree on 2 of 2" in out
    assert "toy" not in out


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty one, for conversions."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.mark.usefixtures("cache")
def test_a_model_is_converted_and_served(
    demo: ModuleType, causal_toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What MODEL= does: once, since the conversion is kept."""
    for expected in ({"looking", "converting", "loading", "asking"}, {"looking", "loading", "asking"}):
        assert demo.main(["--limit", "1", "--model", str(causal_toy)]) == 0
        out = capsys.readouterr().out
        steps = {line.split()[1] for line in out.splitlines() if line.startswith("- ")}
        assert steps & {"looking", "converting", "loading", "asking"} == expected
        assert "knows words" not in out


def test_the_first_line_comes_before_anything_slow_is_loaded() -> None:
    """Neither torch nor a framework, nor even the client."""
    code = """
import runpy, sys
class Told:
    def write(self, text): raise SystemExit(str(sorted({"torch", "qwen3_sglang", "bm25s", "rich"} & set(sys.modules))))
    def flush(self): pass
sys.argv, sys.stdout = sys.argv[1:], Told()
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(EXAMPLES / "demo.py")], capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == "[]"


def test_demo_says_what_is_wrong(demo: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["--limit", "1", "--url", "http://127.0.0.1:9"]) == 1
    assert "127.0.0.1:9" in capsys.readouterr().err


def test_demo_fails_when_the_frameworks_differ(demo: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    from demo_pipelines import Ranked  # noqa: PLC0415 - on the path only with the fixture

    question = demo.Question("Why?", frozenset({"a"}))
    one, other = [Ranked("a", 0.9)], [Ranked("b", 0.9)]
    assert demo.report([demo.Outcome(question, ["a"], one, one), demo.Outcome(question, ["a"], one, other)]) == 1
    out = capsys.readouterr().out
    assert "agree on 1 of 2" in out
    assert "DIFFER on 'Why?'" in out


def test_a_server_that_cannot_start_is_told(
    demo: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """By the process that was to start it."""
    assert demo.main(["--limit", "1", "--model", str(tmp_path / "none")]) == 1
    err = capfd.readouterr().err
    assert "none" in err
    assert "Traceback" not in err


def test_the_servers_process_ends_with_the_demo(
    demo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it ends, and whatever it was at; its folder is deleted."""
    from demo_server import start  # noqa: PLC0415 - on the path only with the fixture

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    steps: list[str] = []
    building = threading.Event()

    def say(step: str) -> None:
        steps.append(step)
        building.set()

    with suppress(KeyboardInterrupt), start(None, ["a text"], say, lambda done, total: None):
        assert building.wait(300)
        [process] = multiprocessing.active_children()
        raise KeyboardInterrupt
    assert not process.is_alive()
    assert not any(tmp_path.iterdir())


def test_demo_stops_on_ctrl_c(demo: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "ask", interrupt)
    assert demo.main(["--limit", "1", "--url", "http://127.0.0.1:9"]) == 130


def test_agreement_allows_only_noise(demo: ModuleType) -> None:
    from demo_pipelines import Ranked  # noqa: PLC0415 - on the path only with the fixture

    ranked = [Ranked("a", 0.9), Ranked("b", 0.4)]
    assert demo.agree(ranked, [Ranked("a", 0.901), Ranked("b", 0.4)])
    assert not demo.agree(ranked, ranked[::-1])
    assert not demo.agree(ranked, ranked[:1])
    assert not demo.agree(ranked, [Ranked("a", 0.9), Ranked("c", 0.4)])
    assert not demo.agree(ranked, [Ranked("a", 0.8), Ranked("b", 0.4)])


def test_a_dropped_passage_scores_nothing(demo: ModuleType) -> None:
    relevant = frozenset({"b", "c"})
    assert demo.reciprocal_rank(["a", "b", "c"], relevant) == pytest.approx(1 / 2)
    assert demo.reciprocal_rank(["a"], relevant) == 0
