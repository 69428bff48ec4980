"""Adapter tests with the oldest and the newest frameworks, each pair in a virtual environment of its own.

"Oldest" is what pyproject.toml promises, so a lower bound that isn't true fails here. The environments have no
torch: tests that want the toy reranker get the address of one that this script serves.

    python .ci/matrix.py [ROW ...]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from toy import toy

ROOT = Path(__file__).resolve().parents[1]
VENVS = ROOT / ".matrix"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


@dataclass(frozen=True)
class Row:
    """One environment.

    Attributes:
        extras: of ours, installed with their dependencies.
        packages: the frameworks whose versions the row is about.
        tests: folders to run.
        oldest: the lower bounds, of the frameworks and of the base dependencies; else the newest there are.
    """

    extras: tuple[str, ...]
    packages: tuple[str, ...]
    tests: tuple[str, ...]
    oldest: bool

    def requirements(self) -> list[str]:
        """What pip is asked for, besides the project itself."""
        if not self.oldest:
            return list(self.packages)
        bounds = lower_bounds()
        base = [name for name, _ in map(_split, PROJECT["dependencies"])]
        return [f"{name}=={bounds[name]}" for name in (*base, *self.packages)]


LANGCHAIN, LLAMA_INDEX = ("langchain-core", "langchain-classic"), ("llama-index-core",)
ROWS = {
    f"{name}-{'oldest' if oldest else 'newest'}": Row(extras, packages, tests, oldest)
    for name, extras, packages, tests in [
        ("langchain", ("langchain",), LANGCHAIN, ("tests/langchain",)),
        ("llama-index", ("llama-index",), LLAMA_INDEX, ("tests/llama_index",)),
        ("adapters", ("langchain", "llama-index"), LANGCHAIN + LLAMA_INDEX, ("tests/adapters",)),
    ]
    if all((ROOT / folder).is_dir() for folder in tests)
    for oldest in (True, False)
}


def _split(requirement: str) -> tuple[str, str]:
    name, _, version = requirement.partition(">=")
    return name, version


def lower_bounds() -> dict[str, str]:
    """Name -> version, of everything that pyproject.toml gives a lower bound."""
    everything = [*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)]
    return dict(_split(line) for line in everything if ">=" in line)


def run(name: str, row: Row, toy_url: str) -> tuple[bool, str]:
    """Make the environment and run its tests; (passed, what to say of it)."""
    venv = VENVS / name
    python = str(venv / "bin" / "python")
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
    project = f"{ROOT}[{','.join((*row.extras, 'test'))}]"
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-e", project, *row.requirements()]
    if subprocess.run(pip, cwd=ROOT, check=False).returncode:
        return False, "pip finds no versions that fit"
    environment = os.environ | {"QWEN3_SGLANG_TEST_TOY": toy_url}
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *row.tests]
    ran = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if ran.returncode:
        print(ran.stdout)
    return ran.returncode == 0, f"{_versions(python, row)}: {ran.stdout.splitlines()[-1]}"


def _versions(python: str, row: Row) -> str:
    code = "import sys, importlib.metadata as m; print(*(f'{p} {m.version(p)}' for p in sys.argv[1:]), sep=', ')"
    ran = subprocess.run([python, "-c", code, *row.packages], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def main(names: list[str]) -> int:
    """Run the rows named, or all; the exit status says whether all passed."""
    unknown = set(names) - set(ROWS)
    if unknown:
        print(f"no such row: {', '.join(sorted(unknown))}; there are: {', '.join(ROWS)}", file=sys.stderr)
        return 2
    results: dict[str, tuple[bool, str]] = {}
    with toy() as url:
        for name in names or ROWS:
            results[name] = run(name, ROWS[name], url)
            print(f"{name}: {results[name][1]}", flush=True)
    print(f"\nPython {sys.version.split()[0]}")
    for name, (passed, said) in results.items():
        print(f"{'ok    ' if passed else 'FAILED'} {name:<20} {said}")
    return 0 if all(passed for passed, _ in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
