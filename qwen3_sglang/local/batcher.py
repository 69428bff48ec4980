"""Texts that arrive together are scored together: a queue, one worker, one thread that computes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

Prompt = Sequence[int]
Logits = tuple[float, float]
Score = Callable[[list[Prompt]], list[Logits]]

# Enough to fill a batch, few enough that a request which comes next doesn't wait for a thousand others.
MAX_TOGETHER = 64


class _Job(NamedTuple):
    prompts: list[Prompt]
    done: asyncio.Future[list[Logits]]


class Batcher:
    """Feeds `score` with what is waiting, from one event loop."""

    def __init__(self, score: Score, *, max_together: int = MAX_TOGETHER) -> None:
        self._score = score
        self._max_together = max_together
        self._queue: asyncio.Queue[_Job] = asyncio.Queue()
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
        while not self._queue.empty():
            self._queue.get_nowait().done.cancel()
        self._executor.shutdown(wait=True)

    async def score(self, prompts: Sequence[Prompt]) -> list[Logits]:
        """The logits of `prompts`, in their order."""
        if not prompts:
            return []
        job = _Job(list(prompts), asyncio.get_running_loop().create_future())
        self._queue.put_nowait(job)
        return await job.done

    async def _work(self) -> None:
        while True:
            jobs = self._take(await self._queue.get())
            try:
                await self._run(jobs)
            except asyncio.CancelledError:
                for job in jobs:
                    job.done.cancel()
                raise

    def _take(self, first: _Job) -> list[_Job]:
        """`first` and what waits behind it, up to the limit; who has hung up is left out."""
        jobs, count = [first], len(first.prompts)
        while count < self._max_together and not self._queue.empty():
            job = self._queue.get_nowait()
            jobs.append(job)
            count += len(job.prompts)
        return [job for job in jobs if not job.done.done()]

    async def _run(self, jobs: list[_Job]) -> None:
        """Score `jobs` together; if that fails, each alone, so that one never fails another."""
        try:
            logits = await self._compute([prompt for job in jobs for prompt in job.prompts])
        except Exception as error:
            if len(jobs) == 1:
                _fail(jobs[0], error)
                return
            for job in jobs:
                await self._run([job])
            return
        start = 0
        for job in jobs:
            end = start + len(job.prompts)
            if not job.done.done():
                job.done.set_result(logits[start:end])
            start = end

    async def _compute(self, prompts: list[Prompt]) -> list[Logits]:
        if not prompts:
            return []
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._score, prompts)


def _fail(job: _Job, error: Exception) -> None:
    if not job.done.done():
        job.done.set_exception(error)
