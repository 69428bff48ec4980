"""Which tests run which lines: a mutant is shown only to tests that run the line it breaks, the quickest first.

The map is made once for each test file, and kept in ``.mutants/`` until that file or the code to break changes.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from mutant_places import ALWAYS
from mutant_worker import PACKAGES
from project import ROOT

KEPT = ROOT / ".mutants"
MAPPING = 1200  # seconds that a test file may take while its lines are recorded
FIRST, MOST, ELSEWHERE = 4.0, 30.0, 10.0  # seconds of tests: tried first; of those that run the line; of the file's


class Worker:
    """A copy of the tree, and a process that runs tests in it."""

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "tree"
        self.sound: set[str] = set()  # tests that have passed here
        self.answering: set[str] = set()  # test files that came to an end here, without a mutant
        self._folder = folder
        self._stamp = 1_000_000_000
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607 - git is on the PATH
        for name in filter(None, listed.stdout.split("\n")):
            if (ROOT / name).exists():
                target = self.tree / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)
        command = [sys.executable, str(Path(__file__).with_name("mutant_worker.py"))]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=folder)

    def run(self, **asked: Any) -> dict[str, Any]:
        """Have pytest run as asked, see `mutant_worker.run`."""
        asked |= {"tree": str(self.tree), "answer": str(self._folder / "answer.json")}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def write(self, path: str, text: str) -> None:
        """Change a file, at a time of its own: by time and size Python tells what it needs to compile again."""
        (self.tree / path).write_text(text)
        self._stamp += 10
        os.utime(self.tree / path, (self._stamp, self._stamp))

    def close(self) -> None:
        self._process.communicate()


@dataclass(frozen=True)
class Test:
    """A test, and how long it takes."""

    name: str
    seconds: float

    @property
    def file(self) -> str:
        return self.name.partition("::")[0]

    def is_of(self, module: str) -> bool:
        """Whether its file is the module's: by its name, or as its docstring says."""
        return module in Path(self.file).stem or module in _named(self.file)


class Map:
    """Which tests run which lines."""

    def __init__(self) -> None:
        self._lines: dict[str, dict[int, set[Test]]] = defaultdict(lambda: defaultdict(set))
        self._always: set[Test] = set()
        self._all: set[Test] = set()
        self.modules: dict[str, None] = {}  # of others, in the order in which they are loaded

    def add(self, made: dict[str, Any]) -> None:
        """Take in what was recorded of one test file; a test that fails without a mutant says nothing."""
        self.modules |= dict.fromkeys(made["loaded"])
        sound = set(made["seconds"]) - set(made["failed"])
        self._all |= {Test(name, made["seconds"][name]) for name in sound}
        # Each of these, also one that runs no line which another hasn't; 0 seconds, once the modules are loaded.
        self._always |= {Test(name, 0.0) for name in sound if name.startswith(f"{ALWAYS}::")}
        for name, files in made["tests"].items():
            test = Test(name, made["seconds"].get(name, 0.0))
            if name not in sound or test.file == ALWAYS:
                continue
            for path, lines in files.items():
                for line in lines:
                    self._lines[path][line].add(test)

    def rounds(self, path: str, line: int) -> list[list[Test]]:
        """The tests to try, in two rounds: a few quick ones, then the others.

        After those that run the line come some that run others of its file, and those of the test file of that name:
        what runs once and is kept, at import or in a fixture, is recorded for one test at most, and a test of a table
        runs no line of it.
        """
        lines = self._lines.get(path, {})  # read alone: several workers ask at once
        runs = {test for one in _statement(path, line) for test in lines.get(one, ())}
        own = Path(path).stem
        near = {test for tests in lines.values() for test in tests}
        near = (near | {test for test in self._all if test.is_of(own)}) - runs
        chosen = [*_affordable(runs, MOST, own), *_affordable(near, ELSEWHERE, own), *self._always]
        first = _affordable([test for test in chosen if test in runs] or chosen, FIRST, own)
        rest = [test for test in chosen if test not in set(first)]
        return [_by_file(tests, own) for tests in (first, rest) if tests]


def _affordable(tests: Iterable[Test], seconds: float, own: str) -> list[Test]:
    """As many as that time allows: the module's own tests first, then the quickest."""
    found = []
    for test in sorted(tests, key=lambda test: (not test.is_of(own), test.seconds, test.name)):
        seconds -= test.seconds + 0.01
        if seconds < 0 and found:
            break
        found.append(test)
    return found


def _by_file(tests: list[Test], own: str) -> list[Test]:
    """Those of a file together, so that its fixtures are made once; the quickest file first."""
    total: dict[str, float] = defaultdict(float)
    for test in tests:
        total[test.file] += test.seconds
    return sorted(tests, key=lambda t: (not t.is_of(own), total[t.file], t.file, t.seconds, t.name))


@cache
def _named(file: str) -> list[str]:
    """The modules that a test file's docstring names."""
    return re.findall(r"(\w+)\.py`", ast.get_docstring(ast.parse((ROOT / file).read_text())) or "")


@cache
def _spans(path: str) -> list[tuple[int, int]]:
    found = []
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            # Decorators and defaults are run once, at import: who calls the function notices what is wrong with them.
            body = node.body[1:] if ast.get_docstring(node) and node.body[1:] else node.body
            found.append((min([node, *node.decorator_list], key=_line).lineno, body[0].end_lineno or body[0].lineno))
        elif isinstance(node, ast.stmt | ast.ExceptHandler):
            body = getattr(node, "body", None)
            end = node.end_lineno or node.lineno
            found.append((node.lineno, max(node.lineno, body[0].lineno - 1) if body else end))
    return found


def _line(node: ast.stmt | ast.expr) -> int:
    return node.lineno


def _statement(path: str, line: int) -> range:
    """The lines of the statement that this line is of: which of them counts as run depends on how it is laid out."""
    start, end = max((span for span in _spans(path) if span[0] <= line <= span[1]), default=(line, line))
    return range(start, end + 1)


def mapped(tests: Mapping[str, set[str]], workers: int) -> Map:
    """The map of these test files, from what is kept where neither they nor the code they shall notice has changed."""
    found = Map()
    KEPT.mkdir(exist_ok=True)
    hashes = {str(file.relative_to(ROOT)): _hash(file) for name in PACKAGES for file in (ROOT / name).rglob("*.py")}
    changed = []
    for test, code in tests.items():
        kept = _kept(test)
        made = json.loads(kept.read_text()) if kept.exists() else {"hashes": {}}
        if {path: hashes[path] for path in code}.items() | {(test, _hash(ROOT / test))} <= made["hashes"].items():
            found.add(made)
        else:
            changed.append(test)
    for test, made in zip(changed, _recorded(changed, found, workers), strict=True):
        made |= {"hashes": hashes | {test: _hash(ROOT / test)}}
        _kept(test).write_text(json.dumps(made))
        found.add(made)
    return found


def _kept(test: str) -> Path:
    return KEPT / f"{test.replace('/', '.')}.json"


def _recorded(tests: list[str], known: Map, workers: int) -> Iterator[dict[str, Any]]:
    """What each of them runs, in order; so many are recorded at a time."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool:
        ready: SimpleQueue[Worker | None] = SimpleQueue()
        for _ in range(workers):
            ready.put(None)

        def one(number: int, test: str) -> dict[str, Any]:
            worker = ready.get() or Worker(Path(folder) / str(number))
            try:
                return _record(worker, test, list(known.modules))
            finally:
                ready.put(worker)

        yield from pool.map(one, range(len(tests)), tests)
        for _ in range(workers):
            if worker := ready.get():
                worker.close()


def _record(worker: Worker, file: str, modules: list[str]) -> dict[str, Any]:
    lines = worker.tree.parent / "lines"
    shutil.rmtree(lines, ignore_errors=True)
    lines.mkdir()
    made = worker.run(files=[file], lines=str(lines), limit=MAPPING, load=modules)
    failed, count = made["failed"], len(made["seconds"])
    print(f"mapped   {file}: {count} tests, {sum(made['seconds'].values()):.1f} s", *failed, flush=True)
    return {"tests": {}, "loaded": []} | made


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
