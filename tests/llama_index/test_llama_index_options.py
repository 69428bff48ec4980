"""The reranker's own fields: strict, with defaults that change nothing; and what its helpers do by themselves.

Tests of `rerank.py`, `nodes.py`, `query.py`, `progress.py`.
"""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode
from pydantic import ValidationError

from llama_index_qwen3_sglang import Qwen3SGLangRerank, RerankQueryBundle
from llama_index_qwen3_sglang.nodes import as_nodes, ranked_nodes
from llama_index_qwen3_sglang.progress import progress_bar
from llama_index_qwen3_sglang.query import UNSET, Asked, given, query_instruction, query_text
from qwen3_sglang import RerankResult
from qwen3_sglang.connection import Connection
from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.ranking import Chunk

OWN = set(Qwen3SGLangRerank.model_fields) - set(Connection.model_fields) - {"callback_manager"}


def test_the_defaults() -> None:
    """All nodes are kept, what an embedder sees is read, nothing is kept of the retriever's score, no bar."""
    rerank = Qwen3SGLangRerank()
    assert {name: getattr(rerank, name) for name in OWN} == {
        "top_n": None,
        "min_score": None,
        "metadata_mode": MetadataMode.EMBED,
        "keep_retrieval_score": False,
        "show_progress": False,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("top_n", "3"),
        ("top_n", 3.0),
        ("min_score", "0.5"),
        ("keep_retrieval_score", 1),
        ("keep_retrieval_score", "true"),
        ("metadata_mode", "some"),
    ],
)
def test_nothing_is_converted(name: str, value: Any) -> None:
    """A number in a string is a mistake that is better told."""
    with pytest.raises(ValidationError, match=name):
        Qwen3SGLangRerank(**{name: value})


@pytest.mark.parametrize(("name", "value"), [("top_n", 0), ("min_score", 2), ("instruction", " ")])
def test_what_cannot_be_met_is_refused_at_once(name: str, value: Any) -> None:
    """By the core, with its own error."""
    with pytest.raises(InvalidInputError, match=name):
        Qwen3SGLangRerank(**{name: value})


def test_secrets_are_in_no_dump() -> None:
    """A stored pipeline holds neither key nor headers."""
    dumped = Qwen3SGLangRerank(api_key="sk-made-up", headers={"x-a": "made-up"}).model_dump()
    assert not {"api_key", "headers"} & set(dumped)


def test_what_is_asked() -> None:
    """A call's own wish, else the query's, else the field's; None is a wish too."""
    rerank = Qwen3SGLangRerank(top_n=5, min_score=0.25, instruction="field")
    assert rerank._asked("q") == Asked("q", 5, 0.25, "field")
    assert rerank._asked(RerankQueryBundle("q", instruction="query")) == Asked("q", 5, 0.25, "query")
    assert rerank._asked(RerankQueryBundle("q")) == Asked("q", 5, 0.25, "field")
    assert rerank._asked(QueryBundle("q"), 2, 0.5, "call") == Asked("q", 2, 0.5, "call")
    assert rerank._asked("q", None, None, None) == Asked("q", None, None, None)
    assert rerank._asked("q", instruction=UNSET, min_score=0.75) == Asked("q", 5, 0.75, "field")


def test_not_given_is_no_value() -> None:
    """And reads so in a signature."""
    assert (given(UNSET, 3), given(None, 3), given(0, 3)) == (3, None, 0)
    assert repr(UNSET) == "not given"


def test_the_text_and_the_instruction_of_a_query() -> None:
    """A bundle's, or the string itself."""
    assert query_text("q") == query_text(QueryBundle("q")) == query_text(RerankQueryBundle("q", instruction="i")) == "q"
    with pytest.raises(InvalidInputError, match="query_bundle=None: pass query_bundle or query_str"):
        query_text(None)
    assert query_instruction(RerankQueryBundle("q", instruction="i")) == "i"
    assert query_instruction(RerankQueryBundle("q")) is query_instruction(QueryBundle("q")) is None


def test_a_bar_is_drawn_only_where_it_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    """Elsewhere nobody counts."""
    with progress_bar(show=False) as tell:
        assert tell is None
    assert capsys.readouterr().err == ""
    with progress_bar(show=True) as tell:
        assert tell is not None
        tell(2, 5)
        tell(5, 5)
    said = capsys.readouterr().err
    assert "5/5" in said
    assert "node" in said


def test_nodes_of_anything_with_a_text() -> None:
    """Its id is kept where it has one; scored nodes are left as they are."""
    scored = NodeWithScore(node=TextNode(text="a"), score=0.5)
    made = as_nodes([scored, TextNode(text="b"), "c", {"content": "d", "id": 3, "page": 4}, {"text": "e"}], "")
    assert made[0] is scored
    assert [one.text for one in made] == ["a", "b", "c", "d", "e"]
    assert [one.score for one in made] == [0.5, None, None, None, None]
    assert (made[3].node_id, made[3].metadata) == ("3", {"page": 4})
    assert made[4].node_id not in {"", "None", made[2].node_id}


def test_what_a_node_is_told() -> None:
    """A failure and no score; a chunk by its place; nothing twice in what the models don't see."""
    node = TextNode(text="one two", metadata={"title": "t", "rerank_error": "old", "retrieval_score": 0.1})
    found = NodeWithScore(node=node, score=0.5)
    failed = RerankResult(0, float("nan"), float("nan"), error="refused")
    [told] = ranked_nodes([found], [failed], keep_retrieval_score=False)
    assert (told.score, told.node.metadata["rerank_error"]) == (None, "refused")
    assert told.node.metadata["retrieval_score"] == 0.1
    chunk = RerankResult(0, 0.75, 1.0, chunk=Chunk(4, 7, 2))
    [again] = ranked_nodes([told], [chunk], keep_retrieval_score=True, mode=MetadataMode.NONE)
    assert again.node.metadata == {
        "title": "t",
        "retrieval_score": 0.1,  # there is none to keep: the node was without a score
        "rerank_chunk_start": 4,
        "rerank_chunk_end": 7,
        "rerank_chunks": 2,
    }
    for keys in (again.node.excluded_embed_metadata_keys, again.node.excluded_llm_metadata_keys):
        assert len(keys) == len(set(keys))
        assert {"rerank_error", "rerank_chunks", "rerank_chunk_start", "rerank_chunk_end"} == set(keys)


def test_a_scored_node_of_a_class_of_its_own() -> None:
    """Stays one, with what else it has."""

    class Found(NodeWithScore):
        page: int = 0

    found = Found(node=TextNode(text="a"), score=0.5, page=7)
    [ranked] = ranked_nodes([found], [RerankResult(0, 0.75, 1.0)], keep_retrieval_score=False)
    assert isinstance(ranked, Found)
    assert (ranked.score, ranked.page, found.score) == (0.75, 7, 0.5)
