"""Long documents scored chunk by chunk: lists of documents -> lists of chunks -> the best chunk's score. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice

from qwen3_sglang import errors
from qwen3_sglang.prompts.chunks import Chunking, Divided
from qwen3_sglang.prompts.template import Template
from qwen3_sglang.prompts.truncate import surely_fit
from qwen3_sglang.protocol import lists
from qwen3_sglang.protocol.exchange import Steps
from qwen3_sglang.protocol.lists import Call
from qwen3_sglang.ranking import Failure, Outcome, best_chunk, moved
from qwen3_sglang.scoring import batching
from qwen3_sglang.scoring.progress import OnProgress, Progress
from qwen3_sglang.scoring.work import Sending, Work
from qwen3_sglang.transport.deadline import Deadline


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send of some documents.

    Attributes:
        documents: each once.
        divided: where each document's chunks are, or why it has none.
        owners: the document that each chunk belongs to, as a place in `documents`.
        batches: the chunks.
    """

    documents: Sequence[str]
    divided: Sequence[Divided | errors.QueryError]
    owners: Sequence[int]
    batches: batching.Batches[Outcome]

    def owners_of(self, part: Sequence[str], place: int) -> set[str]:
        """The documents that have the chunk at that place of one of the lists."""
        return {self.documents[self.owners[chunk]] for chunk in self.batches.where(part, place)}

    def outcomes(self, answers: Sequence[Sequence[Outcome]]) -> list[Outcome]:
        """One per document, from the answers to the lists of chunks."""
        scores = iter(self.batches.restore(answers))
        return [
            one
            if isinstance(one, errors.QueryError)
            else best_chunk(one.spans, list(islice(scores, len(one.spans))), whole=one.whole)
            for one in self.divided
        ]


def needed(call: Call, documents: Sequence[Sequence[str]]) -> bool:
    """Whether any of these may be too long to be scored as it is."""
    return not all(surely_fit(call.head, part, call.max_length) for part in documents)


def score(
    call: Call,
    batches: batching.Batches[Outcome],
    places: Sequence[int],
    on_progress: OnProgress | None,
    *,
    how: Chunking,
    batch_size: int,
    deadline: Deadline,
) -> Work[list[list[Outcome]]]:
    """One outcome per document of each of the `batches`' lists.

    Args:
        call: what the lists share.
        batches: the documents.
        places: each document's place among all of the call.
        on_progress: called with (documents scored, documents to score): those of which every chunk is scored.
        how: how long documents are divided.
        batch_size: chunks per list.
        deadline: when all must be done.
    """
    dividing = [_divided(call, part, how) for part in batches.lists]
    divided = yield Sending(dividing, deadline.rest())
    plan = _plan(list(chain(*batches.lists)), list(chain(*divided)), batch_size)

    def where(part: Sequence[str], place: int) -> list[int]:
        owners = plan.owners_of(part, place)
        return [places[index] for index, document in enumerate(batches.documents) if document in owners]

    fitting = replace(call, fits=True)
    steps = [lists.score_documents(fitting, part, partial(where, part)) for part in plan.batches.lists]
    if on_progress is not None:
        steps = list(_watched(steps, plan, Progress(on_progress, len(plan.documents))))
    outcomes = iter(plan.outcomes((yield Sending(steps, deadline))))
    return [list(islice(outcomes, len(part))) for part in batches.lists]


def in_own_text(outcomes: Sequence[Outcome], documents: Sequence[str], template: Template) -> list[Outcome]:
    """The same; chunks of escaped documents as chunks of the documents themselves."""
    return [
        moved(one, partial(template.unescaped, document)) for one, document in zip(outcomes, documents, strict=True)
    ]


def _divided(call: Call, documents: Sequence[str], how: Chunking) -> Steps[Sequence[Divided | Failure]]:
    try:
        return (yield from lists.counter(call).divide(call.head, documents, call.max_length, how))
    except errors.QueryError as error:
        if not call.collect:
            raise
        return [error] * len(documents)


def _plan(documents: Sequence[str], divided: Sequence[Divided | errors.QueryError], batch_size: int) -> Plan:
    chunks, owners = [], []
    for place, (document, one) in enumerate(zip(documents, divided, strict=True)):
        for start, end in () if isinstance(one, errors.QueryError) else one.spans:
            chunks.append(document[start:end])
            owners.append(place)
    return Plan(documents, divided, owners, batching.split(chunks, batch_size))


def _watched(steps: Sequence[Steps[list[Outcome]]], plan: Plan, progress: Progress) -> Iterator[Steps[list[Outcome]]]:
    """The same steps; each list tells how many documents have all their scores now."""
    of_chunk: dict[str, list[int]] = {}
    for chunk, owner in zip(plan.batches.documents, plan.owners, strict=True):
        of_chunk.setdefault(chunk, []).append(owner)
    left = Counter(plan.owners)

    def finished(part: Sequence[str]) -> int:
        done = Counter(owner for chunk in part for owner in of_chunk[chunk])
        left.subtract(done)
        return sum(left[owner] == 0 for owner in done)

    for one, part in zip(steps, plan.batches.lists, strict=True):
        yield progress.watch(one, partial(finished, part))
