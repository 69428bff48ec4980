"""Do the tests notice when the code is wrong? Break one place at a time, and run the tests that should fail.

``python .ci/mutants.py --seed 1 --per-room 20`` draws places by the seed, equally many for each room, breaks each by
one of cosmic-ray's operators in a copy of the tree, and prints how many the tests killed. A test kills a mutant when
it fails twice with it, and passes without it. `EQUIVALENT` lists mutants that no test can kill, each with the reason;
they are left out of the score, and may be a tenth of the drawn at most.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from mutant_map import Map, Test, Worker, mapped
from mutant_places import ROOMS, Mutant, draw, tests_of
from project import ROOT

EQUIVALENT = Path(__file__).with_name("equivalent_mutants.json")
MOST_EQUIVALENT = 0.1
OVERALL, STRICT = 0.88, 0.92
STRICT_ROOMS = {"prompts", "protocol", "transport", "scoring", "convert/head"}
NO_TESTS = 5  # pytest's exit code where there is none
SECONDS = 25  # for the tests of one mutant, and ten times what they take: one that hangs is noticed as well


def killer(mutant: Mutant, known: Map, worker: Worker) -> str:
    """The test that notices the mutant; an empty string if none does."""
    whole = (ROOT / mutant.path).read_text()
    try:
        for tests in known.rounds(mutant.path, mutant.line):
            by = _noticed(worker, mutant, whole, tests, known)
            if by:
                return by
    finally:
        worker.write(mutant.path, whole)
    return ""


def _noticed(worker: Worker, mutant: Mutant, whole: str, tests: list[Test], known: Map) -> str:
    left = tests
    while left:
        worker.write(mutant.path, mutant.broken(whole))
        answer = _run(worker, left, known)
        if answer["code"] in {0, NO_TESTS}:
            break
        if not answer["failed"]:  # pytest came to no end, or couldn't begin
            _expect_an_answer(worker, mutant.path, whole, left, known)
            return "no answer"
        [failed] = answer["failed"][-1:]
        if _repeats(worker, mutant.path, whole, failed, known):
            return str(failed)
        left = [test for test in left if test.name != failed]
    return ""


def _expect_an_answer(worker: Worker, path: str, whole: str, tests: list[Test], known: Map) -> None:
    """These tests come to an end without the mutant; else it isn't the mutant that stops them.

    Raises:
        SystemExit: they don't, so that no score means anything.
    """
    files = {test.file for test in tests}
    if files <= worker.answering:
        return
    worker.write(path, whole)
    answer = _run(worker, tests, known)
    if answer["code"] != 0 and not answer["failed"]:
        raise SystemExit(f"{', '.join(sorted(files))}: no answer without a mutant either; were they being edited?")
    worker.answering |= files


def _repeats(worker: Worker, path: str, whole: str, failed: str, known: Map) -> bool:
    """Whether it is the mutant that fails this test: it fails again, and passes with the file as it was."""
    alone = [Test(failed, 1.0)]
    if _run(worker, alone, known)["code"] == 0:
        return False
    if failed in worker.sound:
        return True
    worker.write(path, whole)
    return bool(_run(worker, alone, known)["code"] == 0)


def _run(worker: Worker, tests: list[Test], known: Map) -> dict[str, Any]:
    names, files = [test.name for test in tests], list(dict.fromkeys(test.file for test in tests))
    limit = SECONDS + 10 * sum(test.seconds for test in tests)
    answer = worker.run(files=files, wanted=names, limit=limit, load=list(known.modules))
    worker.sound |= set(answer["seconds"]) - set(answer["failed"])
    return answer


def run(mutants: list[Mutant], known: Map, workers: int) -> dict[Mutant, bool]:
    """Which of them survive."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool:
        ready: SimpleQueue[Worker] = SimpleQueue()
        for number in range(workers):
            ready.put(Worker(Path(folder) / str(number)))

        def one(mutant: Mutant) -> bool:
            worker, start = ready.get(), time.monotonic()
            try:
                by = killer(mutant, known, worker)
            finally:
                ready.put(worker)
            took = f"{time.monotonic() - start:.0f} s"
            said = f"killed   {mutant.shown}  [{took}, {by}]" if by else f"survived {mutant.shown}  [{took}]"
            print(said, flush=True)
            return not by

        alive = dict(zip(mutants, pool.map(one, mutants), strict=True))
        for _ in range(workers):
            ready.get().close()
        return alive


def harmless() -> dict[tuple[str, str, str], str]:
    """(file, operator, line) -> why no test can notice."""
    rows = json.loads(EQUIVALENT.read_text())
    return {(row["path"], row["operator"], row["line"]): row["why"] for row in rows}


def report(outcomes: dict[Mutant, bool]) -> bool:
    """The score of each room and of all; whether it is good enough."""
    known = harmless()
    equal = [m for m, alive in outcomes.items() if alive and (m.path, m.operator, m.source) in known]
    counted = {m: alive for m, alive in outcomes.items() if m not in equal}
    good = len(equal) <= MOST_EQUIVALENT * len(outcomes)
    print(f"\n{'room':14} {'killed':>6} {'of':>4} {'score':>7}")
    for room in [*ROOMS, "all"]:
        own = [alive for m, alive in counted.items() if room in (m.room, "all")]
        if not own:
            continue
        score, goal = 1 - sum(own) / len(own), STRICT if room in STRICT_ROOMS else OVERALL if room == "all" else 0.0
        good = good and score >= goal
        short = "" if score >= goal else f"  below {goal:.0%}"
        print(f"{room:14} {len(own) - sum(own):6} {len(own):4} {score:7.1%}{short}")
    print(f"equivalent: {len(equal)} of {len(outcomes)}")
    for mutant in equal:
        print(f"  {mutant.shown}  ({known[mutant.path, mutant.operator, mutant.source]})")
    print("survivors:")
    for mutant in (m for m, alive in counted.items() if alive):
        print(f"  {mutant.shown}")
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--per-room", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("rooms", nargs="*", default=list(ROOMS), help=f"of {', '.join(ROOMS)}; default: all")
    asked = parser.parse_args()
    start = time.monotonic()
    chances = {room: random.Random(f"{asked.seed} {room}") for room in asked.rooms}  # noqa: S311 - it draws a sample
    mutants = [mutant for room, chance in chances.items() for mutant in draw(room, asked.per_room, chance)]
    tests: dict[str, set[str]] = defaultdict(set)
    for mutant in mutants:
        for test in tests_of(mutant.room):
            tests[test].add(mutant.path)
    known = mapped(tests, asked.workers)
    middle = time.monotonic()
    good = report(run(mutants, known, asked.workers))
    minutes = f"{(middle - start) / 60:.0f} minutes for the map, {(time.monotonic() - middle) / 60:.0f} for the mutants"
    print(f"seed {asked.seed}, {len(mutants)} mutants, {minutes}")
    sys.exit(not good)


if __name__ == "__main__":
    main()
