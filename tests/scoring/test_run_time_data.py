"""What a retriever or a condensing step hands over costs at most its own score.

Tests of `scoring/asked.py`.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from adapters.frameworks import ADAPTERS, Adapter
from fake_server import FakeServer
from modes import call
from qwen3_sglang import InvalidInputError, RerankClient
from qwen3_sglang.errors import QueryError

DOCUMENTS = ["p=0.1", "p=0.9", "p=0.5"]
LONG = "why " * 3000
PAIRS = [("q", "p=0.1"), ("r", "p=0.2")]


def test_lone_surrogates_are_scored(server: FakeServer, mode: str) -> None:
    """With U+FFFD in their place, in query, instruction and document alike; the others keep their scores."""
    documents = ["p=0.1", "\ud800 p=0.9 \udfff", "p=0.5"]
    for client in (RerankClient(server.url), RerankClient(server.url, on_error="passthrough", cache_size=9)):
        found = call(mode, client, "rerank", "q\udc00", documents, instruction="Find\ud8ff")
        assert [(result.index, result.score, result.error) for result in found] == [
            (1, 0.9, None),
            (2, 0.5, None),
            (0, 0.1, None),
        ]
    assert all("<Instruct>: Find\ufffd\n<Query>: q\ufffd\n" in prompt for prompt in server.prompts)
    assert "<Document>: \ufffd p=0.9 \ufffd<|im_end|>" in server.prompts[1]
    assert call(mode, RerankClient(server.url, instruction="a\ud800"), "score_pairs", [("\ud800", "p=0.3")]) == [0.3]


@pytest.mark.parametrize("query", ["", " \n", LONG])
def test_a_query_that_cannot_be_asked_passes_through(
    server: FakeServer, mode: str, query: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The documents in the order given, marked, cut to top_n; with one warning."""
    client = RerankClient(server.url, on_error="passthrough", max_length=2000)
    found = call(mode, client, "rerank", query, DOCUMENTS, 2, 0.95)
    assert [result.index for result in found] == [0, 1]
    assert all(math.isnan(result.score) and "query=" in (result.error or "") for result in found)
    assert server.prompts == []
    assert [record.levelname for record in caplog.records].count("WARNING") >= 1


@pytest.mark.parametrize("query", ["", LONG])
def test_of_several_queries_only_that_one(server: FakeServer, mode: str, query: str) -> None:
    """The others are ranked."""
    client = RerankClient(server.url, on_error="passthrough", max_length=2000)
    queries = [("one", ["p=0.1", "p=0.9"]), (query, DOCUMENTS), ("two", ["p=0.3", "p=0.2", "p=0.7"])]
    found = call(mode, client, "rerank_many", queries, 2)
    assert [[result.index for result in own] for own in found] == [[1, 0], [0, 1], [2, 0]]
    assert [[result.error is None for result in own] for own in found] == [[True] * 2, [False] * 2, [True] * 2]
    assert "queries[1]: query" in found[1][0].error or query  # which one, where it isn't plain from its place


@pytest.mark.parametrize("query", ["", LONG])
def test_raised_where_nobody_passes_through(server: FakeServer, mode: str, query: str) -> None:
    """A typed error by default, and from what has no place for a mark."""
    client = RerankClient(server.url, max_length=2000)
    with pytest.raises(QueryError, match=r"^query"):
        call(mode, client, "rerank", query, DOCUMENTS)
    for name, args in (("rerank_many", [("q", []), ("q", ["p=0.1"]), (query, DOCUMENTS)]), ("score_pairs", PAIRS)):
        several = [*args, (query, "d")] if name == "score_pairs" else args
        with pytest.raises(QueryError, match=r"^(queries|pairs)\[2\]: query"):  # which one
            call(mode, client, name, several)
    client = RerankClient(server.url, max_length=2000, on_error="passthrough")
    for name, args in (("score", (query, DOCUMENTS)), ("score_pairs", ([(query, "d")],)), ("prompts", (query, ["d"]))):
        with pytest.raises(QueryError):
            call(mode, client, name, *args)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("rerank", (5, DOCUMENTS)),
        ("rerank", ("", [7])),
        ("rerank", ("", "documents")),
        ("rerank", ("", DOCUMENTS, 0)),
        ("rerank_many", ([(None, DOCUMENTS)],)),
        ("rerank_many", ([("", None)],)),
    ],
)
def test_mistakes_in_a_program_still_raise(server: FakeServer, mode: str, name: str, args: tuple[Any, ...]) -> None:
    """At once, and before anything is asked."""
    with pytest.raises(InvalidInputError) as caught:
        call(mode, RerankClient(server.url, on_error="passthrough"), name, *args)
    assert not isinstance(caught.value, QueryError)
    assert server.asked == []


@pytest.mark.parametrize("query", ["", LONG])
@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.extra)
def test_both_adapters_pass_the_query_through(server: FakeServer, mode: str, adapter: Adapter, query: str) -> None:
    """What they were given comes back in its order, marked; by default the error is raised."""
    items = [adapter.item(text) for text in DOCUMENTS]

    def ask(**options: Any) -> list[Any]:
        reranker = adapter.make(base_url=server.url, max_length=2000, **options)
        if mode == "sync":
            return list(adapter.call(reranker, items, query))
        return list(asyncio.run(adapter.acall(reranker, items, query)))

    seen = [adapter.see(item) for item in ask(on_error="passthrough")]
    assert [one.text for one in seen] == DOCUMENTS
    assert all("query" in one.metadata["rerank_error"] for one in seen)
    with pytest.raises(QueryError):
        ask()
    assert server.prompts == []
