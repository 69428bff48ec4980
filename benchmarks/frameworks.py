"""Texts as the objects of LangChain and LlamaIndex, and back; both are imported only when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

PLACE = "place"
METADATA = {"source": "https://example.org/handbook", "page": 7}


def as_documents(texts: Sequence[str]) -> list[Any]:
    """What a LangChain retriever finds."""
    from langchain_core.documents import Document  # noqa: PLC0415 - may not be installed

    return [Document(page_content=text, metadata={**METADATA, PLACE: place}) for place, text in enumerate(texts)]


def as_nodes(texts: Sequence[str]) -> list[Any]:
    """What a LlamaIndex retriever finds; the metadata is kept from the model, so that all ways send the same bytes."""
    from llama_index.core.schema import NodeWithScore, TextNode  # noqa: PLC0415 - may not be installed

    hidden = [*METADATA, PLACE]
    nodes = [
        TextNode(text=text, metadata={**METADATA, PLACE: place}, excluded_embed_metadata_keys=hidden)
        for place, text in enumerate(texts)
    ]
    return [NodeWithScore(node=node, score=0.5) for node in nodes]


def document_scores(ranked: Sequence[Any]) -> list[float]:
    """P(yes) in the order the texts were given."""
    return _in_place((found.metadata[PLACE], found.metadata["relevance_score"]) for found in ranked)


def node_scores(ranked: Sequence[Any]) -> list[float]:
    """P(yes) in the order the texts were given."""
    return _in_place((found.node.metadata[PLACE], found.score) for found in ranked)


def _in_place(pairs: Any) -> list[float]:
    return [score for _, score in sorted(pairs)]
