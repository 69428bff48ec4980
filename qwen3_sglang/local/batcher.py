"""Prompts that arrive together are scored together: a queue, one worker, one thread that computes.

The worker computes one pass at a time. Before each, and inside it before each layer, prompts are dropped that nobody
waits for any more.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

Prompt = Sequence[int]
Logits = tuple[float, float]

# Enough to fill a batch, few enough that a request which comes next doesn't wait for a thousand others.
MAX_TOGETHER = 64
_NEWEST = 0.3  # the weight of the last pass in the measured speed


class Work(Protocol):
    """A list of prompts that is scored pass by pass."""

    @property
    def tokens(self) -> int:
        """How many are left to compute."""

    def step(self, wanted: Callable[[int], bool]) -> Mapping[int, Logits] | None:
        """Compute one pass, without the prompts that aren't wanted: logits by index; None when all is done."""


Begin = Callable[[list[Prompt]], Work]


class TooSlowError(Exception):
    """The caller waits for less time than the prompts take.

    Attributes:
        needed: seconds that they take, with what waits before them.
        given: seconds that the caller waits.
    """

    def __init__(self, needed: float, given: float) -> None:
        super().__init__(needed, given)
        self.needed = needed
        self.given = given


@dataclass(eq=False, slots=True)
class _Job:
    prompts: list[Prompt]
    tokens: int
    done: asyncio.Future[list[Logits]]
    found: dict[int, Logits] = field(default_factory=dict)

    def add(self, place: int, logits: Logits) -> None:
        self.found[place] = logits
        if len(self.found) == len(self.prompts) and not self.done.done():
            self.done.set_result([self.found[index] for index in range(len(self.prompts))])

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class Batcher:
    """Passes waiting prompts to `begin`, from one event loop.

    Attributes:
        speed: tokens per second, as measured; None before the first pass.
    """

    def __init__(self, begin: Begin, *, max_together: int = MAX_TOGETHER, speed: float | None = None) -> None:
        self._begin = begin
        self._max_together = max_together
        self.speed = speed
        self._queue: deque[_Job] = deque()
        self._filled = asyncio.Event()
        self._working: Work | None = None
        # One thread: torch uses every core for one batch, so two at a time would only share them.
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="score")
        self._worker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the worker in the running loop."""
        self._worker = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Stop the worker; jobs that still wait are cancelled."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        while self._queue:
            self._queue.popleft().done.cancel()
        self._executor.shutdown(wait=True)

    async def score(self, prompts: Sequence[Prompt], within: float | None = None) -> list[Logits]:
        """The logits of `prompts`, in their order.

        Args:
            prompts: token ids.
            within: seconds that the caller waits; None where that isn't known.

        Raises:
            TooSlowError: they take longer.
        """
        if not prompts:
            return []
        given = list(prompts)
        tokens = (await asyncio.to_thread(self._begin, given)).tokens
        needed = self.seconds(tokens)
        if within is not None and needed is not None and needed > within:
            raise TooSlowError(needed, within)
        job = _Job(given, tokens, asyncio.get_running_loop().create_future())
        self._queue.append(job)
        self._filled.set()
        return await job.done

    def seconds(self, tokens: int) -> float | None:
        """How long so many more tokens take, after what waits now; None while the speed isn't known."""
        if self.speed is None:
            return None
        waiting = sum(job.tokens for job in self._queue if not job.done.done())
        return (tokens + waiting + (self._working.tokens if self._working else 0)) / self.speed

    async def _work(self) -> None:
        while True:
            await self._filled.wait()
            jobs = self._take()
            try:
                await self._run(jobs)
            except asyncio.CancelledError:
                for job in jobs:
                    job.done.cancel()
                raise

    def _take(self) -> list[_Job]:
        """Jobs that wait, up to the limit, without those whose callers hung up."""
        jobs: list[_Job] = []
        while self._queue and sum(len(job.prompts) for job in jobs) < self._max_together:
            job = self._queue.popleft()
            if not job.done.done():
                jobs.append(job)
        if not self._queue:
            self._filled.clear()
        return jobs

    async def _run(self, jobs: list[_Job]) -> None:
        """Score `jobs` together; if that fails, each alone, so that one never fails another."""
        try:
            await self._score(jobs)
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].fail(error)
                return
            for job in jobs:
                await self._run([job])
        finally:
            self._working = None

    async def _score(self, jobs: list[_Job]) -> None:
        places = [(job, place) for job in jobs if not job.done.done() for place in range(len(job.prompts))]
        if not places:
            return

        def wanted(index: int) -> bool:  # asked by the thread that computes
            return not places[index][0].done.done()

        loop = asyncio.get_running_loop()
        prompts = [job.prompts[place] for job, place in places]
        work = self._working = await loop.run_in_executor(self._executor, self._begin, prompts)
        while (found := await loop.run_in_executor(self._executor, self._step, work, wanted)) is not None:
            for index, logits in found.items():
                job, place = places[index]
                job.add(place, logits)

    def _step(self, work: Work, wanted: Callable[[int], bool]) -> Mapping[int, Logits] | None:
        """One pass, timed."""
        before, start = work.tokens, time.perf_counter()
        found = work.step(wanted)
        if found:
            speed = (before - work.tokens) / max(time.perf_counter() - start, 1e-6)
            self.speed = speed if self.speed is None else _NEWEST * speed + (1 - _NEWEST) * self.speed
        return found
