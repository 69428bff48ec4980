"""A LangChain retriever: a first stage, then Qwen3-Reranker on SGLang. Needs langchain-core alone."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable
from langchain_core.vectorstores import VectorStoreRetriever
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from langchain_qwen3_sglang.documents import Overrides
from langchain_qwen3_sglang.rerank import Qwen3SGLangRerank
from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.options.foreign import slips, unknown_options
from qwen3_sglang.options.keywords import masked, refuse_unknown

_OF_THE_RERANKER = dict.fromkeys(Qwen3SGLangRerank.model_fields, "its reranker: reranker=Qwen3SGLangRerank(...)")
_OURS = [*Overrides.__annotations__, "fetch_k"]
_MMR_CANDIDATES = 20  # what LangChain's vector stores take for maximal marginal relevance, unless told


class Qwen3SGLangRetriever(BaseRetriever):
    """Ask `base_retriever` for candidates, and return the best of them by `reranker`.

    ``fetch_k`` is how many candidates the base retriever is asked for:

    - a vector store's retriever (``vectorstore.as_retriever()``) is asked with ``k=fetch_k``;
    - a retriever with a field ``k``, as BM25's and most others have, is copied with that ``k``; the one that was
      passed in stays as it is;
    - anything else is refused with ``InvalidInputError``: set there how many it finds, and leave ``fetch_k`` out.

    ``None`` leaves the base retriever as it is. ``invoke`` takes ``top_n``, ``min_score``, ``instruction`` and
    ``fetch_k`` for one call; any other keyword goes to the base retriever (``filter=`` for example), and is refused
    with ``UnknownOptionError`` where that takes none, or where it is almost one of these four. What the model reads is
    the reranker's to say (``Qwen3SGLangRerank(document_prompt=...)``).

    Example:
        >>> retriever = Qwen3SGLangRetriever(base_retriever=store.as_retriever(), fetch_k=50, top_n=5)
        >>> retriever.invoke("What is the capital of China?")
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True)

    base_retriever: Runnable[str, list[Document]] = Field(description="Finds the candidates.")
    reranker: Qwen3SGLangRerank = Field(default_factory=Qwen3SGLangRerank, description="Orders them.")
    fetch_k: int | None = Field(
        default=None, strict=True, description="Candidates to ask for; None leaves base_retriever as it is."
    )
    top_n: int | None = Field(
        default=None, strict=True, description="Documents to keep; None keeps as many as reranker does."
    )

    @model_validator(mode="before")
    @classmethod
    def _names_are_ours(cls, data: Any) -> Any:
        """Say which option is meant by another library's name, or which belongs to the reranker."""
        wrong = unknown_options(data, cls.model_fields, _OF_THE_RERANKER) if isinstance(data, dict) else None
        if wrong is not None:
            raise ValueError(wrong)
        return data

    if not TYPE_CHECKING:  # type checkers and editors see the fields as the signature

        def __init__(self, **data: Any) -> None:
            """Check that the limits can be met; not a validator, so that the error keeps its type."""
            # The reranker's options may be passed here by mistake, its key among them.
            data = masked(data, type(self).model_fields, SecretStr)
            super().__init__(**data)
            self._first_stage(self.fetch_k, {})
            self.reranker._check(**self._limits({}, self.fetch_k))

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        **kwargs: Any,
    ) -> list[Document]:
        fetch_k = kwargs.pop("fetch_k", self.fetch_k)
        limits = self._limits(kwargs, fetch_k)
        base, options = self._first_stage(fetch_k, kwargs)
        found = base.invoke(query, {"callbacks": run_manager.get_child("retrieve")}, **options)
        return self.reranker.rerank(query, found, callbacks=run_manager.get_child("rerank"), **limits)

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        **kwargs: Any,
    ) -> list[Document]:
        fetch_k = kwargs.pop("fetch_k", self.fetch_k)
        limits = self._limits(kwargs, fetch_k)
        base, options = self._first_stage(fetch_k, kwargs)
        found = await base.ainvoke(query, {"callbacks": run_manager.get_child("retrieve")}, **options)
        return await self.reranker.arerank(query, found, callbacks=run_manager.get_child("rerank"), **limits)

    def _limits(self, kwargs: dict[str, Any], fetch_k: int | None) -> Overrides:
        """Take the reranker's overrides out of `kwargs`."""
        own = {} if self.top_n is None else {"top_n": self.top_n}
        limits = own | {name: kwargs.pop(name) for name in Overrides.__annotations__ if name in kwargs}
        top_n = limits.get("top_n", self.reranker.top_n)
        if isinstance(fetch_k, int) and isinstance(top_n, int) and fetch_k < top_n:
            raise InvalidInputError("fetch_k", fetch_k, f"pass at least top_n={top_n}: no more than it can be kept")
        return cast("Overrides", limits)

    def _first_stage(
        self, fetch_k: int | None, options: dict[str, Any]
    ) -> tuple[Runnable[str, list[Document]], dict[str, Any]]:
        """What to ask for candidates, and with which keyword arguments."""
        base = self.base_retriever
        # What the base retriever takes is its own to say, but not a slip of the pen in one of ours.
        refuse_unknown(slips(options, _OURS) if _takes_keywords(base) else options, _OURS, _OF_THE_RERANKER)
        if fetch_k is None:
            return base, options
        if isinstance(fetch_k, bool) or not isinstance(fetch_k, int) or fetch_k < 1:
            raise InvalidInputError("fetch_k", fetch_k, "pass an integer of at least 1, or None")
        if isinstance(base, VectorStoreRetriever):
            return base, {**_search_options(base, fetch_k), **options}
        if isinstance(base, BaseModel) and "k" in type(base).model_fields:
            return base.model_copy(update={"k": fetch_k}), options
        remedy = f"{type(base).__name__} has no k: set there how many it finds, and leave fetch_k out"
        raise InvalidInputError("fetch_k", fetch_k, remedy)


def _takes_keywords(base: Runnable[str, list[Document]]) -> bool:
    """Whether a call's keywords reach anything: LangChain drops them where a retriever's method takes none."""
    if not isinstance(base, BaseRetriever):
        return True
    others = list(inspect.signature(base._get_relevant_documents).parameters)[1:]  # first the query, whatever its name
    return bool(set(others) - {"run_manager"})


def _search_options(base: VectorStoreRetriever, fetch_k: int) -> dict[str, int]:
    if base.search_type != "mmr":
        return {"k": fetch_k}
    # There `fetch_k` is a setting of the store's own: the candidates to choose k of, so never fewer.
    return {"k": fetch_k, "fetch_k": max(fetch_k, base.search_kwargs.get("fetch_k", _MMR_CANDIDATES))}
