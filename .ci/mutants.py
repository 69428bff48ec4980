"""Do the tests notice when the code is wrong? Break one place at a time, and run the tests that should fail.

``python .ci/mutants.py --seed 1 --per-room 20`` draws places by the seed, equally many for each room, breaks each by
one of cosmic-ray's operators in a copy of the tree, and prints how many the tests killed. `EQUIVALENT` lists mutants
that no test can kill, each with the reason; they are left out of the score, and may be a tenth of the drawn at most.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from cosmic_ray.ast import get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from project import ROOT

EQUIVALENT = Path(__file__).with_name("equivalent_mutants.json")
MOST_EQUIVALENT = 0.1
NEED_ARGUMENTS = {"core/VariableReplacer", "core/VariableInserter"}
OVERALL, STRICT = 0.88, 0.92
SECONDS = 300  # for the tests of one mutant: one that hangs is noticed as well

_CLIENT = ["tests/test_client.py", "tests/faults", "tests/security", "tests/wire"]
# room -> (files, tests in the order in which they are likely to notice)
ROOMS: dict[str, tuple[list[str], list[str]]] = {
    "prompts": (
        ["qwen3_sglang/prompts"],
        ["tests/prompts", "tests/protocol", "tests/scoring", "tests/playground/test_answer.py"],
    ),
    "protocol": (["qwen3_sglang/protocol"], ["tests/protocol", "tests/scoring", *_CLIENT, "tests/prompts"]),
    "transport": (["qwen3_sglang/transport"], ["tests/transport", *_CLIENT]),
    "scoring": (["qwen3_sglang/scoring"], ["tests/scoring", "tests/protocol", "tests/prompts", *_CLIENT]),
    "convert/head": (["qwen3_sglang/convert/head.py"], ["tests/convert"]),
    "root": (
        [f"qwen3_sglang/{name}.py" for name in ("client", "connection", "settings", "errors", "ranking", "secret")],
        [
            "tests/test_settings.py",
            "tests/test_ranking.py",
            *_CLIENT,
            "tests/scoring",
            "tests/adapters",
            "tests/options",
        ],
    ),
    "options": (["qwen3_sglang/options"], ["tests/test_settings.py", "tests/options", "tests/adapters"]),
    "check": (["qwen3_sglang/check"], ["tests/check", "tests/cli"]),
    "convert": (["qwen3_sglang/convert"], ["tests/convert", "tests/cli"]),
    "evaluate": (["qwen3_sglang/evaluate"], ["tests/evaluate"]),
    "local": (["qwen3_sglang/local"], ["tests/local"]),
    "playground": (["qwen3_sglang/playground"], ["tests/playground", "tests/cli/test_playground_command.py"]),
    "serving": (["qwen3_sglang/serving"], ["tests/serving", "tests/cli/test_serve.py", "tests/local/test_server.py"]),
    "cli": (["qwen3_sglang/cli"], ["tests/cli", "tests/evaluate/test_evaluate_command.py"]),
    "langchain": (["langchain_qwen3_sglang"], ["tests/langchain", "tests/adapters", "tests/security"]),
    "llama_index": (["llama_index_qwen3_sglang"], ["tests/llama_index", "tests/adapters", "tests/security"]),
}
STRICT_ROOMS = {"prompts", "protocol", "transport", "scoring", "convert/head"}


@dataclass(frozen=True)
class Mutant:
    """One place, broken by one operator."""

    room: str
    path: str
    operator: str
    occurrence: int
    line: int

    @property
    def source(self) -> str:
        """The line that is broken."""
        return (ROOT / self.path).read_text().splitlines()[self.line - 1].strip()

    @property
    def shown(self) -> str:
        """Where it is, and what was done to it."""
        return f"{self.path}:{self.line} {self.operator.removeprefix('core/')}: {self.source}"


def places(room: str, path: Path) -> dict[tuple[int, int], list[Mutant]]:
    """Every place in a file that an operator can break, with the mutants of each; annotations are never run."""
    code = path.read_text()
    idle = [span for node in _idle(ast.parse(code)) for span in _span(node)]
    nodes = list(_nodes(get_ast(code)))
    found: dict[tuple[int, int], list[Mutant]] = defaultdict(list)
    for name in sorted(set(operator_names()) - NEED_ARGUMENTS):
        operator = get_operator(name)()
        occurrence = 0
        for node in nodes:
            for start, _ in operator.mutation_positions(node):
                if not any(first <= start < last for first, last in idle):
                    mutant = Mutant(room, str(path.relative_to(ROOT)), name, occurrence, start[0])
                    found[start].append(mutant)
                occurrence += 1
    return found


def _nodes(node: object) -> Iterator[object]:
    yield node
    for child in getattr(node, "children", ()):
        yield from _nodes(child)


def _idle(tree: ast.Module) -> Iterator[ast.AST]:
    """What isn't run: annotations, and what only type checkers read."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            yield node.annotation
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.returns is not None:
                yield node.returns
            yield from (one for one in node.decorator_list if isinstance(one, ast.Name) and one.id == "property")
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            yield node


def _span(node: ast.AST) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    line, column = node.lineno, node.col_offset  # type: ignore[attr-defined]
    yield (line, column), (node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]


def draw(room: str, count: int, chance: random.Random) -> list[Mutant]:
    """So many places of a room, each broken in one way."""
    paths, _ = ROOMS[room]
    files = [file for path in paths for file in _files(ROOT / path)]
    if room == "convert":
        files = [file for file in files if file.name != "head.py"]
    found = [mutants for file in files for _, mutants in sorted(places(room, file).items())]
    return [chance.choice(mutants) for mutants in chance.sample(found, min(count, len(found)))]


def _files(path: Path) -> list[Path]:
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def survives(mutant: Mutant, tree: Path) -> bool:
    """Whether the tests pass with the mutant in place."""
    file = tree / mutant.path
    whole = file.read_text()
    broken = mutate_code(whole, get_operator(mutant.operator)(), mutant.occurrence)
    if broken is None:
        raise SystemExit(f"cosmic-ray can't make {mutant.shown}")
    try:
        file.write_text(broken)
        return passes(tree, ROOMS[mutant.room][1])
    finally:
        file.write_text(whole)


def passes(tree: Path, tests: list[str]) -> bool:
    """Whether these tests pass in that tree; too slow counts as a failure."""
    found = [test for test in tests if (tree / test).exists()]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *found]
    # Without real SGLang, whose start alone takes a minute.
    ours = {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "SGLANG_CPU_VENV": str(tree / "none")}
    silent = subprocess.DEVNULL
    with subprocess.Popen(
        command, cwd=tree, env=os.environ | ours, stdout=silent, stderr=silent, start_new_session=True
    ) as process:
        try:
            return process.wait(SECONDS) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what its tests left running, too


def copies(count: int, folder: Path) -> SimpleQueue[Path]:
    """So many copies of the tracked files, to break one each."""
    ready: SimpleQueue[Path] = SimpleQueue()
    listing = ["git", "ls-files"]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
    names = listed.stdout.split("\n")
    for number in range(count):
        for name in filter(None, names):
            target = folder / str(number) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
        ready.put(folder / str(number))
    return ready


def run(mutants: list[Mutant], workers: int) -> dict[Mutant, bool]:
    """Which of them survive."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool:
        trees = copies(workers, Path(folder))

        def one(mutant: Mutant) -> bool:
            tree = trees.get()
            try:
                alive = survives(mutant, tree)
            finally:
                trees.put(tree)
            print("survived" if alive else "killed  ", mutant.shown, flush=True)
            return alive

        return dict(zip(mutants, pool.map(one, mutants), strict=True))


def harmless() -> dict[tuple[str, str, str], str]:
    """(file, operator, line) -> why no test can notice."""
    rows = json.loads(EQUIVALENT.read_text())
    return {(row["path"], row["operator"], row["line"]): row["why"] for row in rows}


def report(outcomes: dict[Mutant, bool]) -> bool:
    """The score of each room and of all; whether it is good enough."""
    known = harmless()
    equal = [m for m, alive in outcomes.items() if alive and (m.path, m.operator, m.source) in known]
    counted = {m: alive for m, alive in outcomes.items() if m not in equal}
    good = len(equal) <= MOST_EQUIVALENT * len(outcomes)
    print(f"\n{'room':14} {'killed':>6} {'of':>4} {'score':>7}")
    for room in [*ROOMS, "all"]:
        own = [alive for m, alive in counted.items() if room in (m.room, "all")]
        if not own:
            continue
        score, goal = 1 - sum(own) / len(own), STRICT if room in STRICT_ROOMS else OVERALL if room == "all" else 0.0
        good = good and score >= goal
        short = "" if score >= goal else f"  below {goal:.0%}"
        print(f"{room:14} {len(own) - sum(own):6} {len(own):4} {score:7.1%}{short}")
    print(f"equivalent: {len(equal)} of {len(outcomes)}")
    for mutant in equal:
        print(f"  {mutant.shown}  ({known[mutant.path, mutant.operator, mutant.source]})")
    print("survivors:")
    for mutant in (m for m, alive in counted.items() if alive):
        print(f"  {mutant.shown}")
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--per-room", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("rooms", nargs="*", default=list(ROOMS), help=f"of {', '.join(ROOMS)}; default: all")
    asked = parser.parse_args()
    start = time.monotonic()
    chances = {room: random.Random(f"{asked.seed} {room}") for room in asked.rooms}  # noqa: S311 - it draws a sample
    mutants = [mutant for room, chance in chances.items() for mutant in draw(room, asked.per_room, chance)]
    good = report(run(mutants, asked.workers))
    print(f"seed {asked.seed}, {len(mutants)} mutants, {(time.monotonic() - start) / 60:.0f} minutes")
    sys.exit(not good)


if __name__ == "__main__":
    main()
