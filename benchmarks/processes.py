"""The clients of one row spread over several processes: one Python process can't keep several GPUs busy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier

from load import WAYS, Load, Target, run

LONGEST_START = 120  # seconds
_line: list[Barrier] = []


@dataclass(frozen=True)
class Part:
    """What one process is given; a way goes by its name, since its functions can't be sent."""

    way: str
    target: Target
    warm: Sequence[str]
    queries: Sequence[tuple[str, Sequence[str]]]
    seconds: float


def spread(part: Part, processes: int, *, before: Callable[[], None]) -> Load:
    """One row: every process opens its connections, then `before` is called once, then all begin.

    Its wall time is that of the slowest process.
    """
    if part.target.clients < processes:
        raise SystemExit(f"{part.target.clients} client(s) can't be spread over --processes {processes}")
    context = get_context("spawn")
    line = context.Barrier(processes + 1)
    with ProcessPoolExecutor(processes, context, _stand, (line,)) as pool:
        loads = [pool.submit(_share, share) for share in _dealt(part, processes)]
        line.wait(LONGEST_START)
        before()
        line.wait(LONGEST_START)
        return _together([load.result() for load in loads])


def _dealt(part: Part, processes: int) -> list[Part]:
    whole, more = divmod(part.target.clients, processes)
    clients = [whole + (place < more) for place in range(processes)]
    return [
        replace(part, target=replace(part.target, clients=count), queries=part.queries[place::processes])
        for place, count in enumerate(clients)
    ]


def _stand(line: Barrier) -> None:
    _line.append(line)


def _share(part: Part) -> Load:
    def begin() -> None:
        _line[0].wait(LONGEST_START)
        _line[0].wait(LONGEST_START)

    return run(WAYS[part.way], part.target, part.warm, part.queries, part.seconds, before=begin)


def _together(loads: Sequence[Load]) -> Load:
    latencies = [seconds for load in loads for seconds in load.latencies]
    scores = {query: found for load in loads for query, found in load.scores.items()}
    return Load(max(load.wall for load in loads), latencies, scores)
