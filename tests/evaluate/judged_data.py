"""Queries whose documents say their own score, for the fake server."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROWS: list[dict[str, Any]] = [
    {"id": "a", "query": "one?", "documents": ["x p=0.2", "y p=0.9", "z p=0.4"], "relevant": [1]},
    {"id": "b", "query": "two?", "documents": ["u p=0.8", "v p=0.6", "w p=0.1"], "relevant": {"0": 0, "1": 2, "2": 1}},
    {"id": "c", "query": "three?", "documents": ["s p=0.7", "t p=0.05"], "relevant": []},
]


def write_lines(path: Path, rows: Iterable[Any]) -> Path:
    """JSONL, or lines that are text already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path
