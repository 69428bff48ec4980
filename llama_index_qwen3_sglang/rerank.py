"""A LlamaIndex node postprocessor that reranks with Qwen3-Reranker on SGLang."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from llama_index.core.bridge.pydantic import Field, SecretStr
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle

from llama_index_qwen3_sglang.nodes import as_nodes, node_texts, ranked_nodes
from llama_index_qwen3_sglang.progress import progress_bar
from llama_index_qwen3_sglang.query import UNSET, Asked, Unset, given, query_instruction, query_text
from qwen3_sglang import RerankResult
from qwen3_sglang.connection import Connection, Named, option
from qwen3_sglang.options.keywords import known_keywords, with_known_keywords

Method = TypeVar("Method", bound=Callable[..., Any])

dispatcher = get_dispatcher(__name__)

# An event demands a name before the first answer has told it; asking the server for it is not worth a request.
_UNNAMED_MODEL = "Qwen3-Reranker"


_QUERY_FIRST = "the query comes first: rerank(query, nodes)"
_NODES_FIRST = "the nodes come first here: postprocess_nodes(nodes, query_str=query)"


_AT_FIRST = dict.fromkeys(Connection.model_fields, "Qwen3SGLangRerank(...)")
_ELSEWHERE = _AT_FIRST | dict.fromkeys(("top_n", "min_score", "instruction"), "rerank(query, nodes, ...)")


def _span(method: Method) -> Method:
    """`dispatcher.span`, whose own annotation would hide a method's arguments from type checkers."""
    spanned: Method = dispatcher.span(method)  # type: ignore[assignment]
    return spanned


class Qwen3SGLangRerank(Connection, BaseNodePostprocessor):
    """Order nodes by P(relevant), as Qwen3-Reranker on an SGLang server judges it.

    ``base_url`` and ``api_key`` fall back to ``QWEN3_SGLANG_BASE_URL`` and
    ``QWEN3_SGLANG_API_KEY``. Constructing one does no I/O; an unusable setting raises
    ``InvalidInputError`` there and then.

    Example:
        >>> reranker = Qwen3SGLangRerank(base_url="http://127.0.0.1:30000", top_n=3)
        >>> index.as_query_engine(similarity_top_k=50, node_postprocessors=[reranker])
    """

    # to_json can't write a SecretStr, and a stored pipeline should hold no key.
    api_key: SecretStr | None = option("api_key", exclude=True)
    headers: Named = option("headers", exclude=True)

    top_n: int | None = Field(default=None, strict=True, description="Nodes to keep; None keeps all.")
    min_score: float | None = Field(default=None, strict=True, description="Least score to keep; None keeps all.")
    metadata_mode: MetadataMode = Field(
        default=MetadataMode.EMBED, description="Which metadata the model reads in front of a node's text."
    )
    keep_retrieval_score: bool = Field(
        default=False, strict=True, description='Keep the score before reranking in metadata["retrieval_score"].'
    )
    show_progress: bool = Field(default=False, description="Draw a progress bar.")

    @classmethod
    def class_name(cls) -> str:
        """Name under which LlamaIndex serializes this component."""
        return "Qwen3SGLangRerank"

    @known_keywords(_AT_FIRST)
    @_span
    def rerank(
        self,
        query: str | QueryBundle,
        nodes: Iterable[NodeWithScore | BaseNode | str | Mapping[str, Any]],
        *,
        top_n: int | Unset | None = UNSET,
        min_score: float | Unset | None = UNSET,
        instruction: str | Unset | None = UNSET,
    ) -> list[NodeWithScore]:
        """`postprocess_nodes`, with other limits or another instruction for this call.

        Args:
            query: what nodes are judged against; a RerankQueryBundle may bring its own instruction.
            nodes: what the retriever found; never changed. Nodes without a score, strings, and mappings with a text
                under "page_content", "text" or "content", become NodeWithScore.
            top_n: nodes to keep; None keeps all. Not given: the field's value, as for the next two.
            min_score: least P(yes) to keep, in [0, 1]; None keeps all.
            instruction: the task; None is Qwen's own. It wins over the query's.

        Returns:
            Fresh nodes, best first, each with P(yes) as its score.

        Raises:
            InvalidInputError: a blank query, something without a text, unusable limits, or an unknown name.
            ServerError: one of its subclasses; see `qwen3_sglang.errors`.
        """
        return self._rerank(as_nodes(nodes, _QUERY_FIRST), self._asked(query, top_n, min_score, instruction))

    @known_keywords(_AT_FIRST)
    @_span
    async def arerank(
        self,
        query: str | QueryBundle,
        nodes: Iterable[NodeWithScore | BaseNode | str | Mapping[str, Any]],
        *,
        top_n: int | Unset | None = UNSET,
        min_score: float | Unset | None = UNSET,
        instruction: str | Unset | None = UNSET,
    ) -> list[NodeWithScore]:
        """Do the same as `rerank` on the running event loop, with no thread. Raises: as `rerank`."""
        return await self._arerank(as_nodes(nodes, _QUERY_FIRST), self._asked(query, top_n, min_score, instruction))

    @_span
    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        """Return fresh scored nodes, best first; what was passed in is never changed.

        Where only a node's start fitted into `max_length`, metadata["rerank_truncated"] is True. With
        `long_documents="chunks"`, a node that was scored in chunks has metadata["rerank_chunk_start"] and
        ["rerank_chunk_end"], the best chunk's place in its text without metadata, and ["rerank_chunks"], how many
        were scored. The embedding and the language model don't see these; the text itself is never cut. With
        `on_error="passthrough"`, what has no score comes last, or in the order given if nothing has one: score None
        and metadata["rerank_error"].
        """
        return self._rerank(as_nodes(nodes, _NODES_FIRST), self._asked(query_bundle))

    # The framework's own, which a mistaken keyword reaches before any method of ours.
    postprocess_nodes = with_known_keywords(BaseNodePostprocessor.postprocess_nodes, _ELSEWHERE)
    apostprocess_nodes = with_known_keywords(BaseNodePostprocessor.apostprocess_nodes, _ELSEWHERE)

    # The base class adds a span to the sync method only.
    @_span
    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        """Do the same as `_postprocess_nodes` on the running event loop, with no thread."""
        return await self._arerank(as_nodes(nodes, _NODES_FIRST), self._asked(query_bundle))

    def _check(self) -> None:
        # With no nodes the core checks the arguments and asks the server nothing.
        asked = self._asked("check")
        self._connect().rerank(asked.query, [], asked.top_n, asked.min_score, instruction=asked.instruction)

    def _asked(
        self,
        query: str | QueryBundle | None,
        top_n: int | Unset | None = UNSET,
        min_score: float | Unset | None = UNSET,
        instruction: str | Unset | None = UNSET,
    ) -> Asked:
        """The call's own wish, else the query's, else the field's."""
        brought = query_instruction(query)
        own = self.instruction if brought is None else brought
        return Asked(
            query_text(query), given(top_n, self.top_n), given(min_score, self.min_score), given(instruction, own)
        )

    def _rerank(self, nodes: list[NodeWithScore], asked: Asked) -> list[NodeWithScore]:
        texts = node_texts(nodes, self.metadata_mode)
        with self._observed(nodes, asked) as ranked, progress_bar(self.show_progress) as tell:
            results = self._connect().rerank(
                asked.query,
                texts,
                asked.top_n,
                asked.min_score,
                instruction=asked.instruction,
                on_progress=tell,
            )
            ranked.extend(self._ranked(nodes, results))
        return ranked

    async def _arerank(self, nodes: list[NodeWithScore], asked: Asked) -> list[NodeWithScore]:
        texts = node_texts(nodes, self.metadata_mode)
        with self._observed(nodes, asked) as ranked, progress_bar(self.show_progress) as tell:
            results = await self._connect().arerank(
                asked.query,
                texts,
                asked.top_n,
                asked.min_score,
                instruction=asked.instruction,
                on_progress=tell,
            )
            ranked.extend(self._ranked(nodes, results))
        return ranked

    def _ranked(self, nodes: list[NodeWithScore], results: list[RerankResult]) -> list[NodeWithScore]:
        return ranked_nodes(nodes, results, keep_retrieval_score=self.keep_retrieval_score, mode=self.metadata_mode)

    @contextmanager
    def _observed(self, nodes: list[NodeWithScore], asked: Asked) -> Iterator[list[NodeWithScore]]:
        """Tell callback and instrumentation handlers; the caller fills the list that is yielded."""
        ranked: list[NodeWithScore] = []
        # top_n can be assigned without a check: the core is to complain about it, not the event.
        top_n = asked.top_n if isinstance(asked.top_n, int) else len(nodes)
        model = self._connect().known_model or _UNNAMED_MODEL
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: model,
            EventPayload.QUERY_STR: asked.query,
            EventPayload.TOP_K: top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            dispatcher.event(ReRankStartEvent(query=asked.query, nodes=nodes, top_n=top_n, model_name=model))
            try:
                yield ranked
            except BaseException as error:
                dispatcher.event(ExceptionEvent(exception=error))
                raise
            finally:
                # After a failure too, so that whoever pairs starts with ends isn't left waiting.
                dispatcher.event(ReRankEndEvent(nodes=ranked))
            known = self._connect().known_model or model
            event.on_end(payload={EventPayload.NODES: ranked, EventPayload.MODEL_NAME: known})
