"""A LlamaIndex node postprocessor that reranks with Qwen3-Reranker on SGLang."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr, SecretStr
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle
from pydantic import StrictBool

from qwen3_sglang import RerankClient, RerankResult
from qwen3_sglang.errors import InvalidInputError

dispatcher = get_dispatcher(__name__)

# One for all instances: a lock per instance could be neither copied nor pickled.
_BUILDING = threading.Lock()
# Events demand a name, and asking the server for it is not worth a request.
_UNNAMED_MODEL = "Qwen3-Reranker"
_RETRIEVAL_SCORE, _TRUNCATED, _ERROR = "retrieval_score", "rerank_truncated", "rerank_error"


class Qwen3SGLangRerank(BaseNodePostprocessor):
    """Order nodes by P(relevant), as Qwen3-Reranker on an SGLang server judges it.

    ``base_url`` and ``api_key`` fall back to ``QWEN3_SGLANG_BASE_URL`` and
    ``QWEN3_SGLANG_API_KEY``. Constructing one does no I/O; an unusable setting raises
    ``InvalidInputError`` there and then.

    Example:
        >>> reranker = Qwen3SGLangRerank(base_url="http://127.0.0.1:30000", top_n=3)
        >>> index.as_query_engine(similarity_top_k=50, node_postprocessors=[reranker])
    """

    # Errors must not print their input: a misspelled `api_key` would show the key.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    # Frozen: the client is built from them, so a later change would be silently ignored.
    base_url: str | None = Field(default=None, frozen=True, description="Address of the server.")
    api_key: SecretStr | None = Field(
        default=None,
        frozen=True,
        repr=False,
        exclude=True,  # to_json can't write a SecretStr, and a stored pipeline should hold no key
        description="Key that the server asks for, if any. Never serialized.",
    )
    model: str | None = Field(default=None, frozen=True, description="Name of the served model; None asks the server.")
    instruction: str | None = Field(
        default=None, frozen=True, description="What makes a node relevant; None: the model's default."
    )
    batch_size: int = Field(default=128, strict=True, frozen=True, description="Nodes a request.")
    max_concurrency: int = Field(default=8, strict=True, frozen=True, description="Requests in flight.")
    timeout: float = Field(default=60.0, strict=True, frozen=True, description="Seconds for a whole call.")
    connect_timeout: float = Field(default=10.0, strict=True, frozen=True, description="Seconds to get a connection.")
    read_timeout: float | None = Field(
        default=None, strict=True, frozen=True, description="Seconds a request may stay silent; None: what is left."
    )
    max_retries: int | None = Field(
        default=None, strict=True, frozen=True, description="Retries of a request; None: while `timeout` lasts."
    )
    on_error: Literal["raise", "passthrough"] = Field(
        default="raise", frozen=True, description='"passthrough": on failure the input order, unscored and marked.'
    )
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
    top_n: int | None = Field(default=None, strict=True, description="Nodes to keep; None keeps all.")
    min_score: float | None = Field(default=None, strict=True, description="Least score to keep; None keeps all.")
    metadata_mode: MetadataMode = Field(
        default=MetadataMode.EMBED, description="Which metadata the model reads in front of a node's text."
    )
    keep_retrieval_score: bool = Field(
        default=False, description='Keep the retriever\'s score in metadata["retrieval_score"].'
    )

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

    @classmethod
    def class_name(cls) -> str:
        """Name under which LlamaIndex serializes this component."""
        return "Qwen3SGLangRerank"

    @dispatcher.span
    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        """Return fresh scored nodes, best first; what was passed in is never changed.

        Where only a node's start fitted into `max_length`, metadata["rerank_truncated"] is True, hidden from
        the embedding and the language model; the text itself is never cut. With `on_error="passthrough"`, what has
        no score comes last, or in the order given if nothing has one: score None and metadata["rerank_error"].
        """
        query = _query(query_bundle)
        with self._observed(nodes, query) as ranked:
            results = self._connect().rerank(query, self._texts(nodes), self.top_n, self.min_score)
            ranked.extend(self._ranked(nodes, results))
        return ranked

    # The base class adds a span to the sync method only.
    @dispatcher.span
    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        """Do the same as `_postprocess_nodes` on the running event loop, with no thread."""
        query = _query(query_bundle)
        with self._observed(nodes, query) as ranked:
            results = await self._connect().arerank(query, self._texts(nodes), self.top_n, self.min_score)
            ranked.extend(self._ranked(nodes, results))
        return ranked

    def close(self) -> None:
        """Close the sync connections; the next call opens new ones."""
        if self._client is not None:
            self._client.close()

    async def aclose(self) -> None:
        """Close the running event loop's connections and the sync ones; the next call opens new ones."""
        if self._client is not None:
            await self._client.aclose()

    @contextmanager
    def _observed(self, nodes: list[NodeWithScore], query: str) -> Iterator[list[NodeWithScore]]:
        """Tell callback and instrumentation handlers; the caller fills the list that is yielded."""
        ranked: list[NodeWithScore] = []
        # top_n can be assigned without a check: the core is to complain about it, not the event.
        top_n = self.top_n if isinstance(self.top_n, int) else len(nodes)
        model = self._connect().settings.model or _UNNAMED_MODEL
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: model,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            dispatcher.event(ReRankStartEvent(query=query, nodes=nodes, top_n=top_n, model_name=model))
            try:
                yield ranked
            except BaseException as error:
                dispatcher.event(ExceptionEvent(exception=error))
                raise
            finally:
                # After a failure too, so that whoever pairs starts with ends isn't left waiting.
                dispatcher.event(ReRankEndEvent(nodes=ranked))
            event.on_end(payload={EventPayload.NODES: ranked})

    def _texts(self, nodes: list[NodeWithScore]) -> list[str]:
        return [scored.node.get_content(metadata_mode=self.metadata_mode) for scored in nodes]

    def _ranked(self, nodes: list[NodeWithScore], results: list[RerankResult]) -> list[NodeWithScore]:
        return [self._scored(nodes[result.index], result) for result in results]

    def _scored(self, found: NodeWithScore, result: RerankResult) -> NodeWithScore:
        notes: dict[str, Any] = {_TRUNCATED: True} if result.truncated else {}
        if result.error is not None:
            notes[_ERROR] = result.error
        if self.keep_retrieval_score and found.score is not None:
            notes[_RETRIEVAL_SCORE] = found.score
        stale = not {_TRUNCATED, _ERROR}.isdisjoint(found.node.metadata)  # from an earlier reranking
        node = _with_notes(found.node, notes) if notes or stale else found.node
        score = result.score if result.error is None else None
        if type(found) is NodeWithScore:  # in half the time of a copy
            return NodeWithScore(node=node, score=score)
        return found.model_copy(update={"node": node, "score": score})

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
                    connect_timeout=self.connect_timeout,
                    read_timeout=self.read_timeout,
                    max_retries=self.max_retries,
                    on_error=self.on_error,
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
        # The fields hold plain immutable values; a callback manager belongs to its application.
        return self.__copy__()

    def __getstate__(self) -> dict[str, Any]:
        """Pickle neither the client (its connections belong to one process) nor the key (the environment has it)."""
        copied = self.__copy__()
        copied.__dict__["api_key"] = None
        return super(Qwen3SGLangRerank, copied).__getstate__()


def _query(query_bundle: QueryBundle | None) -> str:
    if query_bundle is None or not query_bundle.query_str.strip():
        value = query_bundle and query_bundle.query_str
        raise InvalidInputError("query_bundle", value, "pass query_bundle or query_str with some text")
    return query_bundle.query_str


def _with_notes(node: BaseNode, notes: dict[str, Any]) -> BaseNode:
    # A copy: retrievers hand out nodes that a store in memory still owns. Excluded: what this class
    # adds must not reach the embedding or the language model.
    return node.model_copy(
        update={
            "metadata": {k: v for k, v in node.metadata.items() if k not in {_TRUNCATED, _ERROR}} | notes,
            "excluded_embed_metadata_keys": _with_keys(node.excluded_embed_metadata_keys, notes),
            "excluded_llm_metadata_keys": _with_keys(node.excluded_llm_metadata_keys, notes),
        }
    )


def _with_keys(keys: list[str], notes: dict[str, Any]) -> list[str]:
    return [*keys, *(key for key in notes if key not in keys)]
