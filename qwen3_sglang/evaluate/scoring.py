"""Ask the server for what isn't known yet: a few lists at once, each kept as soon as it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from qwen3_sglang.client import RerankClient
from qwen3_sglang.evaluate.dataset import Dataset, Query
from qwen3_sglang.evaluate.store import ScoreStore, score_key
from qwen3_sglang.prompts.template import QWEN3
from qwen3_sglang.ranking import Score

CHUNK = 32  # documents a request: little is lost when a run breaks off, and the server still gets lists
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: documents of one query that have no score yet."""

    instruction: str
    query: str
    documents: tuple[str, ...]
    keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Scored:
    """All scores of a data set.

    Attributes:
        model: the served model's name.
        by_instruction: scores by instruction, a list a query, in the documents' order.
        asked: pairs that the server scored now.
        kept: pairs whose scores were there already.
    """

    model: str
    by_instruction: dict[str, list[list[Score]]]
    asked: int
    kept: int


def score_dataset(
    client: RerankClient,
    dataset: Dataset,
    instructions: Sequence[str],
    store: ScoreStore,
    *,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Scored:
    """Scores of each query's documents under each instruction; what `store` has isn't asked again.

    Args:
        client: asks the server; `max_concurrency` requests at once.
        dataset: the pairs.
        instructions: tasks in the model's template.
        store: where scores are found and kept.
        fresh: forget what the store has of these, and ask for all.
        progress: called with (pairs scored, pairs in all).

    Raises:
        ServerError: the server failed; what it scored before is in the store, and a note says so.
    """
    model = client.model()
    settings = client.settings
    shared = [model, str(settings.max_length), str(settings.escape_special_tokens)]
    if settings.template != QWEN3:
        shared.append(repr(settings.template))
    keys = {
        (instruction, query.text, document.text): score_key(*shared, instruction, query.text, document.text)
        for instruction in instructions
        for query in dataset.queries
        for document in query.documents
    }
    if fresh:
        store.forget(set(keys.values()))  # gone at once: a fresh run that breaks off mustn't be mixed with old scores
    known = store.find(set(keys.values()))
    kept, total = len(known), len(set(keys.values()))
    report = progress or (lambda done, total: None)
    report(kept, total)
    try:
        for scores in _answers(client, list(_plan(dataset.queries, instructions, keys, known))):
            store.add(scores)
            known |= scores
            report(len(known), total)
    except BaseException as error:
        again = "run the same again, but not fresh," if fresh else "run the same again"
        error.add_note(f"{len(known)} of {total} scores are kept in {store.path}; {again} to go on")
        raise
    by_instruction = {
        instruction: [[known[keys[instruction, q.text, d.text]] for d in q.documents] for q in dataset.queries]
        for instruction in instructions
    }
    return Scored(model, by_instruction, total - kept, kept)


def _plan(
    queries: Sequence[Query],
    instructions: Sequence[str],
    keys: dict[tuple[str, str, str], bytes],
    known: dict[bytes, Score],
) -> Iterator[Ask]:
    """What to ask, no pair twice."""
    planned = set(known)
    for instruction in instructions:
        for query in queries:
            wanted: dict[bytes, str] = {}
            for document in query.documents:
                key = keys[instruction, query.text, document.text]
                if key not in planned:
                    wanted[key] = document.text
            planned |= wanted.keys()
            names = list(wanted)
            for start in range(0, len(names), CHUNK):
                part = tuple(names[start : start + CHUNK])
                yield Ask(instruction, query.text, tuple(wanted[key] for key in part), part)


def _answers(client: RerankClient, asks: Sequence[Ask]) -> Iterator[dict[bytes, Score]]:
    """Scores as they come; after a failure, those of the requests still in flight, then the failure."""

    def answer(ask: Ask) -> dict[bytes, Score]:
        results = client.rerank(ask.query, ask.documents, instruction=ask.instruction)
        return {ask.keys[r.index]: Score(r.score, r.logit, r.truncated) for r in results}

    with ThreadPoolExecutor(client.settings.max_concurrency, thread_name_prefix="qwen3-sglang-evaluate") as pool:
        futures = [pool.submit(answer, ask) for ask in asks]
        failure: BaseException | None = None
        try:
            for future in as_completed(futures):
                if future.cancelled():
                    continue
                failure = failure or future.exception()
                if failure is not None:
                    _cancel(futures)
                if future.exception() is None:
                    yield future.result()
        finally:
            _cancel(futures)  # Ctrl-C, too: nothing more is sent
    if failure is not None:
        raise failure


def _cancel(futures: Sequence[Future[dict[bytes, Score]]]) -> None:
    for future in futures:
        future.cancel()
