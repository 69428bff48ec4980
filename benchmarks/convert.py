"""Peak memory and time of a conversion: the usual recipe, ours, ours with links, and `cp -r`, side by side.

Checkpoints of random numbers in the real shapes are made for it; nothing is downloaded. Every run is a process of
its own, and its whole life is timed, the interpreter's start included. The system's buffers are synced before each
run; "with sync" goes on until the written bytes are on the disk. The ways take turns in going first. Peaks below
this script's own memory, as that of cp, read as this script's own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAKE = [sys.executable, str(Path(__file__).with_name("random_checkpoint.py"))]
SIZES = ("0.6B", "8B")
PEAK_MB, OF_CP, LINK_SECONDS = 250, 1.15, 2.0

RECIPE = """
import sys, torch
from transformers import Qwen3ForCausalLM, Qwen3ForSequenceClassification
source, target = sys.argv[1:]
causal = Qwen3ForCausalLM.from_pretrained(source, dtype=torch.float32)
model = Qwen3ForSequenceClassification.from_pretrained(source, num_labels=2, dtype=torch.float32)
with torch.no_grad():
    model.score.weight.copy_(causal.lm_head.weight[[2152, 9693]])
model.save_pretrained(target)
"""
OURS = "import sys; from qwen3_sglang.convert import convert; convert(*sys.argv[1:], verify=False, link={})"
WAYS = {
    "usual recipe": [sys.executable, "-c", RECIPE],
    "ours, copying": [sys.executable, "-c", OURS.format(False)],
    "ours, --link": [sys.executable, "-c", OURS.format(True)],
    "ours, start only": [sys.executable, "-c", "from qwen3_sglang.convert import convert"],
    "cp -r": ["cp", "-r", "--reflink=auto"],
}
MOST_FOR_RECIPE = 2 * 10**9  # bytes of source; beyond it two float32 copies need too much memory for most machines


@dataclass(frozen=True)
class Run:
    """One run of one way: megabytes at the peak, seconds until it returned and until the disk had it all."""

    peak: float
    returned: float
    synced: float


def main() -> None:
    """Parse the arguments, run the sizes that fit, clean up whatever happens."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=SIZES)
    parser.add_argument("--work", type=Path, default=Path.cwd(), help="where a temporary folder is made and removed")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each way; the usual recipe gets one")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the folder is removed then too
    try:
        with tempfile.TemporaryDirectory(prefix="benchmark-", dir=arguments.work) as work:
            say(machine(Path(work)))
            for size in arguments.sizes:
                bench(size, Path(work), max(1, arguments.repeat))
    except KeyboardInterrupt:
        sys.exit("stopped; the temporary folder is removed")


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def machine(work: Path) -> str:
    """What the figures depend on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    command = ["df", "--output=fstype", str(work)]
    system = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]
    return f"{os.cpu_count()} cores, {memory:.0f} GB memory, {system}, Python {sys.version.split()[0]}"


def bench(size: str, work: Path, repeat: int) -> None:
    """Make the checkpoint of one size, run every way on it, print the table and the goals."""
    made = make(size)
    with_recipe = made["bytes"] < MOST_FOR_RECIPE
    needed = made["bytes"] * (3.2 if with_recipe else 2.1)  # source and one result at a time; the recipe's is float32
    free = shutil.disk_usage(work).free
    if free < needed:
        say(f"\n{size}: skipped, it needs {needed / 1e9:.0f} GB and {work} has {free / 1e9:.0f} GB free; see --work")
        return
    source = work / size
    make(size, source)
    say(f"\nQwen3-Reranker-{size}: {made['bytes'] / 1e9:.2f} GB in {made['files']} file(s), median of {repeat} (range)")
    warm(source)
    runs = measure(source, work / "result", repeat, with_recipe=with_recipe)
    say(table(runs))
    say(goals(runs))
    shutil.rmtree(source)


def make(size: str, *folder: Path) -> dict[str, int]:
    """In a process of its own: a child's peak is never reported lower than this process' memory, so it stays small."""
    command = [*MAKE, size, *map(str, folder)]
    made: dict[str, int] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return made


def warm(source: Path) -> None:
    """Read it once, so that the first way doesn't pay for all."""
    for path in source.iterdir():
        with path.open("rb", buffering=0) as file:
            while file.read(8 * 2**20):
                pass


def measure(source: Path, target: Path, repeat: int, *, with_recipe: bool) -> dict[str, list[Run]]:
    """All runs of all ways; each result is removed before the next run."""
    runs: dict[str, list[Run]] = defaultdict(list)
    for way in order(repeat, with_recipe=with_recipe):
        os.sync()
        runs[way].append(run([*WAYS[way], str(source), str(target)]))
        shutil.rmtree(target, ignore_errors=True)
    return runs


def order(repeat: int, *, with_recipe: bool) -> Iterator[str]:
    """The recipe once, then rounds of the others, each starting with another one."""
    ways = list(WAYS)
    recipe, others = ways[0], ways[1:]
    if with_recipe:
        yield recipe
    for number in range(repeat):
        first = number % len(others)
        yield from [*others[first:], *others[:first]]


def run(command: list[str]) -> Run:
    """One process: wait4 gives this child's own peak, where RUSAGE_CHILDREN would give the highest of all so far."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None  # it was asked for
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    returned = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command[0]} failed:\n{said.decode(errors='replace')[-2000:]}")
    os.sync()
    return Run(usage.ru_maxrss * 1024 / 1e6, returned, time.perf_counter() - start)


def table(runs: dict[str, list[Run]]) -> str:
    """One line a way."""
    lines = [f"{'':16} {'peak MB':>8}   {'seconds':>20}   {'with sync':>22}"]
    for way, them in runs.items():
        peak = max(one.peak for one in them)
        returned, synced = spread([one.returned for one in them]), spread([one.synced for one in them])
        lines.append(f"{way:16} {peak:8.0f}   {returned:>20}   {synced:>22}")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    """Median, and from where to where."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def goals(runs: dict[str, list[Run]]) -> str:
    """Each goal with what was measured, met or missed."""
    ours, linked, plain = runs["ours, copying"], runs["ours, --link"], runs["cp -r"]
    peak = max(one.peak for one in [*ours, *linked])
    returned = statistics.median(r.returned for r in ours) / statistics.median(r.returned for r in plain)
    synced = statistics.median(r.synced for r in ours) / statistics.median(r.synced for r in plain)
    link = statistics.median(r.returned for r in linked)
    checks = [
        (f"peak {peak:.0f} MB, goal below {PEAK_MB}", peak < PEAK_MB),
        (f"copying takes {returned:.2f} of cp, goal at most {OF_CP}", returned <= OF_CP),
        (f"copying with sync takes {synced:.2f} of cp, goal at most {OF_CP}", synced <= OF_CP),
        (f"--link takes {link:.2f} s, goal below {LINK_SECONDS:.0f}", link < LINK_SECONDS),
    ]
    return "\n".join(f"{'met   ' if met else 'missed'} {text}" for text, met in checks)


if __name__ == "__main__":
    main()
