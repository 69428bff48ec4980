"""Tests with the oldest and the newest packages, each in a virtual environment of its own.

"Oldest" is what pyproject.toml promises, so a lower bound that isn't true fails here: the frameworks' by the
adapters' tests, the other extras' by their probes (.ci/probes). The environments have no torch: what wants the toy
reranker gets the address of one that this script serves. The bounds of the extra `local` are torch's, gigabytes each
time, and stay out.

    python .ci/matrix.py [ROW ...]
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from project import BASE, EXTRAS, PROBES, ROOT, included, name_of, oldest

from toy import toy

VENVS = ROOT / ".matrix"


@dataclass(frozen=True)
class Row:
    """One environment.

    Attributes:
        extras: of ours, installed with their dependencies.
        oldest: the lower bounds, of the extras and of the base dependencies; else the newest there are.
        peers: packages that the row is about too, with a lower bound among those of `dev`.
        tools: what else the tests need, in whichever version fits.
        tests: folders to run; none: the extras' probes.
    """

    extras: tuple[str, ...]
    oldest: bool
    peers: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()

    def about(self) -> list[str]:
        """The requirements whose versions the row tries."""
        own = [line for extra in self.extras for part in sorted(included(extra)) for line in EXTRAS[part]]
        return [*(line for line in own if ">=" in line), *(f for f in EXTRAS["dev"] if name_of(f) in self.peers)]

    def requirements(self) -> list[str]:
        """What pip is asked for, besides the project itself."""
        pinned = oldest([*BASE, *self.about()]) if self.oldest else [name_of(line) for line in self.about()]
        return [*pinned, *self.tools]


LANGCHAIN, LLAMA_INDEX = ("langchain",), ("llama-index",)
TOOLS = ("langchain-tests", "nbformat", "numpy")
NEW_TOOLS = (*TOOLS, "langgraph")  # whose SDK wants a newer orjson than the oldest
ROWS = {
    "langchain-oldest": Row(LANGCHAIN, True, ("langchain-classic",), TOOLS, ("tests/langchain",)),
    "langchain-newest": Row(LANGCHAIN, False, ("langchain-classic",), NEW_TOOLS, ("tests/langchain",)),
    "llama-index-oldest": Row(LLAMA_INDEX, True, (), ("nbformat",), ("tests/llama_index",)),
    "llama-index-newest": Row(LLAMA_INDEX, False, (), ("nbformat",), ("tests/llama_index",)),
    "adapters-oldest": Row(LANGCHAIN + LLAMA_INDEX, True, tests=("tests/adapters",)),
    "adapters-newest": Row(LANGCHAIN + LLAMA_INDEX, False, tests=("tests/adapters",)),
}
ROWS |= {f"{extra}-oldest": Row((extra,), True) for extra in ("tokenizer", "convert", "playground", "evaluate")}


def run(name: str, toy_url: str) -> tuple[bool, str]:
    """Make the row's environment and run its tests; (passed, what to say of it)."""
    row = ROWS[name]
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(VENVS / name)], check=True)
    project = f"{ROOT}[{','.join((*row.extras, 'test'))}]"
    # pip needs minutes a row
    uv = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", _python(name)]
    if subprocess.run([*uv, "-e", project, *row.requirements()], cwd=ROOT, check=False).returncode:
        return False, "there are no versions that fit"
    passed, said = (_test if row.tests else _probe)(name, toy_url)
    return passed, f"{_versions(_python(name), [name_of(line) for line in row.about()])}: {said}"


def _test(name: str, toy_url: str) -> tuple[bool, str]:
    environment = os.environ | {"QWEN3_SGLANG_TEST_TOY": toy_url}
    command = [_python(name), "-m", "pytest", "-q", "-p", "no:cacheprovider", *ROWS[name].tests]
    code, output = _run(command, ROOT, environment)
    lines = output.splitlines() or ["pytest said nothing"]
    counted = [line for line in lines if re.search(r"\d+ (passed|failed|skipped|error)", line)]
    return code == 0, (counted or lines)[-1]


def _probe(name: str, toy_url: str) -> tuple[bool, str]:
    for extra in ROWS[name].extras:
        if _run([_python(name), "-P", str(PROBES / f"{extra}.py"), toy_url], VENVS / name, dict(os.environ))[0]:
            return False, f"the probe of {extra} failed"
    return True, "probe passed"


def _python(name: str) -> str:
    return str(VENVS / name / "bin" / "python")


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """(exit status, output); the output is printed where the status isn't 0."""
    ran = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ran.returncode:
        print(ran.stdout, flush=True)
    return ran.returncode, ran.stdout


def _versions(python: str, packages: list[str]) -> str:
    code = "import sys, importlib.metadata as m; print(*(f'{p} {m.version(p)}' for p in sys.argv[1:]), sep=', ')"
    ran = subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, check=True)
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
            results[name] = run(name, url)
            print(f"{name}: {results[name][1]}", flush=True)
    print(f"\nPython {sys.version.split()[0]}")
    for name, (passed, said) in results.items():
        print(f"{'ok    ' if passed else 'FAILED'} {name:<20} {said}")
    return 0 if all(passed for passed, _ in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
