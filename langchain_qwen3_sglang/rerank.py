"""A LangChain document compressor that reranks with Qwen3-Reranker on SGLang."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from langchain_core.callbacks import Callbacks
from langchain_core.documents import Document
from langchain_core.documents.compressor import BaseDocumentCompressor
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from langchain_core.runnables.config import get_config_list
from langchain_core.runnables.utils import AnyConfigurableField
from pydantic import ConfigDict
from typing_extensions import Unpack

from langchain_qwen3_sglang.configurable import ConfigurableRerank
from langchain_qwen3_sglang.documents import (
    Overrides,
    RerankInput,
    as_input,
    check_order,
    ranked,
    read_input,
)
from langchain_qwen3_sglang.options import RerankOptions
from langchain_qwen3_sglang.reading import Read, sent_limits
from langchain_qwen3_sglang.tracing import Outcome, Ranked, Trace, ranked_with_notes
from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.names import API_KEY_VARIABLE, HEADERS_VARIABLE

if TYPE_CHECKING:
    from qwen3_sglang import RerankResult


class Qwen3SGLangRerank(RerankOptions, BaseDocumentCompressor, RunnableSerializable[RerankInput, list[Document]]):
    """Order documents by P(relevant), as Qwen3-Reranker on an SGLang server judges it.

    A document compressor, and a Runnable from ``{"query": str, "documents": list[Document]}`` to the
    documents that are kept, best first.

    ``base_url`` and ``api_key`` fall back to ``QWEN3_SGLANG_BASE_URL`` and
    ``QWEN3_SGLANG_API_KEY``. Constructing one does no I/O; an unusable setting raises
    ``InvalidInputError`` there and then.

    Every call returns fresh documents: ``id`` and metadata are kept, ``metadata["relevance_score"]`` is P(yes),
    in [0, 1], and ``metadata["rerank_truncated"]`` is True where only the start fitted into ``max_length``. With
    ``long_documents="chunks"``, a document that was scored in chunks has ``metadata["rerank_chunk_start"]`` and
    ``["rerank_chunk_end"]``, the best chunk's place in its text, and ``["rerank_chunks"]``, how
    many were scored. The text itself is never cut. With ``on_error="passthrough"``, what has no score comes last, or
    in the order given if nothing has one, with ``metadata["rerank_error"]`` and no ``relevance_score``.

    The model reads ``page_content``, unless ``document_prompt`` or ``metadata_keys`` say otherwise. A document that
    lacks a key of theirs raises ``InvalidInputError`` before anything is sent; with ``on_error="passthrough"`` it
    alone goes without a score. An empty document is scored as such, and never dropped.

    Each query is a run of its own for callbacks and tracers: a retriever's, with the kept documents as its outputs.
    With ``run_type="chain"``, handlers of ``on_retriever_end`` don't see it.

    Example:
        >>> reranker = Qwen3SGLangRerank(base_url="http://127.0.0.1:30000", top_n=3)
        >>> ContextualCompressionRetriever(base_compressor=reranker, base_retriever=retriever)
        >>> {"documents": retriever, "query": RunnablePassthrough()} | reranker
    """

    # Again, since the last base in the list would let unknown names pass.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """`langchain_core.load.dumps` writes the settings, and for the key only where to find it."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The environment variable that holds the key."""
        return {"api_key": API_KEY_VARIABLE, "headers": HEADERS_VARIABLE}

    def rerank(
        self,
        query: str,
        documents: Iterable[Document | str | Mapping[str, Any]],
        *,
        callbacks: Callbacks = None,
        **overrides: Unpack[Overrides],
    ) -> list[Document]:
        """Return fresh copies of the relevant documents, best first.

        Args:
            query: what they are judged against.
            documents: what the retriever found; never changed. Strings, and mappings with a text under
                "page_content", "text" or "content", become Documents.
            callbacks: handlers, or a parent run's manager, that this run is told to.
            overrides: `top_n`, `min_score` and `instruction` of this call alone.

        Raises:
            InvalidInputError: a blank query, or an override that can't be met; before any request.
            ServerError: one of its subclasses; see `qwen3_sglang.errors`.
        """
        asked = as_input(query, documents)
        return self.invoke(asked, {"callbacks": callbacks}, **overrides)

    async def arerank(
        self,
        query: str,
        documents: Iterable[Document | str | Mapping[str, Any]],
        *,
        callbacks: Callbacks = None,
        **overrides: Unpack[Overrides],
    ) -> list[Document]:
        """`rerank`, on the running event loop, with no thread. Raises: as `rerank`."""
        asked = as_input(query, documents)
        return await self.ainvoke(asked, {"callbacks": callbacks}, **overrides)

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,
        **overrides: Unpack[Overrides],
    ) -> list[Document]:
        """`rerank`, as LangChain's retrievers call it.

        Raises:
            InvalidInputError: as `rerank`.
            ServerError: as `rerank`.
        """
        check_order(documents, query)
        return self.rerank(query, documents, callbacks=callbacks, **overrides)

    async def acompress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,
        **overrides: Unpack[Overrides],
    ) -> list[Document]:
        """`compress_documents`, on the running event loop, with no thread. Raises: as `rerank`."""
        check_order(documents, query)
        return await self.arerank(query, documents, callbacks=callbacks, **overrides)

    def invoke(
        self,
        input: RerankInput,
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """`rerank`, as a Runnable; keyword arguments are the overrides, so `bind(top_n=1)` works.

        Raises: as `rerank`.
        """
        [documents] = self.batch([input], config, **kwargs)
        return documents

    async def ainvoke(
        self,
        input: RerankInput,
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """`invoke`, on the running event loop, with no thread. Raises: as `rerank`."""
        [documents] = await self.abatch([input], config, **kwargs)
        return documents

    def batch(
        self,
        inputs: list[RerankInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[list[Document]]:
        """Rerank for several queries at once: their documents share the lists that are sent.

        How many requests are in flight is this reranker's `max_concurrency`, not the config's.

        Args:
            inputs: one per query.
            config: one for all, or one per input.
            return_exceptions: an input that can't be used has its error in the result, and costs the others
                nothing; a failure of the server is every input's.
            kwargs: `top_n`, `min_score` and `instruction` of this call alone, for each query.

        Raises:
            InvalidInputError: as `rerank`, for the first such input, unless `return_exceptions` is True.
            ServerError: as `rerank`, unless `return_exceptions` is True.
        """
        limits, configs = self._limits(kwargs), get_config_list(config, len(inputs))
        with self._trace().observed(inputs, limits, configs) as outcomes:
            outcomes.extend(self._outcomes(inputs, limits, apart=return_exceptions))
        return _delivered(outcomes, return_exceptions)

    async def abatch(
        self,
        inputs: list[RerankInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[list[Document]]:
        """`batch`, on the running event loop, with no thread. Raises: as `batch`."""
        limits, configs = self._limits(kwargs), get_config_list(config, len(inputs))
        async with self._trace().aobserved(inputs, limits, configs) as outcomes:
            outcomes.extend(await self._aoutcomes(inputs, limits, apart=return_exceptions))
        return _delivered(outcomes, return_exceptions)

    def configurable_fields(self, **kwargs: AnyConfigurableField) -> ConfigurableRerank:
        """As every Runnable's; calls whose config leaves the server's settings alone share the connections."""
        plain = super().configurable_fields(**kwargs)
        return ConfigurableRerank(default=self, fields=plain.fields)  # type: ignore[attr-defined]

    def _trace(self) -> Trace:
        return Trace(self.get_name(), self.run_type, self._connect().known_model)

    def _read(self, inputs: Sequence[object]) -> list[Read]:
        reading = self._reading()
        reading.check()  # fields can be assigned
        asked = [read_input(one) for one in inputs]
        return [reading.read(one, place if len(asked) > 1 else None) for place, one in enumerate(asked)]

    def _outcomes(self, inputs: Sequence[object], limits: Overrides, *, apart: bool) -> Sequence[Outcome]:
        try:
            reads = self._read(inputs)
            return self._ranked(reads, self._results(reads, sent_limits(reads, limits)), limits)
        except Exception as error:
            if not _one_may_be_to_blame(error, inputs, apart):
                return [error] * len(inputs)
        return [outcome for one in inputs for outcome in self._outcomes([one], limits, apart=False)]

    async def _aoutcomes(self, inputs: Sequence[object], limits: Overrides, *, apart: bool) -> Sequence[Outcome]:
        try:
            reads = self._read(inputs)
            return self._ranked(reads, await self._aresults(reads, sent_limits(reads, limits)), limits)
        except Exception as error:
            if not _one_may_be_to_blame(error, inputs, apart):
                return [error] * len(inputs)
        return [outcome for one in inputs for outcome in await self._aoutcomes([one], limits, apart=False)]

    def _results(self, reads: Sequence[Read], limits: Overrides) -> list[list[RerankResult]]:
        client = self._connect()
        if len(reads) == 1:  # one query alone: errors needn't say which
            [read] = reads
            return [client.rerank(read.query, read.texts, **limits)]
        return client.rerank_many([(read.query, read.texts) for read in reads], **limits)

    async def _aresults(self, reads: Sequence[Read], limits: Overrides) -> list[list[RerankResult]]:
        client = self._connect()
        if len(reads) == 1:
            [read] = reads
            return [await client.arerank(read.query, read.texts, **limits)]
        return await client.arerank_many([(read.query, read.texts) for read in reads], **limits)

    def _ranked(self, reads: Sequence[Read], found: list[list[RerankResult]], limits: Overrides) -> list[Ranked]:
        model, cached, keep = self._connect().known_model, self.cache_size > 0, self.keep_retrieval_score
        made = []
        for read, results in zip(reads, found, strict=True):
            kept = read.results(results, limits["top_n"])
            documents = ranked(read.documents, kept, keep_retrieval_score=keep)
            made.append(ranked_with_notes(read, kept, documents, model, cached=cached))
        return made


def _one_may_be_to_blame(error: Exception, inputs: Sequence[object], apart: bool) -> bool:
    # Refused before anything was sent, so that asking one by one repeats nothing.
    return apart and len(inputs) > 1 and isinstance(error, InvalidInputError)


def _delivered(outcomes: Sequence[Outcome], return_exceptions: bool) -> list[list[Document]]:
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not return_exceptions:
            raise outcome
    delivered = [outcome.documents if isinstance(outcome, Ranked) else outcome for outcome in outcomes]
    return cast("list[list[Document]]", delivered)  # Runnable's signature says nothing of exceptions
