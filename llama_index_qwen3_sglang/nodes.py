"""LlamaIndex's nodes -> texts for the model; its results -> fresh nodes with scores. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle, TextNode

from qwen3_sglang import RerankResult
from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.prompts.records import TEXT_FIELDS, Record, read_record
from qwen3_sglang.ranking import chunk_within

RETRIEVAL_SCORE, TRUNCATED, ERROR = "retrieval_score", "rerank_truncated", "rerank_error"
# The best chunk's place in the node's text, and how many chunks were scored.
CHUNK = ("rerank_chunk_start", "rerank_chunk_end", "rerank_chunks")
_OURS = frozenset({TRUNCATED, ERROR, *CHUNK})


def as_nodes(nodes: object, order: str) -> list[NodeWithScore]:
    """The nodes, whatever holds them; nodes without a score, strings and mappings with a text become such.

    `order` says how the caller is to pass query and nodes, for the error where they are swapped.

    Raises:
        InvalidInputError: nothing holds them, or an item has no text.
    """
    if isinstance(nodes, (str, QueryBundle)):
        raise InvalidInputError("nodes", nodes, order)
    if isinstance(nodes, (bytes, Mapping)) or not isinstance(nodes, Iterable):
        raise InvalidInputError("nodes", nodes, "pass a list of NodeWithScore")
    return [one if isinstance(one, NodeWithScore) else _node(place, one) for place, one in enumerate(nodes)]


def _node(place: int, value: object) -> NodeWithScore:
    if isinstance(value, BaseNode):
        return NodeWithScore(node=value)
    record = Record(value, None, {}) if isinstance(value, str) else read_record(value)
    if record is None:
        remedy = f"pass a NodeWithScore, a node, a string, or a mapping with its text under {' or '.join(TEXT_FIELDS)}"
        raise InvalidInputError(f"nodes[{place}]", value, remedy)
    own = {} if record.id is None else {"id_": record.id}
    return NodeWithScore(node=TextNode(text=record.text, metadata=record.metadata, **own))


def node_texts(nodes: Sequence[NodeWithScore], mode: MetadataMode) -> list[str]:
    """What the model reads of each node: its text, and the metadata that `mode` lets through in front of it.

    A node without text is read by its metadata alone, and one without either as an empty document.
    """
    return [_text(scored.node, mode) for scored in nodes]


def _text(node: BaseNode, mode: MetadataMode) -> str:
    # A Node without a text resource keeps quiet about its metadata too; a TextNode without text doesn't.
    return node.get_content(metadata_mode=mode) or node.get_metadata_str(mode=mode)


def ranked_nodes(
    nodes: Sequence[NodeWithScore],
    results: Sequence[RerankResult],
    *,
    keep_retrieval_score: bool,
    mode: MetadataMode = MetadataMode.EMBED,
) -> list[NodeWithScore]:
    """Fresh nodes in the results' order, read in that mode; `nodes` stay as they were."""
    return [_scored(nodes[result.index], result, mode, keep_retrieval_score) for result in results]


def _scored(
    found: NodeWithScore, result: RerankResult, mode: MetadataMode, keep_retrieval_score: bool
) -> NodeWithScore:
    notes: dict[str, Any] = {TRUNCATED: True} if result.truncated else {}
    if result.chunk is not None:
        own = found.node.get_content(metadata_mode=MetadataMode.NONE)
        notes.update(zip(CHUNK, chunk_within(result.chunk, _text(found.node, mode), own), strict=True))
    if keep_retrieval_score and found.score is not None:
        notes[RETRIEVAL_SCORE] = found.score
    if result.error is not None:
        notes[ERROR] = result.error
    stale = not _OURS.isdisjoint(found.node.metadata)  # from an earlier reranking
    node = _with_notes(found.node, notes) if notes or stale else found.node
    score = result.score if result.error is None else None
    if type(found) is NodeWithScore:  # in half the time of a copy
        return NodeWithScore(node=node, score=score)
    return found.model_copy(update={"node": node, "score": score})


def _with_notes(node: BaseNode, notes: dict[str, Any]) -> BaseNode:
    # A copy: retrievers hand out nodes that a store in memory still owns. Excluded: what this package
    # adds must not reach the embedding or the language model.
    return node.model_copy(
        update={
            "metadata": {k: v for k, v in node.metadata.items() if k not in _OURS} | notes,
            "excluded_embed_metadata_keys": _with_keys(node.excluded_embed_metadata_keys, notes),
            "excluded_llm_metadata_keys": _with_keys(node.excluded_llm_metadata_keys, notes),
        }
    )


def _with_keys(keys: list[str], notes: dict[str, Any]) -> list[str]:
    return [*keys, *(key for key in notes if key not in keys)]
