"""Groups of prompts -> outcomes: which model is served, what is remembered, which lists are sent.

Each call is a generator: it yields the lists to send, is sent their answers, and returns the outcomes. `Scorer.run`
drives it over the sync transport, `Scorer.arun` over the async one. They differ in nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar, cast

from qwen3_sglang import errors
from qwen3_sglang.prompts.template import Head, Prompt
from qwen3_sglang.prompts.tokenizer import LocalTokenizer, load_tokenizer
from qwen3_sglang.protocol import lists
from qwen3_sglang.protocol.call import Call
from qwen3_sglang.protocol.endpoints import DEFAULT_ENDPOINT, ENDPOINTS, VLLM, Endpoint
from qwen3_sglang.protocol.exchange import computed
from qwen3_sglang.protocol.packing import DELIMITER
from qwen3_sglang.protocol.served import Served, check_served, served_or_named
from qwen3_sglang.protocol.ways import Way, ask_said, refused
from qwen3_sglang.ranking import Outcome
from qwen3_sglang.scoring import batching
from qwen3_sglang.scoring.aside import MUCH, aside
from qwen3_sglang.scoring.asked import Asked
from qwen3_sglang.scoring.chunked import in_own_text
from qwen3_sglang.scoring.finding import find_way
from qwen3_sglang.scoring.learned import Learned, told
from qwen3_sglang.scoring.queries import Group, restore
from qwen3_sglang.scoring.sending import Task, score_group
from qwen3_sglang.scoring.telling import failed, tell
from qwen3_sglang.scoring.work import Sending, Step, Work, begun, resumed
from qwen3_sglang.settings import Settings
from qwen3_sglang.transport.deadline import Deadline
from qwen3_sglang.transport.forks import restart_in_child
from qwen3_sglang.transport.transport import Transport

T = TypeVar("T")
_PROMPTS = 32  # that are described together: few enough for one request to a tokenizer


class Scorer:
    """Asks for the outcomes of prompts, through one client's connections."""

    def __init__(self, settings: Settings, transport: Transport) -> None:
        self._settings = settings
        self._transport = transport
        self._learned = Learned(told(settings), settings.cache_size)
        self._tokenizer: LocalTokenizer | None = None
        restart_in_child(self, Scorer._restart)

    def _restart(self) -> None:
        """In a forked child: another thread may have held the old locks."""
        self._learned = Learned(self._learned.served, self._settings.cache_size, way=self._learned.way)

    @property
    def known_model(self) -> str | None:
        """The served model's name, as far as it is known without asking."""
        served = self._learned.served
        return self._settings.model or (None if served is None else served.model)

    def run(self, work: Work[T], deadline: Deadline | None = None) -> T:
        """What the work comes to, over the sync connections.

        `deadline`: when it must, what is done between the requests included; None where that is little.

        Raises:
            ServerError: one of its subclasses.
        """
        step = self._within(deadline, partial(begun, work))
        try:
            while step.sending is not None:
                try:
                    found = self._transport.drive_all(step.sending.steps, step.sending.deadline)
                except errors.ModelReplacedError as replaced:
                    step = resumed(work, replaced)
                else:
                    step = self._within(deadline, partial(resumed, work, found))
        except errors.ModelNotFoundError:
            self._forget(self._learned, told(self._settings))
            raise
        return cast(T, step.result)

    def _within(self, deadline: Deadline | None, decide: Callable[[], Step[T]]) -> Step[T]:
        return decide() if deadline is None else self._transport.drive(computed(decide), deadline)

    async def arun(self, work: Work[T], size: int, deadline: Deadline | None) -> T:
        """`run` on the running event loop, which isn't held by work of that `size`. Raises: as `run`."""
        try:
            return await self._transport.within(self._drive(work, size), deadline)
        except errors.ModelNotFoundError:
            self._forget(self._learned, told(self._settings))
            raise

    async def _drive(self, work: Work[T], size: int) -> T:
        step = await aside(size, partial(begun, work))
        while step.sending is not None:
            try:
                found = await self._transport.adrive_all(step.sending.steps)
            except errors.ModelReplacedError as replaced:
                step = resumed(work, replaced)
            else:
                step = await aside(size, partial(resumed, work, found))
        return cast(T, step.result)

    def score(self, asked: Asked, deadline: Deadline | None, then: Callable[[Sequence[Outcome]], T]) -> T:
        """What `then` makes of the outcomes, one per document, in order; at the deadline at the latest.

        `deadline`: None where the call's time begins now.

        Raises:
            ServerError: one of its subclasses, where `asked` doesn't collect them.
            QueryError: the query can't be asked; as well.
        """
        if deadline is None and asked.size > MUCH:
            deadline = self._deadline()
        try:
            return self.run(self._outcomes(asked, deadline, then), deadline)
        except (errors.ServerError, errors.QueryError) as failure:
            return then(failed(asked, failure))

    async def ascore(self, asked: Asked, deadline: Deadline | None, then: Callable[[Sequence[Outcome]], T]) -> T:
        """`score` on the running event loop. Raises: as `score`."""
        try:
            return await self.arun(self._outcomes(asked, deadline, then), asked.size, deadline)
        except (errors.ServerError, errors.QueryError) as failure:
            unscored = failed(asked, failure)
        return await aside(asked.size, partial(then, unscored))

    def model(self) -> Work[str]:
        """The served model's name: the one given, or what the server answers."""
        if self._settings.model is not None:
            return self._settings.model
        return (yield from self._served(self._learned, self._deadline())).model

    def way(self) -> Work[Way]:
        """How the server is asked, and what it says; an endpoint it must not be asked at is refused from now on."""
        deadline, learned = self._deadline(), self._learned
        served = yield from self._known(learned, deadline)
        way = learned.way or Way(DEFAULT_ENDPOINT)
        if way.said is None and served.owner != VLLM:
            [said] = yield Sending([ask_said(self._transport.patience(deadline))], deadline)
            way, learned.refusal = replace(way, said=said), refused(way.endpoint, said)
        if learned.refusal is not None:
            raise learned.refusal
        return way

    def prompts(self, group: Group, deadline: Deadline | None = None) -> Work[list[Prompt]]:
        """What the model reads for each document."""
        if not group.texts:
            return []
        deadline, learned = deadline or self._deadline(), self._learned
        call = self._call(group.head, learned, (yield from self._known(learned, deadline)), deadline)
        plan: batching.Batches[Prompt] = batching.split(group.texts, _PROMPTS)
        steps = [lists.describe_prompts(call, part) for part in plan.lists]
        return [*plan.restore((yield Sending(steps, deadline)))]

    def _outcomes(self, asked: Asked, deadline: Deadline | None, then: Callable[[Sequence[Outcome]], T]) -> Work[T]:
        """What `then` makes of the outcomes."""
        if asked.failure is not None:
            raise asked.failure
        if not any(asked.counts):
            return then([])
        deadline, learned = deadline or self._deadline(), self._learned
        try:
            return then((yield from self._outcomes_of_one_model(asked, learned, deadline)))
        except errors.ModelReplacedError:
            self._forget(learned, None)  # what the user told is wrong too
        return then((yield from self._outcomes_of_one_model(asked, self._learned, deadline)))

    def _outcomes_of_one_model(self, asked: Asked, learned: Learned, deadline: Deadline) -> Work[Sequence[Outcome]]:
        knew = learned.way is not None
        served = yield from self._known(learned, deadline)
        groups = asked.groups(self._max_length(learned, served))
        answers, sent = [], 0
        for group in groups:
            outcomes, several = yield from self._group(group, learned, served, deadline.rest(), asked)
            answers.append(outcomes)
            sent += several
        if _row(learned).echoes and sent > (learned.cache is None):
            yield from self._confirm(groups[0].head, learned, served, deadline)
        if not knew:  # its own connections are as new as what it learned
            learned.renewed.clear()
        outcomes = answers[0] if len(answers) == 1 else restore(groups, answers)
        unescaped = asked.unescaped
        return in_own_text(outcomes, unescaped, self._settings.template) if unescaped else outcomes

    def _confirm(self, head: Head, learned: Learned, served: Served, deadline: Deadline) -> Work[None]:
        """After answers that don't say which model gave them: the same one is listed. A proxy hides a restart."""
        yield Sending([check_served(self._call(head, learned, served, deadline))], deadline.rest())

    def _group(
        self, group: Group, learned: Learned, served: Served, deadline: Deadline, asked: Asked
    ) -> Work[tuple[Sequence[Outcome], int]]:
        """The outcomes of its prompts, and how many lists were sent for them."""
        if group.failure is not None:
            unasked: list[Outcome] = [group.failure] * len(group.texts)
            tell(unasked, group.places, "")
            return unasked, 0
        call, cache = self._call(group.head, learned, served, deadline, collect=asked.collect), learned.cache
        known: Mapping[str, Outcome] = {} if cache is None else cache.find(call.model, call.head.text, group.texts)
        room = served.max_length or max(call.max_length, self._settings.template.max_length)
        size, chunking = self._settings.batch_size, self._settings.chunking
        outcomes, sent = yield from score_group(
            Task(call, group, known, size, room, chunking, asked.on_progress, deadline)
        )
        learned.heard()
        if cache is not None:
            fresh = {text: one for text, one in zip(group.texts, outcomes, strict=True) if text not in known}
            cache.add(call.model, call.head.text, fresh)
        tell(outcomes, group.places, f"{call.max_length} tokens" if chunking is None else str(chunking))
        return outcomes, sent

    def _deadline(self) -> Deadline:
        return Deadline(self._settings.timeout)

    def _known(self, learned: Learned, deadline: Deadline) -> Work[Served]:
        """The served model, once it is known which way it is asked, and the tokenizer is loaded where there is one."""
        path = self._settings.tokenizer
        if path is not None and self._tokenizer is None:  # half a second, in a thread
            [self._tokenizer] = yield Sending([computed(partial(load_tokenizer, path))], deadline)
        served = yield from self._served(learned, deadline)
        if learned.refusal is not None:
            raise learned.refusal
        if learned.way is None or (learned.way.said is not None and learned.in_doubt):
            patience = self._transport.patience(deadline)
            finding = find_way(self._settings, learned.way, served, patience, self._tokenizer)
            [way] = yield Sending([finding], deadline)
            learned.found(way)
        return served

    def _served(self, learned: Learned, deadline: Deadline) -> Work[Served]:
        served = learned.served
        if served is None:
            asking = served_or_named(self._transport.patience(deadline), self._settings.model)
            [served] = yield Sending([asking], deadline)
            if served.certain:  # else the next call asks again
                learned.listed.confirm(self._settings.base_url, served.model)
                learned.served = served
        return served

    def _forget(self, learned: Learned, served: Served | None) -> None:
        """Forget what is known of the model, which was or may be replaced; unless another thread already has."""
        if self._learned is learned:
            self._learned = Learned(served, self._settings.cache_size)

    def _max_length(self, learned: Learned, served: Served) -> int:
        wanted = self._settings.max_length or self._settings.template.max_length
        if served.max_length is None:
            return wanted
        return min(wanted, served.max_length - (2 * DELIMITER if _row(learned).packs else 0))

    def _call(self, head: Head, learned: Learned, served: Served, deadline: Deadline, *, collect: bool = False) -> Call:
        way = learned.way or Way(DEFAULT_ENDPOINT)
        return Call(
            self._settings.model or served.model,
            head,
            self._max_length(learned, served),
            self._transport.patience(deadline),
            self._tokenizer,
            way.endpoint,
            way.answer_ids,
            way.said,
            learned.renewed,
            collect,
            learned.answered,
            learned.listed,
        )


def _row(learned: Learned) -> Endpoint:
    return ENDPOINTS[DEFAULT_ENDPOINT if learned.way is None else learned.way.endpoint]
