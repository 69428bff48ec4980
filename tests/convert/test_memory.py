"""How much memory there is."""

from __future__ import annotations

import os
from pathlib import Path

from qwen3_sglang.convert.memory import free_memory


def test_free_memory_heeds_a_containers_limit(tmp_path: Path) -> None:
    """The smaller of the machine's and the container's; what can be reclaimed counts as free."""
    for name in ("proc", "sys/fs/cgroup"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable:    8000 kB\n")
    assert free_memory(tmp_path) == 8000 * 1024
    (tmp_path / "sys/fs/cgroup/memory.stat").write_text("anon 1000\nfile 5000\n")
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert free_memory(tmp_path) == 8000 * 1024
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("6000\n")
    assert free_memory(tmp_path) == 5000
    assert free_memory(tmp_path / "nowhere") == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
