"""Habits that a machine can hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = [
    path
    for pattern in ("*_qwen3_sglang/**/*.py", "qwen3_sglang/**/*.py", "tests/**/*.py", "benchmarks/*.py")
    for path in sorted(ROOT.glob(pattern))
]
# The rules, and then why: "noqa: S104 - nothing listens".
IGNORES = re.compile(r"#\s*(?:ruff: )?noqa\b(?P<rules>:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?(?P<reason>\s+- \S.*)?")


def lines() -> Iterator[tuple[Path, int, str]]:
    """Of all files, with their numbers."""
    for path in FILES:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            yield path, number, line


def test_every_ignored_rule_has_its_reason() -> None:
    """Beside it, on the same line, and by its number."""
    assert FILES
    bare = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path, number, line in lines()
        if path != Path(__file__)
        for found in IGNORES.finditer(line)
        if not (found["rules"] and found["reason"])
    ]
    assert bare == []


# For one module alone: stand_in.py says how, and why.
IN_PLACE = re.compile(r"setattr\((?:\w+\.)?(?:asyncio|time|threading)(?:\.\w+)?, |setattr\(\w+\.socket, ")


def test_no_test_changes_what_other_threads_go_by() -> None:
    """Sleep, clocks, threads, sockets: a server that an earlier test left running uses them too."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}" for path, number, line in lines() if IN_PLACE.search(line)
    ]
    assert found == []
