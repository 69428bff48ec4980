"""The demo runs, and what it prints is counted as it says."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from qwen3_sglang.local import run_in_thread

for needed in ("bm25s", "langchain_classic", "llama_index.core"):
    pytest.importorskip(needed)


@pytest.fixture(scope="module")
def demo() -> Iterator[ModuleType]:
    path = Path(__file__).parents[2] / "examples" / "demo.py"
    spec = importlib.util.spec_from_file_location("demo_under_test", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # pydantic looks annotations up there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_demo_runs_with_the_toy(demo: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["--limit", "2"]) == 0
    out = capsys.readouterr().out
    assert "LangChain and LlamaIndex agree on 2 of 2 questions" in out
    assert "knows words, not meaning" in out
    assert "Qwen/Qwen3-Reranker-0.6B" in out
    scores = [float(score) for score in re.findall(r"(0\.\d{4}|1\.0000)$", out, re.MULTILINE)]
    assert scores
    assert all(demo.MIN_SCORE <= score <= 1 for score in scores)
    last = re.fullmatch(r"MRR@10: (\d\.\d{3}) before reranking, (\d\.\d{3}) after .*", out.splitlines()[-1])
    assert last is not None
    assert 0 < float(last[1]) <= 1
    assert 0 < float(last[2]) <= 1


def test_demo_uses_the_server_it_is_given(
    demo: ModuleType, converted_toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with run_in_thread(converted_toy, device="cpu", dtype="float32") as base_url:
        assert demo.main(["--limit", "1", "--url", base_url]) == 0
    out = capsys.readouterr().out
    assert "agree on 1 of 1" in out
    assert "toy" not in out


def test_demo_says_what_is_wrong(demo: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["--limit", "1", "--url", "http://127.0.0.1:9"]) == 1
    assert "127.0.0.1:9" in capsys.readouterr().err


def test_demo_fails_when_the_frameworks_differ(
    demo: ModuleType, converted_toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo.Pipelines, "llama_index", lambda self, question: [demo.Ranked("element-iron", 0.5)])
    with run_in_thread(converted_toy, device="cpu", dtype="float32") as base_url:
        assert demo.main(["--limit", "1", "--url", base_url]) == 1
    assert "DIFFER" in capsys.readouterr().out


def test_demo_stops_on_ctrl_c(demo: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "ask", interrupt)
    assert demo.main(["--limit", "1", "--url", "http://127.0.0.1:9"]) == 130


def test_agreement_allows_only_noise(demo: ModuleType) -> None:
    ranked = [demo.Ranked("a", 0.9), demo.Ranked("b", 0.4)]
    assert demo.agree(ranked, [demo.Ranked("a", 0.901), demo.Ranked("b", 0.4)])
    assert not demo.agree(ranked, ranked[::-1])
    assert not demo.agree(ranked, ranked[:1])
    assert not demo.agree(ranked, [demo.Ranked("a", 0.9), demo.Ranked("c", 0.4)])
    assert not demo.agree(ranked, [demo.Ranked("a", 0.8), demo.Ranked("b", 0.4)])


def test_a_dropped_passage_scores_nothing(demo: ModuleType) -> None:
    relevant = frozenset({"b", "c"})
    assert demo.reciprocal_rank(["a", "b", "c"], relevant) == pytest.approx(1 / 2)
    assert demo.reciprocal_rank(["a"], relevant) == 0
    assert demo.reciprocal_rank([*"defghijklm", "b"], relevant) == 0
