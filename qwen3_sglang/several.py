"""Calls that hold documents of several queries: the part of RerankClient that shares lists between queries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qwen3_sglang.errors import ServerError
from qwen3_sglang.ranking import Outcome, RerankResult, check_limits, p_yes, rank
from qwen3_sglang.scoring.queries import Prompts, by_query, prepare_many, read_rows, restore, told_by_query
from qwen3_sglang.scoring.scorer import Scorer
from qwen3_sglang.transport.deadline import Deadline


class SeveralQueries(Scorer):
    """What a client needs in order to score documents of several queries in lists that they share.

    A query so long that a prompt of it may not fit is asked for in lists of its own.
    """

    def score_pairs(self, pairs: Iterable[tuple[str, str]], *, instruction: str | None = None) -> list[float]:
        """P(yes) of each (query, document), in the pairs' order; a pair that occurs twice is sent once.

        Raises:
            InvalidInputError: a blank query, or anything that isn't a string; before any request.
            ServerError: one of its subclasses; see `qwen3_sglang.errors`.
        """
        return p_yes(self._many(self._pairs(pairs, instruction)))

    async def ascore_pairs(self, pairs: Iterable[tuple[str, str]], *, instruction: str | None = None) -> list[float]:
        """`score_pairs`, without blocking the event loop."""
        return p_yes(await self._amany(self._pairs(pairs, instruction)))

    def rerank_many(
        self,
        queries: Iterable[tuple[str, Sequence[str]]],
        top_n: int | None = None,
        min_score: float | None = None,
        *,
        instruction: str | None = None,
    ) -> list[list[RerankResult]]:
        """`rerank` for each (query, its documents), in the queries' order; limits hold for each query.

        Raises:
            InvalidInputError: as `rerank`; the message says which query.
            ServerError: one of its subclasses; a DocumentError says which query's document it is. See
                `qwen3_sglang.errors`.
        """
        check_limits(top_n, min_score)
        rows = read_rows("queries", queries, "(query, its documents)")
        prompts, collect = self._prompts(rows, instruction, "queries"), self.settings.on_error == "passthrough"
        counts = [len(documents) for _, documents in rows]
        try:
            outcomes = self._many(prompts, collect=collect)
        except ServerError as failure:
            return self._pass_through(counts, top_n, told_by_query(failure, counts))
        return [rank(own, top_n, min_score) for own in by_query(outcomes, counts)]

    async def arerank_many(
        self,
        queries: Iterable[tuple[str, Sequence[str]]],
        top_n: int | None = None,
        min_score: float | None = None,
        *,
        instruction: str | None = None,
    ) -> list[list[RerankResult]]:
        """`rerank_many`, without blocking the event loop."""
        check_limits(top_n, min_score)
        rows = read_rows("queries", queries, "(query, its documents)")
        prompts, collect = self._prompts(rows, instruction, "queries"), self.settings.on_error == "passthrough"
        counts = [len(documents) for _, documents in rows]
        try:
            outcomes = await self._amany(prompts, collect=collect)
        except ServerError as failure:
            return self._pass_through(counts, top_n, told_by_query(failure, counts))
        return [rank(own, top_n, min_score) for own in by_query(outcomes, counts)]

    def _many(self, prompts: Prompts, *, collect: bool = False) -> list[Outcome]:
        deadline = Deadline(self.settings.timeout)
        groups = prompts.groups(self._max_length(self._known(deadline))) if prompts.documents else []
        return restore(groups, [self._score(group, deadline.rest(), collect=collect) for group in groups])

    async def _amany(self, prompts: Prompts, *, collect: bool = False) -> list[Outcome]:
        return await self._within(self._amany_now(prompts, collect))

    async def _amany_now(self, prompts: Prompts, collect: bool) -> list[Outcome]:
        deadline = Deadline(self.settings.timeout)
        groups = prompts.groups(self._max_length(await self._aknown(deadline))) if prompts.documents else []
        return restore(groups, [await self._ascore(group, deadline, collect=collect) for group in groups])

    def _pairs(self, pairs: Iterable[tuple[str, str]], instruction: str | None) -> Prompts:
        rows = read_rows("pairs", pairs, "(query, document)")
        return self._prompts([(query, [document]) for query, document in rows], instruction, "pairs")

    def _prompts(self, questions: Sequence[tuple[str, Sequence[str]]], instruction: str | None, field: str) -> Prompts:
        task = self.settings.instruction if instruction is None else instruction
        settings = self.settings
        return prepare_many(settings.template, questions, task, escape=settings.escape_special_tokens, field=field)
