"""What the model reads of each kind of node, and what comes back of it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeWithScore,
    TextNode,
)

from llama_index_qwen3_sglang import Qwen3SGLangRerank
from llama_index_qwen3_sglang.nodes import node_texts, ranked_nodes
from qwen3_sglang import InvalidInputError, RerankResult
from qwen3_sglang.prompts.template import QWEN3

SHOWN = {"title": "Tea", "page": 3, "path": "/tmp/tea.txt"}  # noqa: S108 - a name, not a file
METADATA: dict[str, Any] = {
    "metadata": SHOWN,
    "excluded_embed_metadata_keys": ["path"],
    "excluded_llm_metadata_keys": ["path", "page"],
}
HEADS = {
    MetadataMode.ALL: "title: Tea\npage: 3\npath: /tmp/tea.txt\n\n",
    MetadataMode.EMBED: "title: Tea\npage: 3\n\n",
    MetadataMode.LLM: "title: Tea\n\n",
    MetadataMode.NONE: "",
}
PIXEL = "iVBORw0KGgo="
NODES = {
    "TextNode": (TextNode(text="Tea is a drink.", **METADATA), "Tea is a drink."),
    "Document": (Document(text="Tea is a drink.", **METADATA), "Tea is a drink."),
    "Node": (Node(text_resource=MediaResource(text="Tea is a drink."), **METADATA), "Tea is a drink."),
    "IndexNode": (
        IndexNode(text="All about tea.", index_id="tea", obj=TextNode(text="x"), **METADATA),
        "All about tea.",
    ),
    "ImageNode": (ImageNode(text="A cup of tea.", image=PIXEL, **METADATA), "A cup of tea."),
    "image without text": (ImageNode(image=PIXEL, **METADATA), ""),
    "media without text": (Node(image_resource=MediaResource(data=b"x"), **METADATA), ""),
    "no text": (TextNode(text="", **METADATA), ""),
}


@pytest.mark.parametrize("mode", HEADS)
@pytest.mark.parametrize("name", NODES)
def test_text_of(name: str, mode: MetadataMode) -> None:
    """Its text after the metadata of that mode; an image's pixels and what an IndexNode points to aren't read."""
    node, text = NODES[name]
    [read] = node_texts([NodeWithScore(node=node)], mode)
    assert read == (HEADS[mode] + text).strip()


async def _sync(reranker: Qwen3SGLangRerank, nodes: list[NodeWithScore]) -> list[NodeWithScore]:
    return reranker.postprocess_nodes(nodes, query_str="p=0.4")


async def _async(reranker: Qwen3SGLangRerank, nodes: list[NodeWithScore]) -> list[NodeWithScore]:
    return await reranker.apostprocess_nodes(nodes, query_str="p=0.4")


@pytest.mark.parametrize("call", [_sync, _async], ids=["sync", "async"])
@pytest.mark.parametrize("mode", HEADS)
async def test_all_kinds_are_scored(server: Any, call: Any, mode: MetadataMode) -> None:
    """None is dropped, changed or turned into another kind; the model reads what the mode says."""
    nodes = [NodeWithScore(node=node, score=0.1) for node, _ in NODES.values()]
    before = copy.deepcopy(nodes)
    reranker = Qwen3SGLangRerank(base_url=server.url, metadata_mode=mode, keep_retrieval_score=True)
    ranked = await call(reranker, nodes)
    await reranker.aclose()
    assert [type(scored.node) for scored in ranked] == [type(node) for node, _ in NODES.values()]
    assert [scored.node_id for scored in ranked] == [scored.node_id for scored in nodes]
    assert {scored.score for scored in ranked} == {0.4}  # equal scores keep the retriever's order
    assert nodes == before
    expected = dict.fromkeys(f"<Document>: {(HEADS[mode] + text).strip()}{QWEN3.suffix}" for _, text in NODES.values())
    assert [prompt[prompt.index("<Document>") :] for prompt in server.prompts] == list(expected)


@pytest.mark.parametrize("call", [_sync, _async], ids=["sync", "async"])
async def test_nothing_to_read(server: Any, call: Any) -> None:
    """Neither text nor metadata: an empty document, scored as the model scores it."""
    [scored] = await call(Qwen3SGLangRerank(base_url=server.url), [NodeWithScore(node=TextNode(text=""))])
    assert scored.score == 0.4
    assert server.prompts[0].endswith(f"<Document>: {QWEN3.suffix}")


@pytest.mark.parametrize("name", NODES)
def test_notes_leak_to_no_model(name: str) -> None:
    """On every kind of node: neither embedder nor language model reads what the reranker wrote down."""
    node: BaseNode = NODES[name][0]
    found = NodeWithScore(node=node, score=0.7)
    result = RerankResult(index=0, score=0.9, logit=2.0, truncated=True)
    [ranked] = ranked_nodes([found], [result], keep_retrieval_score=True)
    assert ranked.node.metadata == SHOWN | {"rerank_truncated": True, "retrieval_score": 0.7}
    for mode in (MetadataMode.EMBED, MetadataMode.LLM, MetadataMode.NONE):
        assert ranked.node.get_content(metadata_mode=mode) == node.get_content(metadata_mode=mode)
    assert node.metadata == SHOWN


@pytest.mark.parametrize("nodes", [None, 5, "text", b"text", {"text": "a"}])
def test_what_is_no_list_of_nodes(nodes: Any) -> None:
    """A typed error, whichever way it is called; a text in their place was meant for the query."""
    reranker, text = Qwen3SGLangRerank(), nodes == "text"
    with pytest.raises(InvalidInputError, match="the query comes first" if text else "pass a list"):
        reranker.rerank("q", nodes)
    with pytest.raises(InvalidInputError, match="the nodes come first here" if text else "pass a list"):
        reranker.postprocess_nodes(nodes, query_str="q")
