"""Documents of several queries -> lists that hold them together. No I/O.

Prompts of one task are alike up to the query, so a query and its document, run together, can stand where a list has
its documents. What can't: a pair that may be too long, since only the document may be cut. It stays with its query.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, count, islice, pairwise
from typing import Any

from msgspec import Struct

from qwen3_sglang.errors import DocumentError, InvalidInputError, QueryError
from qwen3_sglang.prompts.template import Head, Template
from qwen3_sglang.prompts.texts import check_text
from qwen3_sglang.prompts.truncate import suspects
from qwen3_sglang.ranking import Failure, Outcome, RerankResult, rank

_PAIR = 2


class Group(Struct, frozen=True):
    """What is scored in one go.

    Attributes:
        head: the start that its prompts share.
        texts: what follows it, one per prompt.
        places: each prompt's place among all of the call.
        failure: why nothing is scored; None where it is.
    """

    head: Head
    texts: list[str]
    places: Sequence[int]
    failure: QueryError | None = None

    def groups(self, _limit: int) -> list[Group]:
        """As `Prompts.groups`: the documents of one query stay together."""
        return [self]


@dataclass(frozen=True, slots=True)
class Prompts:
    """Every prompt of a call, in two parts.

    Attributes:
        shared: the start that all of them share.
        heads: each prompt's start, up to its document.
        documents: what follows it, suffix apart.
        places: each prompt's place among all of the call.
        failed: those whose query can't be asked.
    """

    shared: Head
    heads: list[Head]
    documents: list[str]
    places: list[int]
    failed: Sequence[Group] = ()

    def groups(self, limit: int) -> list[Group]:
        """All of them together, but for those that may have more than `limit` tokens: these by query."""
        if len({head.own for head in self.heads}) == 1:
            return [Group(self.heads[0], self.documents, self.places), *self.failed]
        texts = [f"{head.own}{document}" for head, document in zip(self.heads, self.documents, strict=True)]
        apart = suspects(self.shared, texts, limit)
        together = sorted(set(range(len(texts))).difference(apart))
        groups = []
        if together:
            groups.append(Group(self.shared, [texts[row] for row in together], [self.places[row] for row in together]))
        by_query: dict[str, list[int]] = {}
        for row in apart:
            by_query.setdefault(self.heads[row].own, []).append(row)
        groups += [
            Group(self.heads[rows[0]], [self.documents[row] for row in rows], [self.places[row] for row in rows])
            for rows in by_query.values()
        ]
        return [*groups, *self.failed]


def read_rows(field: str, rows: object, shape: str) -> list[tuple[Any, Any]]:
    """The pairs in `rows`, which may be read only once.

    Raises:
        InvalidInputError: one of them is no pair; a string isn't one either.
    """
    if isinstance(rows, (str, bytes, Mapping)) or not isinstance(rows, Iterable):
        raise InvalidInputError(field, rows, f"pass a list of {shape}")
    read = list(rows)
    for place, row in enumerate(read):
        if isinstance(row, (str, bytes)) or not isinstance(row, Sequence) or len(row) != _PAIR:
            raise InvalidInputError(f"{field}[{place}]", row, f"pass {shape}")
    return [(first, second) for first, second in read]


def prepare_many(
    template: Template,
    questions: Iterable[tuple[str, Sequence[str]]],
    instruction: str,
    *,
    escape: bool,
    field: str,
    limit: int | None = None,
    collect: bool = False,
) -> Prompts:
    """The prompts of each (query, its documents), one after the other.

    Args:
        template: what they are made by.
        questions: the queries and their documents.
        instruction: the task.
        escape: whether special tokens inside the texts are broken.
        field: what errors call `questions`; they name the place too.
        limit: as in `Template.prepare`.
        collect: whether a query that can't be asked costs its own documents' scores only; else that raises.

    Raises:
        InvalidInputError: a blank instruction, or a text that isn't a string.
        QueryError: a blank query, unless `collect` is set.
    """
    check_text("instruction", instruction)
    shared = template.task(instruction, escape=escape)
    prompts, failed, places = Prompts(shared, [], [], []), [], count()
    for number, (query, own) in enumerate(questions):
        try:
            head, texts = template.prepare(query, own, instruction, escape=escape, limit=limit)
        except InvalidInputError as error:
            failure = type(error)(f"{field}[{number}]: {error.field}", error.value, error.remedy)
            if not collect or not isinstance(failure, QueryError):
                raise failure from None
            failed.append(Group(shared, list(own), list(islice(places, len(own))), failure))
        else:
            prompts.heads.extend([replace(head, field=f"{field}[{number}]: {head.field}")] * len(texts))
            prompts.documents.extend(texts)
            prompts.places.extend(islice(places, len(texts)))
    return replace(prompts, failed=failed)


def restore(groups: Sequence[Group], answers: Sequence[Sequence[Outcome]]) -> list[Outcome]:
    """One score per prompt, in the order the prompts were given."""
    found = {
        place: score
        for group, scores in zip(groups, answers, strict=True)
        for place, score in zip(group.places, scores, strict=True)
    }
    return [found[place] for place in range(len(found))]


def by_query(outcomes: Sequence[Outcome], counts: Sequence[int]) -> list[list[Outcome]]:
    """The outcomes of each query; a DocumentError's indices are those in its query's own documents then."""
    return [
        [_own(one, start, stop) if isinstance(one, DocumentError) else one for one in outcomes[start:stop]]
        for start, stop in _spans(counts)
    ]


def rank_by_query(
    outcomes: Sequence[Outcome], counts: Sequence[int], top_n: int | None, min_score: float | None
) -> list[list[RerankResult]]:
    """The ranking of each query's own documents."""
    return [rank(own, top_n, min_score) for own in by_query(outcomes, counts)]


def told_by_query(failure: Failure, counts: Sequence[int]) -> Failure:
    """The failure; where it is one document's, with the query that has it, and its indices there."""
    if not isinstance(failure, DocumentError):
        return failure
    spans = enumerate(_spans(counts))
    return next(_own(failure, *span, query) for query, span in spans if failure.index in range(*span))


def _spans(counts: Sequence[int]) -> list[tuple[int, int]]:
    return list(pairwise(accumulate(counts, initial=0)))


def _own(error: DocumentError, start: int, stop: int, query: int | None = None) -> DocumentError:
    indices = [index - start for index in error.indices if start <= index < stop]
    own = DocumentError(error.url, error.reason, indices, status=error.status, query=query)
    own.attempts = error.attempts
    return own
