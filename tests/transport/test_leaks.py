"""Calls by the hundred leave nothing behind: the benchmark, scaled down; it counts and times nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LEAK = Path(__file__).parents[2] / "benchmarks" / "leak.py"


def test_nothing_grows() -> None:
    """Descriptors, sockets, threads, tasks, objects, memory; calls sync and async, event loops, clients."""
    command = [sys.executable, str(LEAK), "--calls", "320"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=LEAK.parents[1])
    assert done.returncode == 0, done.stdout + done.stderr
    head, *rows, verdict = done.stdout.splitlines()
    assert [row.split()[0] for row in rows] == [run for run in ("sync", "async", "loops", "clients") for _ in range(4)]
    assert {"sockets", "threads", "tasks", "objects"} < set(head.split())
    assert verdict == "nothing grew"
