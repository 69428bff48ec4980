"""`make` looks at the Python first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OLD = '#!/bin/sh\ncase "$1" in --version) echo Python 3.9.7 ;; *) exit 1 ;; esac\n'


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What it says, without building anything that exists."""
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607 - found on the PATH


def old_python(path: Path) -> Path:
    """An interpreter that says it is too old."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(OLD)
    path.chmod(0o755)
    return path


def test_a_python_that_is_too_old(tmp_path: Path) -> None:
    """Said before anything is made, with the way out."""
    said = make("setup", f"VENV={tmp_path / 'venv'}", f"PYTHON={old_python(tmp_path / 'python')}")
    assert said.returncode != 0
    first = said.stderr.splitlines()[0]
    assert first.startswith("Python 3.11 or newer is needed")
    assert "Python 3.9.7" in first
    assert "make PYTHON=" in first
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize("target", ["setup", "test", "demo"])
def test_an_old_environment_that_is_there(tmp_path: Path, target: str) -> None:
    """Even one that seems complete, and whatever PYTHON is."""
    old_python(tmp_path / "venv/bin/python")
    (tmp_path / "venv/.ok").touch()
    said = make(target, f"VENV={tmp_path / 'venv'}", f"PYTHON={sys.executable}")
    assert said.returncode != 0
    assert f"rm -rf {tmp_path / 'venv'}" in said.stderr.splitlines()[0]


def test_a_python_that_is_not_there(tmp_path: Path) -> None:
    """The same words."""
    said = make("setup", f"VENV={tmp_path / 'venv'}", "PYTHON=python-that-is-missing")
    assert "Python 3.11 or newer is needed" in said.stderr
    assert "python-that-is-missing" in said.stderr


def test_a_long_set_up_says_so_first(tmp_path: Path) -> None:
    """pip is silent for minutes: how long, how much, and how to make it less."""
    planned = make("-n", "setup", f"VENV={tmp_path / 'venv'}", f"PYTHON={sys.executable}").stdout
    said = planned.index("minutes")
    assert said < planned.index("-m venv") < planned.index("pip install")
    assert "PIP_EXTRA_INDEX_URL" in planned


def test_python_chooses_the_interpreter(tmp_path: Path) -> None:
    """Which the environment is made with."""
    planned = make("-n", "setup", f"VENV={tmp_path / 'venv'}", f"PYTHON={sys.executable}").stdout
    assert f"{sys.executable} -m venv {tmp_path / 'venv'}" in planned
