"""The least that an adapter of each framework does by the framework's public means, around a hand-written way.

It reads the texts as the framework gives them, tells the framework's handlers what they are told of a retriever or a
reranker, and returns fresh objects, best first. It has no options, checks nothing, and keeps no notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables.config import get_async_callback_manager_for_config, get_callback_manager_for_config
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from pydantic import PrivateAttr

from ways import AsyncWay, Way

_dispatcher = get_dispatcher(__name__)


def compress(way: Way, query: str, documents: Sequence[Document]) -> list[Document]:
    """LangChain's, with a retriever's run."""
    run = get_callback_manager_for_config({}).on_retriever_start(None, query, name="floor")
    found = _documents(documents, way(query, [one.page_content for one in documents]))
    run.on_retriever_end(found)
    return found


async def acompress(way: AsyncWay, query: str, documents: Sequence[Document]) -> list[Document]:
    """The same, async."""
    run = await get_async_callback_manager_for_config({}).on_retriever_start(None, query, name="floor")
    found = _documents(documents, await way(query, [one.page_content for one in documents]))
    await run.on_retriever_end(found)
    return found


def _documents(documents: Sequence[Document], scores: list[float]) -> list[Document]:
    pairs = sorted(zip(scores, documents, strict=True), key=lambda pair: pair[0], reverse=True)
    return [
        Document(page_content=one.page_content, id=one.id, metadata={**one.metadata, "relevance_score": score})
        for score, one in pairs
    ]


class Postprocessor(BaseNodePostprocessor):
    """LlamaIndex's, with a reranker's events."""

    _way: Way = PrivateAttr()
    _async_way: AsyncWay = PrivateAttr()

    def __init__(self, way: Way, async_way: AsyncWay) -> None:
        super().__init__()
        self._way, self._async_way = way, async_way

    @classmethod
    def class_name(cls) -> str:
        """Name of this component."""
        return "Postprocessor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query, texts = _read(nodes, query_bundle)
        with self.callback_manager.event(CBEventType.RERANKING, payload=_started(query, nodes)) as event:
            return _ended(event, nodes, self._way(query, texts))

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query, texts = _read(nodes, query_bundle)
        with self.callback_manager.event(CBEventType.RERANKING, payload=_started(query, nodes)) as event:
            return _ended(event, nodes, await self._async_way(query, texts))


def _read(nodes: list[NodeWithScore], bundle: QueryBundle | None) -> tuple[str, list[str]]:
    query = "" if bundle is None else bundle.query_str
    return query, [one.node.get_content(metadata_mode=MetadataMode.EMBED) for one in nodes]


def _started(query: str, nodes: list[NodeWithScore]) -> dict[str, Any]:
    _dispatcher.event(ReRankStartEvent(query=query, nodes=nodes, top_n=len(nodes), model_name="floor"))
    return {EventPayload.NODES: nodes, EventPayload.QUERY_STR: query}


def _ended(event: Any, nodes: list[NodeWithScore], scores: list[float]) -> list[NodeWithScore]:
    pairs = sorted(zip(scores, nodes, strict=True), key=lambda pair: pair[0], reverse=True)
    ranked = [NodeWithScore(node=one.node, score=score) for score, one in pairs]
    _dispatcher.event(ReRankEndEvent(nodes=ranked))
    event.on_end(payload={EventPayload.NODES: ranked})
    return ranked
