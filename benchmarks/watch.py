"""What each process of a server, its GPU, and a client cost while a command runs against it.

    python benchmarks/watch.py SERVER_PID COMMAND...

SERVER_PID is the server's first process; its children are found by themselves. A process that takes nearly one core
all the time is what the others wait for, since Python's threads share one. Linux only; GPUs are NVIDIA's.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
SAMPLES = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "100")


def main() -> int:
    """Run the command; the table comes after it, and its exit status is ours."""
    root, command = int(sys.argv[1]), sys.argv[2:]
    before, start = cpu_seconds(root), time.monotonic()
    gpu = subprocess.Popen(SAMPLES, stdout=subprocess.PIPE, text=True) if shutil.which(SAMPLES[0]) else None
    status = subprocess.run(command, check=False).returncode
    wall, after = time.monotonic() - start, cpu_seconds(root)
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"\n{wall:.1f} s; cores that were busy, of each process with a hundredth of one")
    rows = {"the command": own.ru_utime + own.ru_stime} | {
        f"{name} ({pid})": seconds - before.get((pid, name), 0.0) for (pid, name), seconds in after.items()
    }
    for name, seconds in rows.items():
        if seconds / wall >= 0.01:
            print(f"  {name:40} {seconds / wall:6.2f}")
    if gpu is not None:
        gpu.terminate()
        busy = [float(line) for line in gpu.communicate()[0].splitlines() if line.strip().isdecimal()]
        if busy:
            print(f"  {'GPUs, share of the time with a kernel':40} {statistics.mean(busy) / 100:6.2f}")
    return status


def cpu_seconds(root: int) -> dict[tuple[int, str], float]:
    """(process id, name) -> seconds of CPU so far, of a process and all below it."""
    parents, seconds, names = {}, {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                text = (entry / "stat").read_text()
            except OSError:  # it ended meanwhile
                continue
            name, _, rest = text.partition("(")[2].rpartition(")")
            fields, pid = rest.split(), int(entry.name)
            parents[pid], names[pid] = int(fields[1]), name
            seconds[pid] = (int(fields[11]) + int(fields[12])) / TICK
    return {(pid, names[pid]): seconds[pid] for pid in parents if root in _line(pid, parents)}


def _line(pid: int, parents: dict[int, int]) -> list[int]:
    found = [pid]
    while found[-1] in parents:
        found.append(parents[found[-1]])
    return found


if __name__ == "__main__":
    sys.exit(main())
