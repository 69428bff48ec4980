"""The places of each room that can be broken, and the tests that may notice."""

from __future__ import annotations

import ast
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from cosmic_ray.ast import get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from project import ROOT

NEED_ARGUMENTS = {"core/VariableReplacer", "core/VariableInserter"}

_CLIENT = ["tests/test_client.py", "tests/wire/test_what_is_served.py"]  # quick, and through all of them
# room -> (files, files or folders of tests). The fewer seconds these take, the better: they are mapped first.
ROOMS: dict[str, tuple[list[str], list[str]]] = {
    "prompts": (
        ["qwen3_sglang/prompts"],
        ["tests/prompts", "tests/protocol/test_tokenizing.py", "tests/scoring/test_queries.py"],
    ),
    "protocol": (["qwen3_sglang/protocol"], ["tests/protocol", *_CLIENT]),
    "transport": (
        ["qwen3_sglang/transport"],
        [
            "tests/transport",
            *_CLIENT,
            "tests/wire/test_answers_of_others.py",
            "tests/wire/test_tunnels.py",
            "tests/wire/test_within_bounds.py",
            "tests/security/test_transport.py",
        ],
    ),
    "scoring": (["qwen3_sglang/scoring"], ["tests/scoring", *_CLIENT]),
    "convert/head": (
        ["qwen3_sglang/convert/head.py"],
        ["tests/convert/test_head.py"],
    ),
    "root": (
        [f"qwen3_sglang/{name}.py" for name in ("client", "connection", "settings", "errors", "ranking", "secret")],
        [
            "tests/test_settings.py",
            "tests/test_ranking.py",
            "tests/test_errors.py",
            "tests/test_client.py",
            "tests/security/test_secret.py",
            "tests/scoring",
            "tests/adapters",
            "tests/options",
        ],
    ),
    "options": (
        ["qwen3_sglang/options"],
        ["tests/test_settings.py", "tests/options", "tests/security/test_headers.py", "tests/adapters"],
    ),
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
ALWAYS = "tests/test_values.py"  # looks at every module
# They need a browser or other servers, or draw at random for long, which would make each mutant slow.
LEFT_OUT = {
    "tests/playground/test_browser.py",
    "tests/protocol/test_fuzz.py",
    "tests/transport/test_leaks.py",
    "tests/wire/test_any_peer.py",
    "tests/wire/test_real_proxies.py",
}


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

    def broken(self, whole: str) -> str:
        """The text of the file, with the place broken."""
        found: str | None = mutate_code(whole, get_operator(self.operator)(), self.occurrence)
        if found is None:
            raise SystemExit(f"cosmic-ray can't make {self.shown}")
        return found


def draw(room: str, count: int, chance: random.Random) -> list[Mutant]:
    """So many places of a room, each broken in one way."""
    paths, _ = ROOMS[room]
    files = [file for path in paths for file in _files(ROOT / path, "*.py")]
    if room == "convert":
        files = [file for file in files if file.name != "head.py"]
    found = [mutants for file in files for _, mutants in sorted(_places(room, file).items())]
    shuffled = (chance.sample(mutants, len(mutants)) for mutants in chance.sample(found, len(found)))
    valid = (next(filter(_is_python, mutants), None) for mutants in shuffled)
    return list(islice(filter(None, valid), count))


def _is_python(mutant: Mutant) -> bool:
    """Whether it can be compiled; any test would notice one that can't, so it says nothing of the tests."""
    try:
        compile(mutant.broken((ROOT / mutant.path).read_text()), mutant.path, "exec")
    except (SyntaxError, AttributeError):  # the second is cosmic-ray's, of `except package.Error`
        return False
    return True


def tests_of(room: str) -> list[str]:
    """The test files that may notice what is broken in a room."""
    _, paths = ROOMS[room]
    found = (str(file.relative_to(ROOT)) for path in paths for file in _files(ROOT / path, "test_*.py"))
    return [*(file for file in dict.fromkeys(found) if file not in LEFT_OUT), ALWAYS]


def _files(path: Path, pattern: str) -> list[Path]:
    return sorted(path.rglob(pattern)) if path.is_dir() else [path]


def _places(room: str, path: Path) -> dict[tuple[int, int], list[Mutant]]:
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
