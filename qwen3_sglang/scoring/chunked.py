"""Long documents as chunks to score, and the chunks' outcomes as theirs. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice

from qwen3_sglang import errors
from qwen3_sglang.prompts.chunks import Chunking, Divided
from qwen3_sglang.prompts.template import Template
from qwen3_sglang.prompts.truncate import surely_fit
from qwen3_sglang.protocol import lists
from qwen3_sglang.protocol.call import Call
from qwen3_sglang.protocol.exchange import Steps
from qwen3_sglang.ranking import Outcome, best_chunk, moved
from qwen3_sglang.scoring.progress import Progress
from qwen3_sglang.scoring.work import Sending, Work
from qwen3_sglang.transport.deadline import Deadline

_AT_ONCE = 32  # documents that are divided together, and share the questions to a tokenizer


@dataclass(frozen=True, slots=True)
class Parted:
    """Documents in chunks.

    Attributes:
        divided: where each document's chunks are, or why it has none.
        chunks: all of them, in the documents' order.
        owners: the document that each chunk belongs to.
    """

    divided: Mapping[str, Divided | errors.QueryError]
    chunks: list[str]
    owners: list[str]

    def owners_of(self, chunks: Iterable[int]) -> set[str]:
        """The documents that have these chunks, as places in `chunks`."""
        return {self.owners[chunk] for chunk in chunks}

    def outcomes(self, scores: Sequence[Outcome]) -> dict[str, Outcome]:
        """One per document, from one per chunk."""
        left = iter(scores)
        return {
            document: one
            if isinstance(one, errors.QueryError)
            else best_chunk(one.spans, list(islice(left, len(one.spans))), whole=one.whole)
            for document, one in self.divided.items()
        }

    def watched(
        self, steps: Sequence[Steps[Sequence[Outcome]]], parts: Sequence[Sequence[str]], progress: Progress
    ) -> list[Steps[Sequence[Outcome]]]:
        """The same steps, one per list of chunks; each tells how many documents have all their scores with it."""
        of_chunk: dict[str, list[str]] = {}
        for chunk, owner in zip(self.chunks, self.owners, strict=True):
            of_chunk.setdefault(chunk, []).append(owner)
        left = Counter(self.owners)

        def finished(part: Sequence[str]) -> int:
            done = Counter(owner for chunk in part for owner in of_chunk[chunk])
            left.subtract(done)
            return sum(left[owner] == 0 for owner in done)

        return [progress.watch(one, partial(finished, part)) for one, part in zip(steps, parts, strict=True)]


def needed(call: Call, documents: Sequence[str]) -> bool:
    """Whether any of these may be too long to be scored as it is."""
    return not surely_fit(call.head, documents, call.max_length)


def part(call: Call, documents: Sequence[str], how: Chunking, deadline: Deadline) -> Work[Parted]:
    """The documents, each once, in chunks that fit.

    Raises:
        QueryError: no document fits beside the query, unless the call collects that.
        InvalidInputError: the tokenizer isn't the model's.
        ServerError: the server's tokenizer can't be asked, or its answers make no sense.
    """
    starts = range(0, len(documents), _AT_ONCE)
    steps = [_divided(call, documents[start : start + _AT_ONCE], how) for start in starts]
    divided = dict(zip(documents, chain.from_iterable((yield Sending(steps, deadline))), strict=True))
    parted = Parted(divided, [], [])
    for document, one in divided.items():
        for start, end in () if isinstance(one, errors.QueryError) else one.spans:
            parted.chunks.append(document[start:end])
            parted.owners.append(document)
    return parted


def in_own_text(outcomes: Sequence[Outcome], documents: Sequence[str], template: Template) -> list[Outcome]:
    """The same; chunks of escaped documents as chunks of the documents themselves."""
    return [
        moved(one, partial(template.unescaped, document)) for one, document in zip(outcomes, documents, strict=True)
    ]


def _divided(call: Call, documents: Sequence[str], how: Chunking) -> Steps[Sequence[Divided | errors.QueryError]]:
    try:
        return (yield from lists.counter(call).divide(call.head, documents, call.max_length, how))
    except errors.QueryError as error:
        if not call.collect:
            raise
        return [error] * len(documents)
