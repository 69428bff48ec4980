"""Both adapters behind one face, so that each case is written once."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

from langchain_core.documents import Document
from langchain_core.load import dumps
from llama_index.core.schema import ImageNode, NodeWithScore, TextNode

import langchain_qwen3_sglang
import llama_index_qwen3_sglang

Ask = Callable[..., Awaitable[list[Any]]]


class Seen(NamedTuple):
    """What a user sees of a ranked document or node."""

    id: str | None
    text: str
    metadata: dict[str, Any]
    score: float | None


class Adapter(Protocol):
    """What the cases need of a framework."""

    package: str
    modules: tuple[str, ...]  # the framework's, which an extra installs
    extra: str
    make: Any

    def item(self, text: str, id_: str | None = None, metadata: dict[str, Any] | None = None) -> Any:
        """A document or node."""

    def special(self, text: str, id_: str) -> Any:
        """One of a subclass, with a field of its own."""

    def see(self, item: Any) -> Seen:
        """What came back, read alike."""

    def call(self, reranker: Any, items: Sequence[Any], query: str) -> Any:
        """The framework's own entry point."""

    async def acall(self, reranker: Any, items: Sequence[Any], query: str) -> Any:
        """The same, async."""

    def call_with(self, reranker: Any, items: Sequence[Any], query: str, **overrides: Any) -> Any:
        """`rerank`, with limits for one call."""

    async def acall_with(self, reranker: Any, items: Sequence[Any], query: str, **overrides: Any) -> Any:
        """The same, async."""

    def shown(self, reranker: Any) -> list[str]:
        """Every text that a reranker can end up in."""


class Passage(Document):
    """A subclass with a field of its own."""

    page: int = 7


class _Overrides:
    def call_with(self, reranker: Any, items: Sequence[Any], query: str, **overrides: Any) -> Any:
        return reranker.rerank(query, items, **overrides)

    async def acall_with(self, reranker: Any, items: Sequence[Any], query: str, **overrides: Any) -> Any:
        return await reranker.arerank(query, items, **overrides)


class LangChain(_Overrides):
    """A document compressor over documents."""

    package, modules, extra = "langchain_qwen3_sglang", ("langchain_core",), "langchain"
    make = langchain_qwen3_sglang.Qwen3SGLangRerank

    def item(self, text: str, id_: str | None = None, metadata: dict[str, Any] | None = None) -> Any:
        return Document(text, id=id_, metadata=metadata or {})

    def special(self, text: str, id_: str) -> Any:
        return Passage(text, id=id_)

    def see(self, item: Any) -> Seen:
        score = item.metadata.get("relevance_score")
        metadata = {key: value for key, value in item.metadata.items() if key != "relevance_score"}
        return Seen(item.id, item.page_content, metadata, score)

    def call(self, reranker: Any, items: Sequence[Any], query: str) -> Any:
        return reranker.compress_documents(items, query)

    async def acall(self, reranker: Any, items: Sequence[Any], query: str) -> Any:
        return await reranker.acompress_documents(items, query)

    def shown(self, reranker: Any) -> list[str]:
        return [repr(reranker), str(reranker), reranker.model_dump_json(), dumps(reranker), repr(reranker.model_dump())]


class LlamaIndex(_Overrides):
    """A node postprocessor over nodes."""

    package, modules, extra = "llama_index_qwen3_sglang", ("llama_index", "llama_index.core"), "llama-index"
    make = llama_index_qwen3_sglang.Qwen3SGLangRerank

    def item(self, text: str, id_: str | None = None, metadata: dict[str, Any] | None = None) -> Any:
        named = {} if id_ is None else {"id_": id_}
        return NodeWithScore(node=TextNode(text=text, metadata=metadata or {}, **named), score=0.3)

    def special(self, text: str, id_: str) -> Any:
        return NodeWithScore(node=ImageNode(text=text, id_=id_), score=0.2)

    def see(self, item: Any) -> Seen:
        return Seen(item.node.node_id, item.node.get_content(), item.node.metadata, item.score)

    def call(self, reranker: Any, items: Sequence[Any], query: str) -> Any:
        return reranker.postprocess_nodes(items, query_str=query)

    async def acall(self, reranker: Any, items: Sequence[Any], query: str) -> Any:
        return await reranker.apostprocess_nodes(items, query_str=query)

    def shown(self, reranker: Any) -> list[str]:
        return [
            repr(reranker),
            str(reranker),
            reranker.model_dump_json(),
            reranker.to_json(),
            json.dumps(reranker.to_dict()),
        ]


ADAPTERS: list[Adapter] = [LangChain(), LlamaIndex()]
