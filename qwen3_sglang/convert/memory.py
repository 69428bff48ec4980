"""How much memory a process could still get: the system's, and what a container's limit leaves."""

from __future__ import annotations

import os
from pathlib import Path


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes of memory this process could still get; None where the system doesn't say."""
    # sysconf's free pages leave out what the page cache would give back, nearly all after a large copy.
    sizes = [_meminfo(root / "proc/meminfo"), _cgroup_room(root / "sys/fs/cgroup")]
    known = [size for size in sizes if size is not None]
    return min(known) if known else _sysconf()


def _meminfo(path: Path) -> int | None:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return None


def _cgroup_room(folder: Path) -> int | None:
    """What a container's limit leaves beside the memory that can't be reclaimed."""
    try:
        limit = int((folder / "memory.max").read_text(encoding="ascii"))
        usage = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        return limit - int(usage["anon"])
    except (OSError, ValueError, KeyError):  # "max" is no number: there is no limit
        return None


def _sysconf() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
