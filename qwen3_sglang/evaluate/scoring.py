"""Ask the server for what isn't known yet: a few lists at once, each kept as soon as it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from qwen3_sglang.client import RerankClient
from qwen3_sglang.errors import InvalidInputError, Qwen3SGLangError
from qwen3_sglang.evaluate.asking import Answer, Ask, Asking
from qwen3_sglang.evaluate.dataset import Dataset, Query, Skipped
from qwen3_sglang.evaluate.store import ScoreStore, score_key
from qwen3_sglang.prompts.template import QWEN3
from qwen3_sglang.ranking import Score

CHUNK = 32  # documents per request: little is lost when a run breaks off, and the server still gets lists
Progress = Callable[[int, int], None]
Keys = dict[tuple[str, str, str], bytes]


@dataclass(frozen=True, slots=True)
class Scored:
    """All scores of a data set.

    Attributes:
        dataset: what was scored: without the queries that the server couldn't be asked about.
        model: the served model's name.
        by_instruction: scores by instruction, one list per query, in the documents' order.
        asked: pairs that the server scored now.
        kept: pairs whose scores were there already.
        long_documents: what became of documents that didn't fit; see the option of that name.
    """

    dataset: Dataset
    model: str
    by_instruction: dict[str, list[list[Score]]]
    asked: int
    kept: int
    long_documents: str = "truncate"


@dataclass(slots=True)
class _State:
    """The scores known so far, which `store` has too."""

    store: ScoreStore
    known: dict[bytes, Score]
    total: int
    refused: dict[str, Qwen3SGLangError] = field(default_factory=dict)

    def keep(self, answer: Answer) -> None:
        """Take in one answer."""
        if isinstance(answer.results, Qwen3SGLangError):
            self.refused.setdefault(answer.ask.query, answer.results)
            return
        scores = {answer.ask.keys[r.index]: Score(r.score, r.logit, r.truncated, r.chunk) for r in answer.results}
        self.store.add(scores)
        self.known |= scores


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

    A query that can't be asked about (too long, or one of its documents is refused) is left out of `dataset`.

    Args:
        client: asks the server; `max_concurrency` requests at once.
        dataset: the pairs.
        instructions: tasks in the model's template.
        store: where scores are found and kept.
        fresh: forget what the store has of these, and ask for all.
        progress: called with (pairs scored, pairs in all).

    Raises:
        ServerError: the server failed; what it scored before is in the store, and a note says so.
        InvalidInputError: the store can't be used, or no judged query could be asked about.
    """
    model = client.model()
    keys = _keys(client, model, dataset.queries, instructions)
    wanted = set(keys.values())
    if fresh:
        store.forget(wanted)  # gone at once: a fresh run that breaks off mustn't be mixed with old scores
    state = _State(store, store.find(wanted), len(wanted))
    kept = len(state.known)
    try:
        _ask(client, list(_plan(dataset.queries, instructions, keys, state.known)), state, progress)
    except BaseException as error:
        again = "run the same again, but not fresh," if fresh else "run the same again"
        error.add_note(f"{len(state.known)} of {state.total} scores are kept in {store.path}; {again} to go on")
        raise
    asked = len(state.known) - kept
    usable = _usable(dataset, state.refused)
    by_instruction = {
        instruction: [[state.known[keys[instruction, q.text, d.text]] for d in q.documents] for q in usable.queries]
        for instruction in instructions
    }
    return Scored(usable, model, by_instruction, asked, kept, client.settings.long_documents)


def _ask(client: RerankClient, asks: Sequence[Ask], state: _State, progress: Progress | None) -> None:
    report = progress or (lambda done, total: None)
    report(len(state.known), state.total)
    if not asks:
        return
    with Asking(client, asks) as asking:
        try:
            for answer in asking:
                state.keep(answer)
                report(len(state.known), state.total)
        except BaseException as error:  # Ctrl-C, too: what has been answered is kept, unless the store is what failed
            if not (isinstance(error, InvalidInputError) and error.field == "scores"):
                for answer in asking.stop():
                    state.keep(answer)
            raise


def _usable(dataset: Dataset, refused: dict[str, Qwen3SGLangError]) -> Dataset:
    """The data set without the queries that were refused, which it names."""
    if not refused:
        return dataset
    skipped = [Skipped(q.id, _reason(refused[q.text])) for q in dataset.queries if q.text in refused]
    return dataset.without(skipped)


def _reason(error: Qwen3SGLangError) -> str:
    return error.remedy if isinstance(error, InvalidInputError) else str(error)


def _keys(client: RerankClient, model: str, queries: Sequence[Query], instructions: Sequence[str]) -> Keys:
    """Under which key each (instruction, query, document) is kept."""
    settings = client.settings
    shared = [model, str(settings.max_length), str(settings.escape_special_tokens)]
    if settings.template != QWEN3:
        shared.append(repr(settings.template))
    if settings.chunking is not None:
        shared.append(repr(settings.chunking))
    return {
        (instruction, query.text, document.text): score_key(*shared, instruction, query.text, document.text)
        for instruction in instructions
        for query in queries
        for document in query.documents
    }


def _plan(
    queries: Sequence[Query], instructions: Sequence[str], keys: Keys, known: dict[bytes, Score]
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
