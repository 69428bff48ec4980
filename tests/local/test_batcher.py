from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest

from qwen3_sglang.local.batcher import Batcher, TooSlowError


class Scorer:
    """Scores a prompt by its only token, all in one pass; waits at `gate`, so that a test decides what queues up."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, prompts: Sequence[Sequence[int]]) -> Scoring:
        return Scoring(self, [prompt[0] for prompt in prompts])


class Scoring:
    """One pass."""

    def __init__(self, scorer: Scorer, tokens: list[int]) -> None:
        self.scorer = scorer
        self.waiting = tokens

    @property
    def tokens(self) -> int:
        return len(self.waiting)

    def step(self, wanted: Callable[[int], bool]) -> dict[int, tuple[float, float]] | None:
        if not self.waiting:
            return None
        self.scorer.gate.wait(5)
        tokens = {index: token for index, token in enumerate(self.waiting) if wanted(index)}
        self.waiting = []
        if tokens:
            self.scorer.calls.append(list(tokens.values()))
        if 13 in tokens.values():
            raise RuntimeError("13 can't be scored")
        return {index: (0.0, float(token)) for index, token in tokens.items()}


async def queued(batcher: Batcher, scorer: Scorer, *requests: list[list[int]]) -> list[asyncio.Task]:
    """Tasks for `requests`, all queued behind a first one that is being scored."""
    scorer.gate.clear()
    tasks = [asyncio.create_task(batcher.score([[0]]))]
    await asyncio.sleep(0.05)
    tasks += [asyncio.create_task(batcher.score(request)) for request in requests]
    await asyncio.sleep(0.05)
    return tasks


@pytest.fixture
def scorer() -> Scorer:
    return Scorer()


@pytest.fixture
async def batcher(scorer: Scorer):
    batcher = Batcher(scorer, max_together=4)
    await batcher.start()
    yield batcher
    scorer.gate.set()
    await batcher.stop()


async def test_answers_in_order_to_whom_it_concerns(batcher: Batcher, scorer: Scorer) -> None:
    tasks = await queued(batcher, scorer, [[1], [2]], [[3]])
    scorer.gate.set()
    assert await asyncio.gather(*tasks) == [[(0.0, 0.0)], [(0.0, 1.0), (0.0, 2.0)], [(0.0, 3.0)]]
    assert scorer.calls == [[0], [1, 2, 3]]


async def test_takes_no_more_once_the_limit_is_reached(batcher: Batcher, scorer: Scorer) -> None:
    tasks = await queued(batcher, scorer, [[1], [2], [3], [4], [5]], [[6]])
    scorer.gate.set()
    await asyncio.gather(*tasks)
    assert scorer.calls == [[0], [1, 2, 3, 4, 5], [6]]


async def test_one_failing_request_fails_alone(batcher: Batcher, scorer: Scorer) -> None:
    tasks = await queued(batcher, scorer, [[1]], [[13]], [[2]])
    scorer.gate.set()
    _, first, failed, last = await asyncio.gather(*tasks, return_exceptions=True)
    assert (first, last) == ([(0.0, 1.0)], [(0.0, 2.0)])
    assert isinstance(failed, RuntimeError)
    assert await batcher.score([[4]]) == [(0.0, 4.0)]


async def test_who_hung_up_is_not_scored(batcher: Batcher, scorer: Scorer) -> None:
    tasks = await queued(batcher, scorer, [[1]], [[2]])
    tasks[1].cancel()
    await asyncio.sleep(0)
    scorer.gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert scorer.calls == [[0], [2]]


async def test_nothing_to_score_asks_nothing(batcher: Batcher, scorer: Scorer) -> None:
    assert await batcher.score([]) == []
    assert scorer.calls == []


async def test_stop_cancels_what_waits(scorer: Scorer) -> None:
    batcher = Batcher(scorer)
    await batcher.start()
    tasks = await queued(batcher, scorer, [[1]])
    scorer.gate.set()
    await batcher.stop()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[1], asyncio.CancelledError)


async def test_who_hangs_up_in_the_middle_is_left_out(batcher: Batcher, scorer: Scorer) -> None:
    """Even where the pass has begun."""
    tasks = await queued(batcher, scorer)
    tasks[0].cancel()
    await asyncio.sleep(0)
    scorer.gate.set()
    assert await batcher.score([[2]]) == [(0.0, 2.0)]
    assert scorer.calls == [[2]]


async def test_what_takes_too_long_is_refused_before_it_waits(scorer: Scorer) -> None:
    """With what waits before it; without a limit it is taken."""
    batcher = Batcher(scorer, speed=0.5)
    await batcher.start()
    assert batcher.seconds(3) == 6
    with pytest.raises(TooSlowError) as caught:
        await batcher.score([[1], [2], [3]], within=5)
    assert (caught.value.needed, caught.value.given) == (6, 5)
    tasks = await queued(batcher, scorer, [[1], [2]])
    with pytest.raises(TooSlowError) as caught:
        await batcher.score([[3]], within=7)
    assert caught.value.needed == 8
    scorer.gate.set()
    await asyncio.gather(*tasks)
    assert await batcher.score([[4]]) == [(0.0, 4.0)]
    assert batcher.speed is not None
    assert batcher.speed > 0.5
    await batcher.stop()
