"""A corpus that every machine with Python has: the docstrings of its standard library."""

from __future__ import annotations

import ast
import sysconfig
from pathlib import Path


def docstrings() -> list[tuple[str, str]]:
    """(first line, the rest) of every docstring of some length in the standard library's modules."""
    found: dict[str, str] = {}
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                first, _, rest = (ast.get_docstring(node) or "").partition("\n\n")
                if len(first.split()) >= 4 and len(rest.split()) >= 25:
                    found.setdefault(" ".join(first.split()), " ".join(rest.split()))
    return list(found.items())
