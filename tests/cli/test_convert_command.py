"""`qwen3-sglang convert`, through the real parser and the real converter.

Tests of `cli/convert.py`.
"""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from qwen3_sglang import MissingDependencyError
from qwen3_sglang.check.known import PUBLISHED, Answer, Published
from qwen3_sglang.cli.app import app
from qwen3_sglang.convert import Parity, Probe, convert
from qwen3_sglang.errors import ConversionError


def test_the_table_of_the_full_check(causal_toy: Path, tmp_path: Path) -> None:
    """One line per prompt, the largest difference, and how to serve the result."""
    said = CliRunner().invoke(app, ["convert", str(causal_toy), str(tmp_path / "out"), "--verify"])
    assert said.exit_code == 0, said.output
    assert "P(yes) converted" in said.output
    assert "empty document" in said.output
    assert "largest difference: " in said.output
    assert said.output.splitlines()[-1] == f"serve it: qwen3-sglang serve {tmp_path / 'out'}"


def answers(folder: Path) -> Published:
    """What a stand-in gives for two pairs, as if somebody had published it."""
    found: list[Parity] = []
    pairs = [("What frees memory?", "The garbage collector frees memory."), ("What frees memory?", "Bread.")]
    convert(folder, folder.parent / "asked", verify=True, report=found.append, pairs=pairs)
    asked = [probe for probe in found[0].probes if probe.pair is not None]
    assert [probe.pair for probe in asked] == pairs
    rows = tuple(Answer(*pair, probe.source, probe.tokens) for pair, probe in zip(pairs, asked, strict=True))
    return Published("me/stand-in", "this test", rows, 0.5, "they are the same weights")


def test_a_published_checkpoint_is_asked_what_is_known(
    causal_toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name, with the published figures beside those found here; a difference stops nothing."""
    source = Path(shutil.copytree(causal_toy, tmp_path / "stand-in"))
    published = answers(source)
    for logit, verdict in ((0.0, "ok consistent with"), (1.0, "no differs from")):
        rows = tuple(replace(row, p_yes=1 / (1 + math.exp(-(row.logit + logit)))) for row in published.answers)
        monkeypatch.setitem(PUBLISHED, "stand-in", replace(published, answers=rows))
        arguments = ["convert", str(source), str(tmp_path / f"out{logit}"), "--verify"]
        said = CliRunner().invoke(app, arguments, env={"COLUMNS": "400"})
        assert said.exit_code == 0, said.output
        assert f"{verdict} the published me/stand-in" in said.output
        assert f"{rows[0].tokens} tokens, as published" in said.output
    said = CliRunner().invoke(app, ["convert", str(source), str(tmp_path / "unasked"), "--no-verify"])
    assert "not compared with the published answers of me/stand-in: not asked for" in said.output


def test_no_verify_says_so(causal_toy: Path, tmp_path: Path) -> None:
    """The user sees that nothing was compared, and why."""
    said = CliRunner().invoke(app, ["convert", str(causal_toy), str(tmp_path / "out"), "--no-verify"])
    assert "not compared: not asked for" in said.output
    assert "P(yes) converted" not in said.output


def test_too_little_memory_is_a_note(causal_toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default the conversion goes on without the comparison, and says what it would have needed."""
    monkeypatch.setattr("qwen3_sglang.convert.parity.free_memory", lambda: 10)
    said = CliRunner().invoke(app, ["convert", str(causal_toy), str(tmp_path / "out")])
    assert said.exit_code == 0, said.output
    assert "not compared: it needs 1.0 GB of memory" in said.output


def test_verify_without_torch(causal_toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    monkeypatch.setattr("qwen3_sglang.convert.converter.missing_library", lambda: "torch")
    said = CliRunner().invoke(app, ["convert", str(causal_toy), str(tmp_path / "out"), "--verify"])
    assert isinstance(said.exception, MissingDependencyError)
    assert "[local]" in str(said.exception)


def test_a_failed_comparison_is_shown(causal_toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures come before the error, and nothing is written."""
    failed = Parity((Probe("the [answer]", 90, 0.9, 0.8),))
    monkeypatch.setattr("qwen3_sglang.convert.converter.compare", lambda *_args: failed)
    said = CliRunner().invoke(app, ["convert", str(causal_toy), str(tmp_path / "out")])
    assert isinstance(said.exception, ConversionError)
    assert "the [answer]" in said.output
    assert "largest difference: 1.0e-01" in said.output
    assert os.listdir(tmp_path) == []


def test_notes_are_shown(causal_toy: Path, tmp_path: Path) -> None:
    """What is worth knowing about a source, before the conversion."""
    source = Path(shutil.copytree(causal_toy, tmp_path / "chat-model"))
    (source / "chat_template.jinja").write_text("{{ messages }}")
    said = CliRunner().invoke(app, ["convert", str(source), str(tmp_path / "out"), "--no-verify"])
    assert said.exit_code == 0, said.output
    assert "note template: nothing in the folder says" in said.output


def test_link(causal_toy: Path, tmp_path: Path) -> None:
    """Shards without lm_head share their file with the source."""
    source = tmp_path / "source"
    model: Any = AutoModelForCausalLM.from_pretrained(causal_toy)
    model.save_pretrained(source, max_shard_size="1MB")
    for path in causal_toy.glob("tokenizer*"):
        shutil.copyfile(path, source / path.name)
    said = CliRunner().invoke(app, ["convert", str(source), str(tmp_path / "out"), "--link", "--no-verify"])
    assert said.exit_code == 0, said.output
    linked = [path for path in (tmp_path / "out").glob("*.safetensors") if path.stat().st_nlink > 1]
    assert linked
    assert all(any(path.samefile(other) for other in source.glob("*.safetensors")) for path in linked)
