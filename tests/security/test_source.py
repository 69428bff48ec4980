"""What the source must never do, read from the source."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("qwen3_sglang", "langchain_qwen3_sglang", "llama_index_qwen3_sglang")
FILES = [file for package in (*PACKAGES, "examples", "benchmarks") for file in sorted((ROOT / package).rglob("*.py"))]
RUN_WHAT_THEY_READ = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
LOADERS = {"eval", "exec", "torch.load", "yaml.load", "yaml.unsafe_load"}


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a call's function."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_nothing_runs_what_it_reads(file: Path) -> None:
    """No pickle, no trust_remote_code, no eval, no torch.load: checkpoints are safetensors and JSON."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imported.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Call):
            assert dotted(node.func) not in LOADERS, f"{file}:{node.lineno}"
            assert "trust_remote_code" not in {keyword.arg for keyword in node.keywords}, f"{file}:{node.lineno}"
            shells = [word for word in node.keywords if word.arg == "shell" and ast.unparse(word.value) != "False"]
            assert not shells, f"{file}:{node.lineno}"
    assert not imported & RUN_WHAT_THEY_READ


def test_no_flag_hands_it_on() -> None:
    """Neither does a command line that we build for SGLang."""
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"[\"']--trust-remote-code[\"']", text), file
