"""Calls that hold documents of several queries: the part of RerankClient that shares lists between queries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from qwen3_sglang.errors import ServerError
from qwen3_sglang.many import Group, Prompts, prepare_many, restore
from qwen3_sglang.ranking import Outcome, RerankResult, Score, check_limits, rank
from qwen3_sglang.settings import Settings


class SeveralQueries(ABC):
    """What a client needs in order to score documents of several queries in lists that they share.

    A query so long that a prompt of it may not fit is asked for in lists of its own, with a `timeout` of its own.
    """

    settings: Settings

    def score_pairs(self, pairs: Sequence[tuple[str, str]], *, instruction: str | None = None) -> list[float]:
        """P(yes) of each (query, document), in the pairs' order; a pair that occurs twice is sent once.

        Raises:
            InvalidInputError: a blank query, or anything that isn't a string; before any request.
            ServerError: one of its subclasses; see `qwen3_sglang.errors`.
        """
        return _p_yes(self._many_scores(self._pairs(pairs, instruction)))

    async def ascore_pairs(self, pairs: Sequence[tuple[str, str]], *, instruction: str | None = None) -> list[float]:
        """`score_pairs`, without blocking the event loop."""
        return _p_yes(await self._amany_scores(self._pairs(pairs, instruction)))

    def rerank_many(
        self,
        queries: Sequence[tuple[str, Sequence[str]]],
        top_n: int | None = None,
        min_score: float | None = None,
        *,
        instruction: str | None = None,
    ) -> list[list[RerankResult]]:
        """`rerank` for each (query, its documents), in the queries' order; limits hold for each query.

        Raises:
            InvalidInputError: as `rerank`; the message says which query.
            ServerError: one of its subclasses; see `qwen3_sglang.errors`.
        """
        check_limits(top_n, min_score)
        prompts, collect = self._prompts(queries, instruction, "queries"), self.settings.on_error == "passthrough"
        try:
            scores = self._many_scores(prompts, collect=collect)
        except ServerError as failure:
            return [self._pass_through(len(own), top_n, failure) for _, own in queries]
        return [rank(own, top_n, min_score) for own in _portions(scores, queries)]

    async def arerank_many(
        self,
        queries: Sequence[tuple[str, Sequence[str]]],
        top_n: int | None = None,
        min_score: float | None = None,
        *,
        instruction: str | None = None,
    ) -> list[list[RerankResult]]:
        """`rerank_many`, without blocking the event loop."""
        check_limits(top_n, min_score)
        prompts, collect = self._prompts(queries, instruction, "queries"), self.settings.on_error == "passthrough"
        try:
            scores = await self._amany_scores(prompts, collect=collect)
        except ServerError as failure:
            return [self._pass_through(len(own), top_n, failure) for _, own in queries]
        return [rank(own, top_n, min_score) for own in _portions(scores, queries)]

    def _many_scores(self, prompts: Prompts, *, collect: bool = False) -> list[Outcome]:
        groups = prompts.groups(self._limit()) if prompts.documents else []
        return restore(groups, [self._score_texts(group.head, group.texts, collect=collect) for group in groups])

    async def _amany_scores(self, prompts: Prompts, *, collect: bool = False) -> list[Outcome]:
        groups: list[Group] = prompts.groups(await self._alimit()) if prompts.documents else []
        return restore(groups, [await self._ascore_texts(group.head, group.texts, collect=collect) for group in groups])

    def _pairs(self, pairs: Sequence[tuple[str, str]], instruction: str | None) -> Prompts:
        return self._prompts([(query, [document]) for query, document in pairs], instruction, "pairs")

    def _prompts(self, questions: Sequence[tuple[str, Sequence[str]]], instruction: str | None, field: str) -> Prompts:
        task = self.settings.instruction if instruction is None else instruction
        return prepare_many(questions, task, escape=self.settings.escape_special_tokens, field=field)

    @abstractmethod
    def _pass_through(self, count: int, top_n: int | None, failure: ServerError) -> list[RerankResult]: ...

    @abstractmethod
    def _limit(self) -> int: ...

    @abstractmethod
    async def _alimit(self) -> int: ...

    @abstractmethod
    def _score_texts(self, head: str, texts: list[str], *, collect: bool = False) -> list[Outcome]: ...

    @abstractmethod
    async def _ascore_texts(self, head: str, texts: list[str], *, collect: bool = False) -> list[Outcome]: ...


def _portions(scores: list[Outcome], queries: Sequence[tuple[str, Sequence[str]]]) -> list[list[Outcome]]:
    left = iter(scores)
    return [[next(left) for _ in documents] for _, documents in queries]


def _p_yes(outcomes: Sequence[Outcome]) -> list[float]:
    return [outcome.p_yes for outcome in outcomes if isinstance(outcome, Score)]
