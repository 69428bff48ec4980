"""Runs tests in a copy of the tree, each time in a fork of a process that has loaded their packages already.

A request is a line of JSON, and so is its answer. Loading pytest, its plugins and what the tests import takes longer
than most mutants' tests; a fork has them at once. None of the project's own modules is loaded before the fork.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import coverage
import pytest

PACKAGES = ("qwen3_sglang", "langchain_qwen3_sglang", "llama_index_qwen3_sglang")
# What a process that a test starts records its lines by: which test started it is in PYTEST_CURRENT_TEST.
IN_PROCESSES = """
import os
if "MUTANTS_LINES" in os.environ:
    import coverage
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    source = [os.path.join(os.path.dirname(os.path.abspath(__file__)), name) for name in {packages}]
    found = coverage.Coverage(os.environ["MUTANTS_LINES"], True, auto_data=True, config_file=False,
                              source=source, context=test)
    found.set_option("run:sigterm", True)
    found.start()
"""


class Outcomes:
    """The tests that are asked for, in that order; which failed, and how long each took."""

    def __init__(self, wanted: list[str] | None) -> None:
        self.wanted = wanted
        self.failed: list[str] = []
        self.seconds: dict[str, float] = defaultdict(float)
        self._busy = _busy()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.wanted is not None:
            named = {item.nodeid: item for item in items}
            items[:] = [named[name] for name in self.wanted if name in named]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Computing counts in full and waiting by a quarter, so that a busy machine doesn't change the order much."""
        before, self._busy = self._busy, _busy()
        self.seconds[report.nodeid] += self._busy - before + report.duration / 4
        if report.failed:
            self.failed.append(report.nodeid)


class Lines:
    """Which lines each test runs, in this process and in those that it starts."""

    def __init__(self, tree: Path, folder: Path) -> None:
        self.tree, self.folder = tree, folder
        (tree / "sitecustomize.py").write_text(IN_PROCESSES.format(packages=PACKAGES))
        os.environ["MUTANTS_LINES"] = str(folder / "lines")
        source = [str(tree / name) for name in PACKAGES]
        self.coverage = coverage.Coverage(str(folder / "lines"), True, config_file=False, source=source)
        self.coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.coverage.switch_context(item.nodeid)
        result = yield
        self.coverage.switch_context("")
        return result

    def found(self) -> dict[str, dict[str, list[int]]]:
        """test -> file -> lines."""
        self.coverage.stop()
        self.coverage.save()
        tests: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for file in self.folder.glob("lines.*"):
            data = coverage.CoverageData(str(file))
            with suppress(coverage.CoverageException):  # a process was killed as it wrote
                data.read()
            for path in data.measured_files():
                for line, names in data.contexts_by_lineno(path).items():
                    for name in filter(None, names):
                        tests[name][str(Path(path).relative_to(self.tree))].append(line)
        return tests


def run(asked: dict[str, Any]) -> dict[str, Any]:
    """Run pytest as asked, in this process."""
    tree = Path(asked["tree"])
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    # Without real SGLang, whose start alone takes a minute.
    os.environ |= {"PYTHONPATH": str(tree), "SGLANG_CPU_VENV": str(tree / "none"), "PYTHONDONTWRITEBYTECODE": ""}
    sys.dont_write_bytecode = False  # most files stay as they are from mutant to mutant
    lines = Lines(tree, Path(asked["lines"])) if "lines" in asked else None
    outcomes = Outcomes(asked.get("wanted"))
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={tree.parent / (tree.name + '-tmp')}"]
    options += [] if lines else ["-x"]
    code = pytest.main([*options, *asked["files"]], plugins=[outcomes, *([lines] if lines else [])])
    answer = {"code": int(code), "failed": outcomes.failed, "seconds": outcomes.seconds, "loaded": _loaded()}
    return answer | ({"tests": lines.found()} if lines else {})


def _busy() -> float:
    """Seconds of computing so far, of this process and those that it has started and seen end."""
    return sum(os.times()[:4])


def _loaded() -> list[str]:
    """The modules of others that are loaded by now, in the order in which they were."""
    found = [(name, getattr(module, "__file__", None)) for name, module in list(sys.modules.items())]
    return [name for name, file in found if file and "site-packages" in file and not name.startswith("__")]


def _child(asked: dict[str, Any]) -> None:
    os.setsid()
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silent, stream)
    answer = run(asked)
    Path(asked["answer"]).write_text(json.dumps(answer))
    os._exit(0)


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Fork, and wait for what the tests say; too slow, or ended without a word, is a failure."""
    file = Path(asked["answer"])
    file.unlink(missing_ok=True)
    child = os.fork()
    if not child:
        try:
            _child(asked)
        finally:
            os._exit(1)
    end = time.monotonic() + asked["limit"]
    while (ended := os.waitpid(child, os.WNOHANG) != (0, 0)) is False and time.monotonic() < end:
        time.sleep(0.02)
    _kill(child)
    if not ended:
        os.waitpid(child, 0)
    return json.loads(file.read_text()) if file.exists() else {"code": 1, "failed": [], "seconds": {}}


def _kill(group: int) -> None:
    """End the fork, and what its tests left running."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def main() -> None:
    for point in entry_points(group="pytest11"):
        with suppress(ImportError):
            point.load()
    for line in sys.stdin:
        asked = json.loads(line)
        for name in asked.pop("load", []):
            if name not in sys.modules:
                with suppress(ImportError):
                    importlib.import_module(name)
        gc.freeze()  # a fork's collector would walk through all that is loaded
        print(json.dumps(answer(asked)), flush=True)


if __name__ == "__main__":
    main()
