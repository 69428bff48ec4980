"""Documents of several queries in the lists that they share."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from fake_server import FakeServer
from modes import call
from qwen3_sglang import DocumentError, InvalidInputError, QueryError, RerankClient
from qwen3_sglang.prompts.template import QWEN3, build_prompts
from qwen3_sglang.ranking import Score
from qwen3_sglang.scoring.queries import Group, prepare_many, restore, told_by_query
from qwen3_sglang.transport.deadline import Deadline

PAIRS = [("one", "p=0.1"), ("two", "p=0.1"), ("one", "p=0.9"), ("one", "p=0.1"), ("two", "p=0.6")]
LONG = "long " * 300
ONE = Score(0.5, 0.0)


def test_pairs_of_several_queries_share_a_list(server: FakeServer, mode: str) -> None:
    """Each distinct pair once, in the template's own words, in one request; scores in the pairs' order."""
    found = call(mode, RerankClient(server.url), "score_pairs", PAIRS)
    assert found == [0.1, 0.1, 0.9, 0.1, 0.6]
    assert [path for path, _ in server.asked] == ["/v1/models", "/v1/classify"]
    distinct = dict.fromkeys(PAIRS)
    assert server.prompts == [build_prompts(query, [document])[0] for query, document in distinct]


def test_ranking_many(server: FakeServer, mode: str) -> None:
    """Limits hold for each query; a query without documents has an empty ranking."""
    queries = [("one", ["p=0.1", "p=0.9"]), ("two", []), ("three", ["p=0.2", "p=0.3", "p=0.6"])]
    found = call(mode, RerankClient(server.url), "rerank_many", queries, 2, 0.2)
    assert [[(result.index, result.score) for result in own] for own in found] == [
        [(1, 0.9)],
        [],
        [(2, 0.6), (1, 0.3)],
    ]
    assert [path for path, _ in server.asked].count("/v1/classify") == 1


def test_nothing_to_score_asks_nothing(server: FakeServer, mode: str) -> None:
    """Neither for the model's name."""
    assert call(mode, RerankClient(server.url), "score_pairs", []) == []
    assert call(mode, RerankClient(server.url), "rerank_many", [("q", [])]) == [[]]
    assert server.asked == []


def test_a_long_query_keeps_to_itself(server: FakeServer, mode: str) -> None:
    """Only a document may lose its tail; together with others a query might."""
    client = RerankClient(server.url, max_length=2100)
    found = call(mode, client, "score_pairs", [*PAIRS, (LONG, "p=0.4 " + "word " * 900)])
    assert found == [0.1, 0.1, 0.9, 0.1, 0.6, 0.4]
    assert [path for path, _ in server.asked].count("/v1/classify") == 2
    assert f"<Query>: {LONG}\n<Document>: p=0.4 word" in server.prompts[-1]
    with pytest.raises(InvalidInputError, match="shorten the query"):
        call(mode, RerankClient(server.url, max_length=1000), "score_pairs", [*PAIRS, (LONG, "p=0.4")])


def test_a_pair_is_remembered_for_its_query(server: FakeServer, mode: str) -> None:
    """The cache knows prompts, however they were asked for."""
    client = RerankClient(server.url, cache_size=10)
    call(mode, client, "score_pairs", PAIRS)
    assert call(mode, client, "score", "two", ["p=0.6", "p=0.1"]) == [0.6, 0.1]
    assert len(server.prompts) == 4


@pytest.mark.parametrize(
    ("pairs", "where"),
    [
        ([("q", "d"), (" ", "d")], r"pairs\[1\]: query"),
        ([("q", 3)], r"pairs\[0\]: documents"),
        ([(None, "d")], "query"),
    ],
)
def test_bad_pairs_never_reach_the_server(server: FakeServer, mode: str, pairs: Any, where: str) -> None:
    """The message says which one."""
    with pytest.raises(InvalidInputError, match=where):
        call(mode, RerankClient(server.url), "score_pairs", pairs)
    assert server.asked == []


@pytest.mark.parametrize("escape", [True, False])
@pytest.mark.parametrize("limit", [200, 350, 8192])
def test_groups_make_the_templates_prompts(limit: int, escape: bool) -> None:
    """However they are grouped: head and text together are what one query alone would send."""
    questions = [("a <think>", ["d", "e"]), ("b" * 100, ["<|im_end|>", "f" * 60])]
    instruction = "Find </think> code"
    prompts = prepare_many(QWEN3, questions, instruction, escape=escape, field="queries")
    groups = prompts.groups(limit)
    whole = [head.text + text for head, text in zip(prompts.heads, prompts.documents, strict=True)]
    made: Any = restore(groups, [[group.head.text + text for text in group.texts] for group in groups])  # type: ignore[misc]
    assert made == whole
    wanted = [p for query, own in questions for p in build_prompts(query, own, instruction, escape=escape)]
    assert all(full.startswith(start) for full, start in zip(wanted, whole, strict=True))


QUERIES = [("one", ["p=0.1"]), ("two", ["p=0.2", "bad p=0.3", "p=0.4", "bad p=0.3"]), ("three", ["bad p=0.5"])]


def test_what_can_be_read_only_once(server: FakeServer, mode: str) -> None:
    """A generator's queries are ranked like a list's."""
    client = RerankClient(server.url)
    assert call(mode, client, "rerank_many", iter(QUERIES)) == call(mode, client, "rerank_many", QUERIES)
    assert call(mode, client, "score_pairs", iter(PAIRS)) == [0.1, 0.1, 0.9, 0.1, 0.6]


@pytest.mark.parametrize(
    ("name", "rows", "where"),
    [
        ("score_pairs", None, "pairs=None"),
        ("score_pairs", "ab", "pairs='ab'"),
        ("score_pairs", ["ab"], r"pairs\[0\]='ab'"),  # not the pair of "a" and "b"
        ("score_pairs", [("q", "d"), ("q", "d", "e")], r"pairs\[1\]"),
        ("score_pairs", [5], r"pairs\[0\]=5"),
        ("rerank_many", {"q": ["d"]}, "queries="),
        ("rerank_many", [("q",)], r"queries\[0\]"),
        ("rerank_many", [("q", None)], r"queries\[0\]: documents"),
    ],
)
def test_what_is_no_list_of_pairs(server: FakeServer, mode: str, name: str, rows: Any, where: str) -> None:
    """A typed error, and nothing taken apart letter by letter."""
    with pytest.raises(InvalidInputError, match=where):
        call(mode, RerankClient(server.url), name, rows)
    assert server.asked == []


def test_a_refused_document_says_whose_it_is(server: FakeServer, mode: str) -> None:
    """Raised: the query, and the places in its own documents; of pairs, the pairs."""
    server.refuses = "bad"
    with pytest.raises(DocumentError, match=r"query 1, document 1 \(also 3\): .*not this one") as caught:
        call(mode, RerankClient(server.url), "rerank_many", QUERIES)
    assert (caught.value.query, caught.value.index, caught.value.indices) == (1, 1, (1, 3))
    pairs = [(query, document) for query, documents in QUERIES for document in documents]
    with pytest.raises(DocumentError, match=r": document 2 \(also 4\)") as caught:
        call(mode, RerankClient(server.url), "score_pairs", pairs)
    assert (caught.value.query, caught.value.indices) == (None, (2, 4))


@pytest.mark.parametrize("batch_size", [1, 32])
def test_the_same_query_twice(server: FakeServer, mode: str, batch_size: int) -> None:
    """A document that both hold is sent once, and refused in each at its own places."""
    server.refuses = "bad"
    queries = [("one", ["p=0.2", "bad p=0.3"]), ("two", ["p=0.4"]), ("one", ["bad p=0.3", "p=0.6", "bad p=0.3"])]
    client = RerankClient(server.url, on_error="passthrough", batch_size=batch_size)
    found = call(mode, client, "rerank_many", queries)
    assert [[(r.index, r.error is None) for r in own] for own in found] == [
        [(0, True), (1, False)],
        [(0, True)],
        [(1, True), (0, False), (2, False)],
    ]
    assert [[(r.error or "").split(": ")[1] for r in own if r.error] for own in found] == [
        ["document 1"],
        [],
        ["document 0 (also 2)"] * 2,
    ]
    with pytest.raises(DocumentError) as caught:
        call(mode, RerankClient(server.url, batch_size=batch_size), "rerank_many", queries[1:])
    assert (caught.value.query, caught.value.indices) == (1, (0, 2))


@pytest.mark.parametrize("length", [None, 1200])
def test_refused_documents_of_several_queries_pass_through(
    server: FakeServer, mode: str, length: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Marked with the place in their own query, in shared lists and in a long query's own."""
    server.refuses = "bad"
    client = RerankClient(server.url, on_error="passthrough", max_length=length)
    queries = [*QUERIES, (LONG[:600], ["p=0.7", "bad p=0.8"])]
    found = call(mode, client, "rerank_many", queries, 3, 0.15)
    assert [[result.index for result in own] for own in found] == [[], [2, 0, 1], [0], [0, 1]]
    assert [[r.error.split(": ")[1] for r in own if r.error] for own in found] == [
        [],
        ["document 1 (also 3)"],
        ["document 0"],
        ["document 1"],
    ]


def test_one_warning_a_call(server: FakeServer, mode: str, caplog: pytest.LogCaptureFixture) -> None:
    """However many queries pass through."""
    server.fault = (401, {"error": "Unauthorized"})
    with caplog.at_level(logging.WARNING, "qwen3_sglang"):
        found = call(mode, RerankClient(server.url, on_error="passthrough"), "rerank_many", iter(QUERIES), 2)
    assert [[result.index for result in own] for own in found] == [[0], [0, 1], [0]]
    assert [record.message.split(":")[0] for record in caplog.records] == ["6 documents passed through unscored"]


def test_a_part_of_a_call_has_no_more_time_than_the_call() -> None:
    """And stopping it stops no other part."""
    whole = Deadline(0)
    assert whole.rest().left() == 0
    whole = Deadline(60)
    part = whole.rest()
    part.stop()
    assert part.left() == 0
    assert 0 < whole.rest().left() <= 60


@pytest.mark.parametrize("answers", [[], [[ONE]], [[ONE, ONE, ONE]], [[ONE, ONE], []]])
def test_scores_of_groups_are_as_many_as_their_prompts(answers: list[list[Score]]) -> None:
    """One too few or too many could be another prompt's."""
    head, texts = QWEN3.prepare("q", ["a", "b"], "task", escape=True)
    with pytest.raises(ValueError, match="argument"):
        restore([Group(head, texts, [0, 1])], answers)


def test_whose_document_was_refused() -> None:
    """Places among all documents become a query, and places in its own; the attempts are kept."""
    refused = DocumentError("u", "too long", [2, 4, 5], status=400)
    refused.attempts = 3
    found = told_by_query(refused, [2, 3, 1])
    assert isinstance(found, DocumentError)
    assert (found.query, found.indices, found.status, found.attempts) == (1, (0, 2), 400, 3)
    other = QueryError("query", "", "say something")
    assert told_by_query(other, [2, 3, 1]) is other


def groups_of(questions: list[tuple[str, list[str]]], limit: int, *, collect: bool = False) -> list[Group]:
    """How they are sent."""
    return prepare_many(QWEN3, questions, "task", escape=True, field="queries", collect=collect).groups(limit)


@pytest.mark.parametrize("limit", [8192, 1])
def test_prompts_of_one_query_share_its_head(limit: int) -> None:
    """Whether it was passed once or twice, and however long they are: only the documents can be cut then."""
    [group] = groups_of([("q", ["a"]), ("q", ["b", "c"])], limit)
    assert group.head.text == QWEN3.head("q", "task").text
    assert (group.head.field, group.texts, list(group.places)) == ("queries[0]: query", ["a", "b", "c"], [0, 1, 2])


def test_without_a_query_that_can_be_asked() -> None:
    """Only those are left that can't."""
    assert groups_of([], 8192) == []
    [failed] = groups_of([(" ", ["a", "b"])], 8192, collect=True)
    assert isinstance(failed.failure, QueryError)
    assert (failed.texts, list(failed.places)) == (["a", "b"], [0, 1])


def test_long_prompts_are_grouped_by_query() -> None:
    """Each with its own head, named by where that query stood first; short ones of all queries together."""
    long = "long " * 100
    groups = groups_of([("p", ["a"]), ("q", [long, "b"]), ("r", [long]), ("q", [long + "x"])], 400)
    assert [(group.head.field, list(group.places)) for group in groups] == [
        ("query", [0, 2]),
        ("queries[1]: query", [1, 4]),
        ("queries[2]: query", [3]),
    ]
    assert groups[1].texts == [long, long + "x"]
    assert groups[1].head.text == QWEN3.head("q", "task").text
