"""Any Runnable that reranks, where LangChain takes a document compressor."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.callbacks import Callbacks
from langchain_core.documents import Document
from langchain_core.documents.compressor import BaseDocumentCompressor
from langchain_core.runnables import Runnable
from pydantic import ConfigDict, Field

from langchain_qwen3_sglang.documents import RerankInput, as_input, check_order


class RunnableCompressor(BaseDocumentCompressor):
    """A document compressor of a Runnable from ``{"query": str, "documents": list[Document]}`` to documents.

    ``Qwen3SGLangRerank`` is a document compressor itself. What its ``configurable_fields``, ``with_fallbacks``,
    ``with_retry`` and ``bind`` return is a Runnable only, which ``ContextualCompressionRetriever`` doesn't take.
    The Runnable gets the config of the chain that the retriever is part of, ``configurable`` included.

    Raises: what the Runnable raises, and ``InvalidInputError`` for a query in the documents' place.

    Example:
        >>> first, second = (Qwen3SGLangRerank(base_url=f"http://{name}:30000") for name in ("gpu-1", "gpu-2"))
        >>> safe = first.with_fallbacks([second])
        >>> ContextualCompressionRetriever(base_compressor=RunnableCompressor(runnable=safe), base_retriever=retriever)
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    runnable: Runnable[RerankInput, list[Document]] = Field(description="Orders the documents.")

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """What the Runnable makes of them. Raises: see the class."""
        check_order(documents, query)
        return self.runnable.invoke(as_input(query, documents), {"callbacks": callbacks})

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """`compress_documents`, on the running event loop. Raises: see the class."""
        check_order(documents, query)
        return await self.runnable.ainvoke(as_input(query, documents), {"callbacks": callbacks})
