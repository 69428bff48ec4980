"""What packaging promises: typed packages, LlamaHub's block, make targets that the workflows call."""

from __future__ import annotations

import importlib
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("package", PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
def test_packages_are_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


def test_llamahub_names_what_is_there() -> None:
    hub = PYPROJECT["tool"]["llamahub"]
    module = importlib.import_module(hub["import_path"])
    assert hub["class_authors"]
    assert all(hasattr(module, name) for name in hub["class_authors"])
    assert hub["contains_example"] is (ROOT / "docs" / "llama_index.ipynb").is_file()


@pytest.mark.skipif(not WORKFLOWS, reason="an sdist leaves the workflows out")
def test_workflows_call_make_targets_that_exist() -> None:
    """And nothing but make: whoever has no GitHub runs the same."""
    for workflow in WORKFLOWS:
        jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]
        lines = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
        assert lines
        for line in lines:
            assert re.fullmatch(r"make [\w-]+", line), line
            subprocess.run([*line.split(), "-n"], cwd=ROOT, capture_output=True, check=True)


def test_every_documented_target_exists() -> None:
    documented = re.findall(r"`make ([\w-]+)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert {"test", "lint", "test-matrix", "dist"} <= set(documented)
    for target in documented:
        subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=True)  # noqa: S607 - found on the PATH
