"""Each name that is agreed on outside this code stands in one module."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import langchain_qwen3_sglang
import llama_index_qwen3_sglang
import qwen3_sglang
from qwen3_sglang import names

PACKAGES = [Path(package.__path__[0]) for package in (qwen3_sglang, langchain_qwen3_sglang, llama_index_qwen3_sglang)]
LONG = [value for value in vars(names).values() if isinstance(value, str) and value.startswith(("Qwen", "QWEN"))]


@cache
def literals(path: Path) -> set[str]:
    """The strings that a module computes with: no docstrings, and no texts around a name."""
    return {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)} - {...}


@pytest.mark.parametrize("name", [*LONG, names.WEIGHT, names.BIAS, names.LM_HEAD, names.EMBEDDINGS])
def test_a_name_has_one_home(name: str) -> None:
    """Who needs it imports it from there."""
    files = [path for package in PACKAGES for path in package.rglob("*.py")]
    assert len(files) > 50
    assert [path.name for path in files if name in literals(path)] == ["names.py"]
