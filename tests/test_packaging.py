"""What packaging promises: typed packages, LlamaHub's block, make targets that the workflows call."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CHECKS = ROOT / ".ci"
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


@pytest.mark.skipif(not CHECKS.is_dir(), reason="an sdist leaves the checks out")
def test_every_extra_has_a_probe() -> None:
    """`make dist` uses what each extra is for.

    `all`, `dev` and `test` only gather others; `docs` and `mutants` are for work on this project.
    """
    extras = set(PYPROJECT["project"]["optional-dependencies"]) - {"all", "dev", "docs", "mutants", "test"}
    assert {probe.stem for probe in (CHECKS / "probes").glob("*.py")} == extras


def test_all_gathers_every_extra() -> None:
    """But those that only the project itself needs."""
    extras = PYPROJECT["project"]["optional-dependencies"]
    [gathered] = [re.findall(r"[\w-]+", line.partition("[")[2]) for line in extras["all"]]
    assert sorted(gathered) == sorted(set(extras) - {"all", "dev", "docs", "mutants", "test"})


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_the_command_names_its_extra_in_one_line(missing: str) -> None:
    """Through what the installed command calls, by a Python that can't find the package."""
    module, _, function = PYPROJECT["project"]["scripts"]["qwen3-sglang"].partition(":")
    code = f"import sys; sys.modules[{missing!r}] = None; from {module} import {function}; {function}()"
    ran = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    [line] = ran.stderr.splitlines()
    assert line.startswith("error ")
    assert 'pip install "qwen3-sglang[cli]"' in line


def test_the_module_runs_as_the_command_does() -> None:
    """`python -m qwen3_sglang`, for who has no script on the PATH."""
    ran = subprocess.run([sys.executable, "-m", "qwen3_sglang", "--help"], capture_output=True, text=True, check=True)
    assert "playground" in ran.stdout
