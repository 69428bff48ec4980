"""A LangChain document compressor that reranks with Qwen3-Reranker on SGLang."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.documents.compressor import BaseDocumentCompressor
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, StrictBool

from qwen3_sglang import RerankClient, RerankResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.callbacks import Callbacks

# One for all instances: a lock per instance could be neither copied nor pickled.
_BUILDING = threading.Lock()
_TRUNCATED = "rerank_truncated"


class Qwen3SGLangRerank(BaseDocumentCompressor):
    """Order documents by P(relevant), as Qwen3-Reranker on an SGLang server judges it.

    ``base_url`` and ``api_key`` fall back to ``QWEN3_SGLANG_BASE_URL`` and
    ``QWEN3_SGLANG_API_KEY``. Constructing one does no I/O; an unusable setting raises
    ``InvalidInputError`` there and then.

    Example:
        >>> reranker = Qwen3SGLangRerank(base_url="http://127.0.0.1:30000", top_n=3)
        >>> ContextualCompressionRetriever(base_compressor=reranker, base_retriever=retriever)
    """

    # Errors must not print their input: a misspelled `api_key` would show the key.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    # Frozen: the client is built from them, so a later change would be silently ignored.
    base_url: str | None = Field(default=None, frozen=True, description="Address of the server.")
    api_key: SecretStr | None = Field(
        default=None, frozen=True, repr=False, description="Key that the server asks for, if any."
    )
    model: str | None = Field(default=None, frozen=True, description="Name of the served model; None asks the server.")
    instruction: str | None = Field(
        default=None, frozen=True, description="What makes a document relevant; None: the model's default."
    )
    batch_size: int = Field(default=128, strict=True, frozen=True, description="Documents a request.")
    max_concurrency: int = Field(default=8, strict=True, frozen=True, description="Requests in flight.")
    timeout: float = Field(default=60.0, strict=True, frozen=True, description="Seconds for a whole call.")
    max_length: int | None = Field(
        default=None, strict=True, frozen=True, description="Tokens of a prompt; None: 8192 or the server's limit."
    )
    tokenizer: str | Path | None = Field(
        default=None, frozen=True, description="The served model's folder, to cut long texts by; None asks the server."
    )
    escape_special_tokens: bool = Field(
        default=True, strict=True, frozen=True, description="Break special tokens inside texts."
    )
    endpoint: str = Field(
        default="v1/classify",
        strict=True,
        frozen=True,
        description="v1/classify, v1/score or (vLLM) classify.",
    )
    cache_size: int = Field(default=0, strict=True, frozen=True, description="Scores to remember.")
    verify: StrictBool | str | Path = Field(
        default=True, frozen=True, description="Check TLS certificates, or the CA bundle to check by."
    )
    top_n: int | None = Field(default=None, strict=True, description="Documents to keep; None keeps all.")
    min_score: float | None = Field(default=None, strict=True, description="Least score to keep; None keeps all.")

    _client: RerankClient | None = PrivateAttr(default=None)

    if not TYPE_CHECKING:  # type checkers and editors see the fields as the signature

        def __init__(self, **data: Any) -> None:
            """Check every setting.

            Not a validator: pydantic would wrap InvalidInputError together with its input, key included.
            """
            # What may be a key, misspelled too, is wrapped: a traceback with locals shows `data`.
            data = {
                name: SecretStr(value) if "key" in name and isinstance(value, str) else value
                for name, value in data.items()
            }
            super().__init__(**data)
            # With no documents the core checks the arguments and asks the server nothing.
            self._connect().rerank("check", [], self.top_n, self.min_score)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return fresh copies of the relevant documents, best first.

        Args:
            documents: what the retriever found; never changed.
            query: what they are judged against.
            callbacks: accepted for LangChain; no run is traced here.

        Returns:
            Documents with ``id`` and metadata kept and ``metadata["relevance_score"]`` added; also
            ``metadata["rerank_truncated"] = True`` where only the start fitted into ``max_length``. The text
            itself is never cut.
        """
        found = list(documents)
        results = self._connect().rerank(query, _texts(found), self.top_n, self.min_score)
        return _ranked(found, results)

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Do the same as `compress_documents` on the running event loop, with no thread."""
        found = list(documents)
        results = await self._connect().arerank(query, _texts(found), self.top_n, self.min_score)
        return _ranked(found, results)

    def close(self) -> None:
        """Close the sync connections; the next call opens new ones."""
        if self._client is not None:
            self._client.close()

    async def aclose(self) -> None:
        """Close the running event loop's connections and the sync ones; the next call opens new ones."""
        if self._client is not None:
            await self._client.aclose()

    def _connect(self) -> RerankClient:
        with _BUILDING:
            if self._client is None:
                self._client = RerankClient(
                    self.base_url,
                    api_key=self.api_key,
                    model=self.model,
                    instruction=self.instruction,
                    batch_size=self.batch_size,
                    max_concurrency=self.max_concurrency,
                    timeout=self.timeout,
                    max_length=self.max_length,
                    tokenizer=self.tokenizer,
                    escape_special_tokens=self.escape_special_tokens,
                    endpoint=self.endpoint,
                    cache_size=self.cache_size,
                    verify=self.verify,
                )
            return self._client

    def __copy__(self) -> Qwen3SGLangRerank:
        """Copy all but the client: `model_copy(update=...)` may change what it is built from."""
        copied = super().__copy__()
        copied._client = None
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Qwen3SGLangRerank:
        """Copy all but the client: open connections can't be copied."""
        # The fields hold plain immutable values, so nothing is left to copy more deeply.
        return self.__copy__()

    def __getstate__(self) -> dict[Any, Any]:
        """Pickle neither the client (its connections belong to one process) nor the key (the environment has it)."""
        copied = self.__copy__()
        copied.__dict__["api_key"] = None
        return super(Qwen3SGLangRerank, copied).__getstate__()


def _texts(documents: list[Document]) -> list[str]:
    return [document.page_content for document in documents]


def _ranked(documents: list[Document], results: list[RerankResult]) -> list[Document]:
    return [_scored(documents[result.index], result) for result in results]


def _scored(document: Document, result: RerankResult) -> Document:
    metadata = document.metadata | {"relevance_score": result.score, _TRUNCATED: True}
    if not result.truncated:
        del metadata[_TRUNCATED]  # from an earlier reranking, if it was there
    # model_copy, not Document(...): it keeps `id`, `type` and subclasses with fields of their own.
    return document.model_copy(update={"metadata": metadata})
