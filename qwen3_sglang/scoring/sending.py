"""A group of prompts -> the lists to send, and their outcomes. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from qwen3_sglang import errors
from qwen3_sglang.prompts.chunks import Chunking
from qwen3_sglang.protocol import lists
from qwen3_sglang.protocol.call import Call
from qwen3_sglang.protocol.endpoints import ENDPOINTS
from qwen3_sglang.protocol.exchange import Steps
from qwen3_sglang.protocol.packing import Packable, packed
from qwen3_sglang.ranking import Outcome, joined
from qwen3_sglang.scoring import batching, chunked
from qwen3_sglang.scoring.progress import OnProgress, Progress
from qwen3_sglang.scoring.queries import Group
from qwen3_sglang.scoring.work import Sending, Work
from qwen3_sglang.transport.deadline import Deadline

_Plan = batching.Batches[Outcome]


class Task(Struct, frozen=True):
    """A group to score.

    Attributes:
        call: what its lists share.
        group: the prompts.
        known: outcomes that needn't be asked for, by document.
        size: prompts per list; None: the endpoint's own.
        room: tokens that a list may have where the server makes one sequence of it.
        chunking: how long documents are divided; None: they are cut.
        on_progress: called with (documents scored, documents to score) after each answered list.
        deadline: when all must be done.
    """

    call: Call
    group: Group
    known: Mapping[str, Outcome]
    size: int | None
    room: int
    chunking: Chunking | None
    on_progress: OnProgress | None
    deadline: Deadline


def score_group(task: Task) -> Work[tuple[Sequence[Outcome], int]]:
    """The outcomes of the group's prompts, and how many lists were sent for them.

    Raises:
        ServerError: one of its subclasses, unless the call collects them.
        QueryError: no document fits beside the query; as well.
    """
    if task.chunking is not None:
        distinct = batching.unknown(task.group.texts, task.known)
        if chunked.needed(task.call, distinct):
            return (yield from _in_chunks(task, distinct, task.chunking))
    plan, ready = yield from _plan(task, task.group.texts, task.known)
    steps = _steps(task.call, plan, ready, partial(_places, task.group, plan))
    if task.on_progress is not None:
        steps = [*map(Progress(task.on_progress, sum(map(len, plan.lists))).watch, steps)]
    answers = yield Sending(steps, task.deadline)
    outcomes = plan.restore(answers, joined)
    answers.clear()  # whoever carried them out still holds them, and with them every score
    return outcomes, len(plan.lists)


def _places(group: Group, plan: _Plan, part: Sequence[str], place: int) -> list[int]:
    """Those, among all of the call, of the document at that place of a list."""
    return [group.places[index] for index in plan.where(part, place)]


def _in_chunks(task: Task, distinct: Sequence[str], how: Chunking) -> Work[tuple[Sequence[Outcome], int]]:
    """The same of documents of which some may be too long: divided first, each once."""
    texts, places = task.group.texts, task.group.places
    parted = yield from chunked.part(task.call, distinct, how, task.deadline.rest())
    task = replace(task, call=replace(task.call, fits=True))
    plan, ready = yield from _plan(task, parted.chunks, {})

    def where(part: Sequence[str], place: int) -> list[int]:
        owners = parted.owners_of(plan.where(part, place))
        return [places[index] for index, text in enumerate(texts) if text in owners]

    steps = _steps(task.call, plan, ready, where)
    if task.on_progress is not None:
        steps = parted.watched(steps, plan.lists, Progress(task.on_progress, len(distinct)))
    scores = plan.restore((yield Sending(steps, task.deadline)))
    found = {**task.known, **parted.outcomes(scores)}
    return [found[text] for text in texts], len(plan.lists)


def _plan(task: Task, texts: Sequence[str], known: Mapping[str, Outcome]) -> Work[tuple[_Plan, Packable | None]]:
    """The lists to send; where each becomes one sequence, with the documents made ready for that."""
    row = ENDPOINTS[task.call.endpoint]
    size = task.size or row.list_size
    if not row.packs:
        return batching.split(texts, size, known), None
    distinct = batching.unknown(texts, known)
    [ready] = yield Sending([lists.make_ready(task.call, distinct)], task.deadline.rest())
    if isinstance(ready, errors.QueryError):
        return batching.Batches([], texts, {**known, **dict.fromkeys(distinct, ready)}), None
    return batching.Batches(packed(distinct, ready, task.room, size), texts, known), ready


def _steps(
    call: Call, plan: _Plan, ready: Packable | None, where: Callable[[Sequence[str], int], list[int]]
) -> list[Steps[Sequence[Outcome]]]:
    """One generator per list."""
    return [lists.score_documents(call, part, partial(where, part), ready) for part in plan.lists]
