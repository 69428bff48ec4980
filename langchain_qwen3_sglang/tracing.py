"""One run per query for LangChain's callbacks and tracers, with its inputs and outputs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.documents import Document
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_async_callback_manager_for_config, get_callback_manager_for_config

from langchain_qwen3_sglang.documents import Overrides
from langchain_qwen3_sglang.reading import Read
from qwen3_sglang import RerankResult

RunType = Literal["retriever", "chain"]
_LANGSMITH_NAME = "qwen3sglangrerank"
_PREFIX = "rerank_"  # of what is added to a run's metadata, which may have keys of the application's own


@dataclass(frozen=True, slots=True)
class Ranked:
    """What came of one query.

    Attributes:
        documents: those kept, best first.
        scores: theirs; None where there is none.
        notes: the model's name, and how many documents the server, the model and the caller got.
    """

    documents: list[Document]
    scores: list[float | None]
    notes: dict[str, Any]


Outcome = Ranked | BaseException


@dataclass(frozen=True, slots=True)
class Trace:
    """How runs are told of.

    Attributes:
        name: of a run whose config has none.
        run_type: "retriever" or "chain".
        model: the served model's name; None where it isn't known yet.
    """

    name: str
    run_type: RunType
    model: str | None

    @contextmanager
    def observed(
        self, inputs: Sequence[object], limits: Overrides, configs: Sequence[RunnableConfig]
    ) -> Iterator[list[Outcome]]:
        """One run per input; the caller fills the list that is yielded, one outcome per input."""
        outcomes: list[Outcome] = []
        runs = [
            self._start(get_callback_manager_for_config(config), given, limits, config)
            for given, config in zip(inputs, configs, strict=True)
        ]
        try:
            yield outcomes
        except BaseException as error:
            for run in runs:
                self._end(run, error)
            raise
        for run, outcome in zip(runs, outcomes, strict=True):
            self._end(run, outcome)

    @asynccontextmanager
    async def aobserved(
        self, inputs: Sequence[object], limits: Overrides, configs: Sequence[RunnableConfig]
    ) -> AsyncIterator[list[Outcome]]:
        """`observed`, for async callbacks."""
        outcomes: list[Outcome] = []
        runs = [
            await self._start(get_async_callback_manager_for_config(config), given, limits, config)
            for given, config in zip(inputs, configs, strict=True)
        ]
        try:
            yield outcomes
        except BaseException as error:
            for run in runs:
                await self._end(run, error)
            raise
        for run, outcome in zip(runs, outcomes, strict=True):
            await self._end(run, outcome)

    def _start(self, manager: Any, given: object, limits: Overrides, config: RunnableConfig) -> Any:
        """What the manager's method returns: a run, or for an async manager what to await for one."""
        named = {"name": config.get("run_name") or self.name, "run_id": config.get("run_id")}
        asked = dict(given) if isinstance(given, Mapping) else {"input": given}
        if self.run_type == "chain":
            return manager.on_chain_start(None, {**asked, **limits}, **named)
        notes = _prefixed(self._asked(asked.get("documents"), limits))
        # Not inherited: they are about this run alone. LangSmith's own key comes from the parent otherwise.
        manager.add_metadata({"ls_retriever_name": _LANGSMITH_NAME, **notes}, inherit=False)
        return manager.on_retriever_start(None, str(asked.get("query", asked.get("input", ""))), **named)

    def _asked(self, documents: object, limits: Overrides) -> dict[str, Any]:
        ids = [getattr(one, "id", None) for one in documents] if isinstance(documents, Sequence) else []
        return {**({} if self.model is None else {"model": self.model}), **limits, "input_ids": ids}

    def _end(self, run: Any, outcome: Outcome) -> Any:
        """As `_start`: nothing, or what to await."""
        if isinstance(outcome, BaseException):
            return (run.on_chain_error if self.run_type == "chain" else run.on_retriever_error)(outcome)
        if self.run_type == "chain":
            return run.on_chain_end({"documents": outcome.documents, "scores": outcome.scores, **outcome.notes})
        # The dictionary that tracers were given at the start: they read it at the end.
        run.metadata.update(_prefixed(outcome.notes))
        return run.on_retriever_end(outcome.documents)


def _prefixed(notes: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{_PREFIX}{name}": value for name, value in notes.items()}


def ranked_with_notes(
    read: Read, results: Sequence[RerankResult], documents: list[Document], model: str | None, *, cached: bool
) -> Ranked:
    """The documents that are kept, and what to note of them.

    With a cache only the client knows how many were sent, so `sent` is left out.
    """
    distinct = len(set(read.texts))
    notes = {
        "model": model,
        "received": len(read.documents),
        "duplicates": len(read.texts) - distinct,
        "sent": distinct,
        "truncated": sum(result.truncated for result in results),
        "dropped": len(read.documents) - len(results),
    }
    if cached:
        del notes["sent"]
    return Ranked(documents, [None if result.error else result.score for result in results], notes)
