"""Who may import whom: the architecture as a table, read against the source."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import qwen3_sglang

ROOT = Path(__file__).parents[1]
CORE = "qwen3_sglang"
ADAPTERS = ("langchain_qwen3_sglang", "llama_index_qwen3_sglang")


@dataclass(frozen=True)
class Room:
    """A package of the core, or a module at its root.

    Attributes:
        may: the rooms it may import.
        modules: its modules, `__init__` apart; none for a module at the root.
    """

    may: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)


# From the ground up: a room may import only rooms that stand above it in this table.
ROOMS = {
    "errors": Room(),
    "names": Room(),
    "ranking": Room({"errors"}),
    "secret": Room({"names"}),
    "_moved": Room(),
    "prompts": Room(
        {"errors"}, {"chunks", "framed", "records", "special", "template", "texts", "tokenizer", "truncate"}
    ),
    "protocol": Room(
        {"errors", "names", "prompts", "ranking"},
        {
            "answers",
            "call",
            "diagnosis",
            "endpoints",
            "exchange",
            "lists",
            "packing",
            "responses",
            "retry",
            "served",
            "tokenizing",
            "ways",
        },
    ),
    "options": Room({"errors", "names", "prompts", "protocol", "secret"}, {"foreign", "headers", "keywords", "option"}),
    "settings": Room({"errors", "names", "options", "prompts", "protocol", "secret"}),
    "transport": Room(
        {"errors", "names", "options", "protocol", "secret", "settings"},
        {
            "addresses",
            "bodies",
            "bounds",
            "deadline",
            "environment",
            "failures",
            "forks",
            "framing",
            "layers",
            "loops",
            "pauses",
            "prepared",
            "sessions",
            "slots",
            "strict",
            "strict_async",
            "threads",
            "transport",
            "until",
        },
    ),
    "scoring": Room(
        {"errors", "prompts", "protocol", "ranking", "settings", "transport"},
        {
            "aside",
            "asked",
            "batching",
            "cache",
            "chunked",
            "finding",
            "learned",
            "progress",
            "queries",
            "reading",
            "scorer",
            "sending",
            "telling",
            "work",
        },
    ),
    "held": Room({"protocol", "scoring", "settings", "transport"}),
    "client": Room({"held", "options", "prompts", "protocol", "ranking", "scoring", "secret", "settings"}),
    "connection": Room({"client", "options", "settings"}),  # the adapters' alone: it needs pydantic
    "check": Room({"client", "errors", "protocol"}, {"known", "server", "way"}),
    "serving": Room(
        {"errors", "names"},
        {
            "callers",
            "capacity",
            "flags",
            "hosts",
            "in_thread",
            "limits",
            "loopback",
            "measured",
            "multi_item",
            "sglang_command",
        },
    ),
    "convert": Room(
        {"check", "errors", "names", "options", "prompts"},
        {
            "cached",
            "checkpoint",
            "classifier",
            "converter",
            "copying",
            "folder",
            "head",
            "hub",
            "inspect",
            "labels",
            "memory",
            "parity",
            "plan",
            "provenance",
            "remarks",
            "staging",
            "symlinks",
            "tensors",
            "verify",
            "vocabulary",
            "write",
        },
    ),
    "evaluate": Room(
        {"client", "errors", "options", "prompts", "ranking"},
        {
            "asking",
            "beir",
            "bm25",
            "dataset",
            "documents",
            "files",
            "formats",
            "grades",
            "html",
            "jsonl",
            "lines",
            "metrics",
            "plots",
            "readings",
            "report",
            "rounding",
            "scoring",
            "statistics",
            "store",
            "tables",
            "thresholds",
            "tokens",
            "trec",
            "verdict",
        },
    ),
    "playground": Room(
        {"client", "errors", "options", "prompts", "ranking", "serving"}, {"answer", "app", "guard", "proxy"}
    ),
    "local": Room(
        {"errors", "names", "options", "playground", "prompts", "ranking", "serving"},
        {
            "batcher",
            "body",
            "checkpoint",
            "checks",
            "device",
            "encoding",
            "endpoints",
            "engine",
            "forward",
            "items",
            "labels",
            "openapi",
            "playground",
            "probe",
            "server",
            "sharing",
            "warm_up",
        },
    ),
    "toy": Room(
        {"convert", "errors", "local", "names", "prompts"}, {"corpus", "serving", "tokenizer", "wiring", "words"}
    ),
    "cli": Room(
        {
            "check",
            "client",
            "convert",
            "errors",
            "evaluate",
            "local",
            "names",
            "playground",
            "prompts",
            "ranking",
            "serving",
            "settings",
            "toy",
        },
        {
            "app",
            "check",
            "console",
            "convert",
            "demo",
            "documents",
            "evaluate",
            "failures",
            "options",
            "plan",
            "playground",
            "rerank",
            "serve",
            "start",
            "streams",
            "verbose",
        },
    ),
    "__main__": Room({"cli", "errors"}),
    "__init__": Room({"_moved", "client", "errors", "prompts", "protocol", "ranking"}),
}


def imports(path: Path) -> set[str]:
    """Every module that a file names, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            # What is imported may be a module itself.
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def files_of(room: str) -> list[Path]:
    """The room's modules on disk."""
    folder = ROOT / CORE / room
    return sorted(folder.glob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def test_every_module_is_in_the_table() -> None:
    """A new file has to be put into a room, and a room that is gone has to leave the table."""
    listed = {f"{room}/{module}.py" for room, found in ROOMS.items() for module in found.modules}
    listed |= {f"{room}/__init__.py" if found.modules else f"{room}.py" for room, found in ROOMS.items()}
    assert {path.relative_to(ROOT / CORE).as_posix() for path in (ROOT / CORE).rglob("*.py")} == listed


def test_no_arrow_points_up() -> None:
    """The table is written from the ground up, so that there are no circles between rooms."""
    order = list(ROOMS)
    upward = {(room, other) for room in ROOMS for other in ROOMS[room].may if order.index(other) >= order.index(room)}
    assert upward == set()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    """Neither a room that isn't in its row, nor one in the row that it doesn't need any more."""
    names = {name for file in files_of(room) for name in imports(file) if name.startswith(f"{CORE}.")}
    found = {name.split(".")[1] for name in names} & ROOMS.keys() - {room}
    assert found == ROOMS[room].may


@pytest.mark.parametrize("room", [room for room, found in ROOMS.items() if found.modules])
def test_no_circle_inside_a_room(room: str) -> None:
    """Modules of one package build on each other in one direction."""
    graph = {
        module: {other for other in ROOMS[room].modules - {module} if f"{CORE}.{room}.{other}" in known}
        for module in ROOMS[room].modules
        for known in [imports(ROOT / CORE / room / f"{module}.py")]
    }
    assert set(graphlib.TopologicalSorter(graph).static_order()) == ROOMS[room].modules


@pytest.mark.parametrize("room", ["prompts", "protocol", "transport", "scoring", "serving", "cli"])
def test_these_packages_hand_nothing_on(room: str) -> None:
    """Each name has one import path."""
    assert (ROOT / CORE / room / "__init__.py").read_text() == ""


@pytest.mark.parametrize("package", [CORE, *ADAPTERS])
def test_packages_keep_apart(package: str) -> None:
    """The core knows no framework, an adapter knows only its own."""
    mine = package.removesuffix("_qwen3_sglang") if package != CORE else "none"
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for file in files:
        tops = {name.split(".")[0] for name in imports(file)}
        foreign = {t for t in tops if t.startswith(("langchain", "llama_index")) and not t.startswith(mine)}
        assert not foreign, file


def test_contributing_names_every_room() -> None:
    """The map that a contributor reads has every package, and every module at the core's root."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = [f"`{CORE}/{room}/`" if found.modules else f"`{CORE}/{room}.py`" for room, found in ROOMS.items()]
    assert [path for path in [*paths, *(f"`{adapter}/`" for adapter in ADAPTERS)] if path not in text] == []


def test_every_module_has_its_tests() -> None:
    """By name, in the folder of its package; or the docstring of the file that tests it says so."""
    tests = ROOT / "tests"
    said = [ast.get_docstring(ast.parse(path.read_text())) or "" for path in tests.rglob("test_*.py")]
    modules = [path.relative_to(ROOT / CORE) for path in (ROOT / CORE).rglob("*.py") if path.stem != "__init__"]
    untested = [
        path.as_posix()
        for path in modules
        if not (tests / path.parent / f"test_{path.stem}.py").exists()
        and not any(f"`{path.as_posix()}`" in text for text in said)
    ]
    assert modules
    assert untested == []


def test_the_converter_needs_no_http_client() -> None:
    """Half a second of `convert` would go into importing one."""
    code = "import sys, qwen3_sglang.convert; print(*sorted({'aiohttp', 'requests', 'torch'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert found == []


def test_every_public_name_is_there() -> None:
    """The lazy one too, and no other."""
    assert all(getattr(qwen3_sglang, name) for name in qwen3_sglang.__all__)
    with pytest.raises(AttributeError, match="no attribute 'RerankKlient'"):
        _ = qwen3_sglang.RerankKlient
