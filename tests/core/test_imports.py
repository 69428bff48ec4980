"""Who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import qwen3_sglang

ROOT = Path(__file__).parents[2]
CORE = "qwen3_sglang"
ALLOWED = {
    "errors": set[str](),
    "prompt": {"errors"},
    "ranking": {"errors"},
    "retry": {"errors"},
    "deadline": set(),
    "batching": set(),
    "cache": {"ranking"},
    "answers": {"errors", "ranking", "retry"},
    "endpoints": {"answers", "prompt", "ranking"},
    "secret": set(),
    "forks": set(),
    "settings": {"endpoints", "errors", "prompt", "retry", "secret"},
    "surroundings": {"errors"},
    "truncate": {"errors", "prompt"},
    "tokenizer": {"errors"},
    "many": {"errors", "prompt", "ranking", "truncate"},
    "exchange": {"answers", "errors", "retry"},
    "explain": {"answers", "endpoints", "errors", "exchange"},
    "protocol": {"answers", "endpoints", "errors", "exchange", "explain", "prompt", "ranking", "retry", "truncate"},
    "progress": {"errors", "exchange"},
    "sessions": {"deadline", "secret", "settings", "surroundings"},
    "slots": set(),
    "transport": {
        "answers",
        "deadline",
        "errors",
        "exchange",
        "forks",
        "retry",
        "secret",
        "sessions",
        "settings",
        "slots",
    },
    "scorer": {
        "batching",
        "cache",
        "deadline",
        "errors",
        "exchange",
        "forks",
        "many",
        "progress",
        "prompt",
        "protocol",
        "ranking",
        "settings",
        "tokenizer",
        "transport",
        "truncate",
    },
    "several": {"deadline", "errors", "many", "ranking", "scorer"},
    "client": {
        "deadline",
        "endpoints",
        "errors",
        "many",
        "progress",
        "prompt",
        "ranking",
        "retry",
        "secret",
        "settings",
        "several",
    },
    "loopback": set(),
    "running": {"errors"},
    "findings": set(),
    "check": {"client", "errors", "findings"},
    "serve": {"errors", "prompt"},
    "toy": {"errors", "prompt"},
    "convert": {"errors", "prompt", "findings", "convert"},
    "evaluate": {"client", "errors", "evaluate", "prompt", "ranking"},
    "playground": {"cli_options", "client", "errors", "loopback", "playground", "prompt", "ranking", "running"},
    "local": {"errors", "local", "loopback", "playground", "prompt", "ranking", "running", "truncate"},
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
