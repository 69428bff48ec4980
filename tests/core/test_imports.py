"""Who may import whom."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = "qwen3_sglang"
ALLOWED = {
    "errors": set[str](),
    "prompt": {"errors"},
    "ranking": {"errors"},
    "batching": {"ranking"},
    "cache": {"ranking"},
    "answers": {"errors", "ranking"},
    "endpoints": {"answers", "prompt", "ranking"},
    "settings": {"endpoints", "errors", "prompt"},
    "truncate": {"errors", "prompt"},
    "tokenizer": {"errors"},
    "protocol": {"answers", "endpoints", "errors", "ranking", "truncate"},
    "progress": {"protocol", "ranking"},
    "sessions": {"settings"},
    "client": {
        "answers",
        "batching",
        "cache",
        "endpoints",
        "errors",
        "progress",
        "prompt",
        "protocol",
        "ranking",
        "sessions",
        "settings",
        "tokenizer",
        "truncate",
    },
    "findings": set(),
    "check": {"client", "errors", "findings"},
    "serve": {"errors", "prompt"},
    "toy": {"errors", "prompt"},
    "convert": {"errors", "prompt", "findings", "convert"},
    "local": {"errors", "prompt", "local"},
}


def imports(path: Path) -> set[str]:
    """Every module of ours that a file names, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == CORE:
                names |= {f"{CORE}.{alias.name}" for alias in node.names}
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


@pytest.mark.parametrize("module", ALLOWED)
def test_core_modules_import_only_what_they_may(module: str) -> None:
    """The table of the architecture, read from the source."""
    files = list((ROOT / CORE / module).glob("*.py")) or [ROOT / CORE / f"{module}.py"]
    found = {name.split(".")[1] for file in files for name in imports(file) if name.startswith(f"{CORE}.")}
    assert found <= ALLOWED[module]


@pytest.mark.parametrize("package", [CORE, "langchain_qwen3_sglang", "llama_index_qwen3_sglang"])
def test_packages_keep_apart(package: str) -> None:
    """The core knows no framework, an adapter knows only its own."""
    mine = package.removesuffix("_qwen3_sglang") if package != CORE else "none"
    for file in (ROOT / package).rglob("*.py"):
        tops = {name.split(".")[0] for name in imports(file)}
        foreign = {t for t in tops if t.startswith(("langchain", "llama_index")) and not t.startswith(mine)}
        assert not foreign, file
