"""Groups of prompts -> outcomes: which model is served, what is remembered, which lists are sent, sync and async."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from qwen3_sglang import errors
from qwen3_sglang.prompts.template import Head, Prompt
from qwen3_sglang.prompts.tokenizer import LocalTokenizer, load_tokenizer
from qwen3_sglang.protocol import lists
from qwen3_sglang.protocol.exchange import Steps
from qwen3_sglang.protocol.lists import Call, Served
from qwen3_sglang.ranking import Outcome, RerankResult, Score, unscored
from qwen3_sglang.scoring import batching
from qwen3_sglang.scoring.cache import ScoreCache
from qwen3_sglang.scoring.progress import OnProgress, Progress
from qwen3_sglang.scoring.queries import Group
from qwen3_sglang.settings import Settings
from qwen3_sglang.transport.deadline import Deadline
from qwen3_sglang.transport.forks import restart_in_child
from qwen3_sglang.transport.transport import Transport

T = TypeVar("T")
_log = logging.getLogger(__name__)
_TRUNCATED: Callable[[Any], bool] = attrgetter("truncated")


class Scorer:
    """What RerankClient's calls have in common. Async methods leave it to `_within` to bound the time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._empty_cache()
        self._served = _told(settings)
        self._tokenizer: LocalTokenizer | None = None
        self._transport = Transport(settings)
        restart_in_child(self, Scorer._empty_cache)  # another thread may have held its lock

    def _empty_cache(self) -> None:
        self._cache = ScoreCache(self.settings.cache_size) if self.settings.cache_size else None

    def _score(
        self, group: Group, deadline: Deadline, *, collect: bool = False, on_progress: OnProgress | None = None
    ) -> list[Outcome]:
        if not group.texts:
            return []
        try:
            call = self._call(group.head, self._known(deadline), deadline, collect=collect)
            plan = self._plan(call, group.texts)
            parts = self._transport.drive_all(_steps(call, plan, group.places, on_progress), deadline)
        except errors.ModelNotFoundError:
            self._forget_served()
            raise
        return self._finish(call, plan, group.places, parts)

    async def _ascore(
        self, group: Group, deadline: Deadline, *, collect: bool = False, on_progress: OnProgress | None = None
    ) -> list[Outcome]:
        if not group.texts:
            return []
        call = self._call(group.head, await self._aknown(deadline), deadline, collect=collect)
        plan = self._plan(call, group.texts)
        parts = await self._adrive_all(_steps(call, plan, group.places, on_progress))
        return self._finish(call, plan, group.places, parts)

    def _describe(self, group: Group, deadline: Deadline) -> list[Prompt]:
        if not group.texts:
            return []
        call = self._call(group.head, self._known(deadline), deadline)
        plan: batching.Batches[Prompt] = batching.split(group.texts, self.settings.batch_size)
        steps = [lists.describe_prompts(call, part) for part in plan.lists]
        return plan.restore(self._transport.drive_all(steps, deadline))

    async def _adescribe(self, group: Group, deadline: Deadline) -> list[Prompt]:
        if not group.texts:
            return []
        call = self._call(group.head, await self._aknown(deadline), deadline)
        plan: batching.Batches[Prompt] = batching.split(group.texts, self.settings.batch_size)
        return plan.restore(await self._adrive_all([lists.describe_prompts(call, part) for part in plan.lists]))

    async def _within(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result, in the time that a call may take."""
        try:
            return await self._transport.within(work)
        except errors.ModelNotFoundError:
            self._forget_served()
            raise

    async def _adrive_all(self, several: list[Steps[list[T]]]) -> list[list[T]]:
        # A tokenizer on this machine works inside the first step: not on the event loop.
        return await self._transport.adrive_all(several, blocking_start=self._tokenizer is not None)

    def _known(self, deadline: Deadline) -> Served:
        if self._served is None:
            patience = self._transport.patience(deadline)
            self._served = self._transport.drive(lists.ask_served(patience), deadline)
        return self._served

    async def _aknown(self, deadline: Deadline) -> Served:
        if self._served is None:
            self._served = await self._transport.adrive(lists.ask_served(self._transport.patience(deadline)))
        return self._served

    def _forget_served(self) -> None:
        self._served = _told(self.settings)  # the server may have come back with another model

    def _pass_through(
        self, counts: Sequence[int], top_n: int | None, failure: errors.ServerError
    ) -> list[list[RerankResult]]:
        """The documents of each query as they were given, unscored, where that is wished; else the failure."""
        if self.settings.on_error == "raise":
            raise failure from None
        _log.warning("%d documents passed through unscored: %s", sum(counts), failure)
        return [[unscored(index, failure) for index in range(count)][:top_n] for count in counts]

    def _plan(self, call: Call, texts: list[str]) -> batching.Batches[Outcome]:
        known: Mapping[str, Outcome] = {}
        if self._cache is not None:
            known = self._cache.find(call.model, call.head.text, texts)
        return batching.split(texts, self.settings.batch_size, known)

    def _finish(
        self, call: Call, plan: batching.Batches[Outcome], places: Sequence[int], parts: list[list[Outcome]]
    ) -> list[Outcome]:
        if self._cache is not None:
            for documents, outcomes in zip(plan.lists, parts, strict=True):
                self._cache.add(call.model, call.head.text, documents, outcomes)
        outcomes = plan.restore(parts)
        _tell(outcomes, places, call.max_length)
        return outcomes

    def _max_length(self, served: Served) -> int:
        wanted = self.settings.max_length or self.settings.template.max_length
        return wanted if served.max_length is None else min(wanted, served.max_length)

    def _call(self, head: Head, served: Served, deadline: Deadline, *, collect: bool = False) -> Call:
        if self._tokenizer is None and self.settings.tokenizer is not None:
            self._tokenizer = load_tokenizer(self.settings.tokenizer)
        model, patience = self.settings.model or served.model, self._transport.patience(deadline)
        return Call(model, head, self._max_length(served), patience, self._tokenizer, self.settings.endpoint, collect)


def _steps(
    call: Call, plan: batching.Batches[Outcome], places: Sequence[int], on_progress: OnProgress | None
) -> list[Steps[list[Outcome]]]:
    """One generator a list; their ends are told where somebody listens."""

    def score(part: list[str]) -> Steps[list[Outcome]]:
        return lists.score_documents(call, part, lambda place: [places[i] for i in plan.where(part, place)])

    steps = [score(part) for part in plan.lists]
    if on_progress is None:
        return steps
    progress = Progress(on_progress, sum(map(len, plan.lists)))
    return [progress.watch(step) for step in steps]


def _tell(outcomes: list[Outcome], places: Sequence[int], limit: int) -> None:
    """A line in the log for what was cut, and a warning for what has no score."""
    if set(map(type, outcomes)) == {Score} and not any(map(_TRUNCATED, outcomes)):  # the usual case, told fast
        return
    cut = [place for place, one in zip(places, outcomes, strict=True) if isinstance(one, Score) and one.truncated]
    if cut:
        _log.info("%d of %d documents were cut to %d tokens: %s", len(cut), len(outcomes), limit, _some(cut))
    guilty = {p: one for p, one in zip(places, outcomes, strict=True) if isinstance(one, errors.DocumentError)}
    if guilty:
        said = next(iter(guilty.values()))
        _log.warning("%d of %d documents have no score: %s: %s", len(guilty), len(outcomes), _some(list(guilty)), said)


def _some(indices: list[int], most: int = 10) -> str:
    return ", ".join(map(str, indices[:most])) + (", …" if len(indices) > most else "")


def _told(settings: Settings) -> Served | None:
    """What the server needn't be asked, where the user has said both."""
    if settings.model is None or settings.max_length is None:
        return None
    return Served(settings.model)
