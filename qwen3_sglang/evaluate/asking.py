"""Requests to the server, some at once, and each answer as it comes.

They run on an event loop in a thread of its own: what is in flight there can be dropped at once, whatever it waits
for, and a caller that has a running loop itself (a notebook) isn't in the way.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType

from qwen3_sglang.client import RerankClient
from qwen3_sglang.errors import DocumentError, InvalidInputError, Qwen3SGLangError
from qwen3_sglang.ranking import RerankResult

_LEAVE = 0.5  # seconds that dropping what is in flight may take; it goes on in the background where it takes longer
_LOOK = 1.0  # seconds between two looks for Ctrl-C, on systems where it doesn't wake who waits


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: documents of one query that have no score yet."""

    instruction: str
    query: str
    documents: tuple[str, ...]
    keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request.

    Attributes:
        ask: the request.
        results: a score for each document, or why the server takes none for this query.
    """

    ask: Ask
    results: list[RerankResult] | Qwen3SGLangError


class Asking:
    """Answers in the order in which they arrive; leaving the block cancels the requests in flight.

    A query that can't be asked (blank, or so long that no document fits) is an answer, not a failure.

    Raises:
        ServerError: while iterating; the first request that failed.
    """

    def __init__(self, client: RerankClient, asks: Sequence[Ask]) -> None:
        """Send nothing yet; the client's `max_concurrency` limits the requests in flight."""
        self._client = client
        self._asks = asks
        self._arrived: queue.SimpleQueue[Answer | BaseException | None] = queue.SimpleQueue()
        self._cancel: Callable[[], object] = lambda: None
        self._stopped = False
        self._running = threading.Event()
        self._thread = threading.Thread(target=self._run, name="qwen3-sglang-evaluate", daemon=True)

    def __enter__(self) -> Asking:
        try:
            self._thread.start()
            self._running.wait()
        except BaseException:  # Ctrl-C
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def __iter__(self) -> Iterator[Answer]:
        while (came := self._next()) is not None:
            if isinstance(came, BaseException):
                raise came
            yield came

    def stop(self) -> list[Answer]:
        """Cancel the requests in flight; answers that arrived before but weren't read are dropped too."""
        self._stopped = True
        self._cancel()
        self._thread.join(_LEAVE)
        left = []
        while not self._arrived.empty():
            left.append(self._arrived.get())
        return [came for came in left if isinstance(came, Answer)]

    def _next(self) -> Answer | BaseException | None:
        while True:
            try:
                return self._arrived.get(timeout=_LOOK)
            except queue.Empty:
                continue

    def _run(self) -> None:
        try:
            asyncio.run(self._work())
        except BaseException as error:  # whatever it is, whoever iterates must hear of it
            self._arrived.put(error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error)
        else:
            self._arrived.put(None)
        finally:
            self._running.set()

    async def _work(self) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def cancel() -> None:
            if task is not None and not loop.is_closed():
                loop.call_soon_threadsafe(task.cancel)

        self._cancel = cancel
        self._running.set()
        if self._stopped:
            return
        waiting, refused = iter(self._asks), set[tuple[str, str]]()
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._client.settings.max_concurrency, len(self._asks))):
                group.create_task(self._worker(waiting, refused))

    async def _worker(self, waiting: Iterator[Ask], refused: set[tuple[str, str]]) -> None:
        for ask in waiting:
            if (ask.instruction, ask.query) in refused:
                continue  # one list has shown that no document fits beside this query
            try:
                results = await self._client.arerank(ask.query, ask.documents, instruction=ask.instruction)
            except (InvalidInputError, DocumentError) as error:
                if isinstance(error, InvalidInputError) and error.field != "query":
                    raise
                refused.add((ask.instruction, ask.query))
                self._arrived.put(Answer(ask, error))
            else:
                self._arrived.put(Answer(ask, results))
