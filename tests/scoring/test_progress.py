"""on_progress tells of every answered list, sync and async."""

from __future__ import annotations

import asyncio
import gc
from typing import Any
from weakref import ref

import pytest

from fake_server import FakeServer
from qwen3_sglang import InvalidInputError, RerankClient

DOCUMENTS = [f"p=0.{digit}" for digit in range(1, 8)]
WAYS = [f"{mode}{call}" for mode in ("", "a") for call in ("rerank", "score", "rerank_many", "score_pairs")]


async def _call(client: RerankClient, way: str, documents: list[str], **options: Any) -> Any:
    """Of one query's documents, whatever takes them; a list of what was found."""
    arguments = {"many": [[("q", documents)]], "pairs": [[("q", document) for document in documents]]}
    result = getattr(client, way)(*arguments.get(way.rpartition("_")[2], ["q", documents]), **options)
    found = await result if way.startswith("a") else result
    return found[0] if way.endswith("many") else found


@pytest.mark.parametrize("way", WAYS)
async def test_every_list_is_told(server: Any, way: str) -> None:
    """In documents, with the total; a text that occurs twice is sent, and counted, once."""
    told: list[tuple[int, int]] = []
    async with RerankClient(server.url, batch_size=3) as client:
        await _call(client, way, DOCUMENTS * 2, on_progress=lambda done, total: told.append((done, total)))
    assert len(told) == 3
    assert told == sorted(told)
    assert told[-1] == (7, 7)
    assert {total for _, total in told} == {7}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("options", [{}, {"long_documents": "chunks"}, {"batch_size": 1}, {"cache_size": 9}], ids=str)
async def test_a_list_that_it_changes_is_scored_as_it_was(server: Any, way: str, options: dict[str, Any]) -> None:
    """The call has read it before."""
    documents = ["p=0.2", "p=0.4", "p=0.6"]
    async with RerankClient(server.url, **options) as client:
        found = await _call(client, way, documents, on_progress=lambda *_: documents.pop())
    assert sorted(getattr(one, "score", one) for one in found) == [0.2, 0.4, 0.6]
    assert len(documents) < 3


@pytest.mark.parametrize("way", WAYS)
async def test_remembered_scores_are_not_counted(server: Any, way: str) -> None:
    told: list[tuple[int, int]] = []
    async with RerankClient(server.url, cache_size=10) as client:
        for documents in (DOCUMENTS[:5], DOCUMENTS, DOCUMENTS):
            await _call(client, way, documents, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(5, 5), (2, 2)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("batch_size", [1, 128])
@pytest.mark.parametrize("error", [RuntimeError("boom"), TimeoutError("mine"), GeneratorExit("base")])
async def test_what_a_listener_raises_is_raised(server: Any, way: str, batch_size: int, error: BaseException) -> None:
    """As it is: no timeout of the server's, and no group. The client goes on working."""

    def fail(done: int, total: int) -> None:
        raise error

    async with RerankClient(server.url, batch_size=batch_size) as client:
        with pytest.raises(type(error)) as caught:
            await _call(client, way, DOCUMENTS, on_progress=fail)
        assert caught.value is error
        assert len(await _call(client, way, DOCUMENTS)) == 7


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_no_listener_costs_no_request(server: Any, way: str) -> None:
    async with RerankClient(server.url) as client:
        with pytest.raises(InvalidInputError, match="on_progress=5"):
            await _call(client, way, DOCUMENTS, on_progress=5)
    assert server.asked == []


async def test_a_listener_that_cancels_the_task_it_runs_in(server: FakeServer) -> None:
    """That is a cancelled call, whichever of its lists has that task."""

    def cancel(_: int, __: int) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    async with RerankClient(server.url, batch_size=1, max_concurrency=2, endpoint="v1/classify") as client:
        with pytest.raises(asyncio.CancelledError):
            await client.ascore("q", [f"p=0.{place}" for place in range(1, 9)], on_progress=cancel)


@pytest.mark.parametrize("way", WAYS)
async def test_a_listener_that_keeps_its_failure_is_collected(server: Any, way: str) -> None:
    """The failure's frames hold the listener, and it holds the failure: that is a cycle of the caller's own."""

    class Job:
        failure: Exception

        def fail(self, *_: int) -> None:
            raise ValueError("mine")

        async def run(self) -> None:
            async with RerankClient(server.url) as client:
                try:
                    await _call(client, way, DOCUMENTS, on_progress=self.fail)
                except ValueError as error:
                    self.failure = error

    job = Job()
    await job.run()
    assert str(job.failure) == "mine"
    gone = ref(job)
    del job
    gc.collect()
    assert gone() is None
