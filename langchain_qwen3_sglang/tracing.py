"""One run per query for LangChain's callbacks and tracers, with its inputs and outputs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForChainRun, CallbackManagerForChainRun
from langchain_core.documents import Document
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_async_callback_manager_for_config, get_callback_manager_for_config

from langchain_qwen3_sglang.documents import Overrides, RerankInput, ranked, texts_of
from qwen3_sglang import RerankResult


@dataclass(frozen=True, slots=True)
class Ranked:
    """What came of one query.

    Attributes:
        documents: those kept, best first.
        outputs: the same for a run, with what the caller doesn't see.
    """

    documents: list[Document]
    outputs: dict[str, Any]


Outcome = Ranked | BaseException


def ranked_with_outputs(
    asked: RerankInput, results: Sequence[RerankResult], model: str | None, *, cached: bool
) -> Ranked:
    """The documents, and how many of them the server, the model and the caller got.

    With a cache only the client knows how many were sent, so `sent` is left out.
    """
    texts, kept = texts_of(asked["documents"]), ranked(asked["documents"], results)
    distinct = len(set(texts))
    outputs: dict[str, Any] = {
        "documents": kept,
        "scores": [None if result.error else result.score for result in results],
        "model": model,
        "received": len(texts),
        "duplicates": len(texts) - distinct,
        "sent": distinct,
        "truncated": sum(result.truncated for result in results),
        "dropped": len(texts) - len(results),
    }
    if cached:
        del outputs["sent"]
    return Ranked(kept, outputs)


@contextmanager
def observed(
    name: str, inputs: Sequence[object], limits: Overrides, configs: Sequence[RunnableConfig]
) -> Iterator[list[Outcome]]:
    """One run per input; the caller fills the list that is yielded, one outcome per input."""
    outcomes: list[Outcome] = []
    runs: list[CallbackManagerForChainRun] = [
        get_callback_manager_for_config(config).on_chain_start(None, **_started(name, given, limits, config))
        for given, config in zip(inputs, configs, strict=True)
    ]
    try:
        yield outcomes
    except BaseException as error:
        for run in runs:
            run.on_chain_error(error)
        raise
    for run, outcome in zip(runs, outcomes, strict=True):
        if isinstance(outcome, BaseException):
            run.on_chain_error(outcome)
        else:
            run.on_chain_end(outcome.outputs)


@asynccontextmanager
async def aobserved(
    name: str, inputs: Sequence[object], limits: Overrides, configs: Sequence[RunnableConfig]
) -> AsyncIterator[list[Outcome]]:
    """`observed`, for async callbacks."""
    outcomes: list[Outcome] = []
    runs: list[AsyncCallbackManagerForChainRun] = [
        await get_async_callback_manager_for_config(config).on_chain_start(
            None, **_started(name, given, limits, config)
        )
        for given, config in zip(inputs, configs, strict=True)
    ]
    try:
        yield outcomes
    except BaseException as error:
        for run in runs:
            await run.on_chain_error(error)
        raise
    for run, outcome in zip(runs, outcomes, strict=True):
        if isinstance(outcome, BaseException):
            await run.on_chain_error(outcome)
        else:
            await run.on_chain_end(outcome.outputs)


def _started(name: str, given: object, limits: Overrides, config: RunnableConfig) -> dict[str, Any]:
    asked = dict(given) if isinstance(given, Mapping) else {"input": given}
    return {
        "inputs": {**asked, **limits},
        "name": config.get("run_name") or name,
        "run_id": config.get("run_id"),
    }
