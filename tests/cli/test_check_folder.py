"""`qwen3-sglang check` with a folder, an address, or neither.

Tests of `cli/check.py`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qwen3_sglang import InvalidInputError
from qwen3_sglang.cli.app import app


@pytest.fixture
def folder(converted_toy: Path, tmp_path: Path) -> Path:
    """A converted checkpoint that a test may change."""
    return Path(shutil.copytree(converted_toy, tmp_path / "converted"))


def edit_config(folder: Path, **changes: object) -> None:
    """Set keys of config.json; None removes one."""
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def test_a_usable_folder(converted_toy: Path) -> None:
    """What our converter wrote: nothing but ok, exit code 0."""
    said = CliRunner().invoke(app, ["check", str(converted_toy)])
    lines = said.output.splitlines()
    assert said.exit_code == 0, said.output
    assert lines.pop() == "usable"
    assert lines
    assert all(line.startswith("ok ") for line in lines)


def test_an_unconverted_folder(causal_toy: Path) -> None:
    """Exit code 1, and the command that mends it, this folder's name in it."""
    said = CliRunner().invoke(app, ["check", str(causal_toy)])
    assert said.exit_code == 1
    assert said.output.startswith("no ")
    assert f"qwen3-sglang convert {causal_toy} " in said.output
    assert said.output.splitlines()[-1] == "not usable"


def test_a_note_is_shown_and_leaves_it_usable(folder: Path) -> None:
    """Exit code 0."""
    edit_config(folder, pad_token_id=None)
    said = CliRunner().invoke(app, ["check", str(folder)])
    assert said.exit_code == 0, said.output
    assert "\nnote config.json has no pad_token_id" in said.output
    assert said.output.endswith("\nusable\n")


def test_a_problem_after_an_ok_is_not_usable(folder: Path) -> None:
    """One is enough, wherever it stands."""
    edit_config(folder, id2label={"0": "yes", "1": "no"})
    said = CliRunner().invoke(app, ["check", str(folder)])
    assert said.exit_code == 1
    assert said.output.startswith("ok ")
    assert "\nno labels swapped" in said.output


def test_a_home_folder(converted_toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quoted ~ reaches us unexpanded."""
    monkeypatch.setenv("HOME", str(converted_toy.parent))
    assert CliRunner().invoke(app, ["check", f"~/{converted_toy.name}"]).exit_code == 0


def test_an_address_is_asked_even_if_a_folder_has_its_name(
    converted_toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spelling decides, not what happens to lie in the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(converted_toy, tmp_path / "http:" / "127.0.0.1:9")
    said = CliRunner().invoke(app, ["check", "http://127.0.0.1:9"])
    assert said.exit_code == 1
    assert "--url" in said.output


@pytest.mark.parametrize("target", ["missing/folder", "127.0.0.1:30000", "ftp://127.0.0.1", ""])
def test_neither_folder_nor_address(target: str) -> None:
    """Typed, with the value and both ways to go on."""
    said = CliRunner().invoke(app, ["check", target])
    assert isinstance(said.exception, InvalidInputError)
    assert said.exception.value == target
    assert "a folder that exists" in said.exception.remedy
    assert "http:// or https://" in said.exception.remedy


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """A checkpoint's file in the place of its folder."""
    (tmp_path / "model.safetensors").write_bytes(b"")
    said = CliRunner().invoke(app, ["check", str(tmp_path / "model.safetensors")])
    assert isinstance(said.exception, InvalidInputError)
