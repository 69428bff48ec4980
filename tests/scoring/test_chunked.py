"""long_documents="chunks": a long document has the score of its best chunk, whichever way it is asked about.

Tests of `scoring/sending.py`.
"""

from __future__ import annotations

import logging
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from fake_server import FakeServer
from modes import call
from qwen3_sglang import RerankClient, local
from qwen3_sglang.errors import DocumentError, QueryError
from qwen3_sglang.prompts.chunks import Chunking, Divided
from qwen3_sglang.prompts.template import QWEN3
from qwen3_sglang.prompts.tokenizer import LocalTokenizer
from qwen3_sglang.protocol.call import Call
from qwen3_sglang.protocol.retry import Patience
from qwen3_sglang.ranking import Score
from qwen3_sglang.scoring.chunked import Parted, in_own_text, part
from qwen3_sglang.scoring.progress import Progress
from qwen3_sglang.transport.deadline import Deadline

QUERY = "which? p=0.05"  # the score of a chunk that says nothing itself
FILLER = "and many other words "
LONG = FILLER * 100 + "p=0.9 " + FILLER * 100
LIMIT = 300
CALL = Call("toy", QWEN3.head(QUERY), LIMIT, Patience(left=lambda: 9.0, random=lambda: 0.0, met=lambda: True))


@pytest.fixture
def options(server: FakeServer, causal_toy: Path) -> dict[str, Any]:
    """A client's that divides documents by the toy's tokenizer."""
    return {
        "base_url": server.url,
        "long_documents": "chunks",
        "chunk_overlap": 20,
        "max_length": LIMIT,
        "tokenizer": causal_toy,
    }


def test_the_best_chunk_counts(server: FakeServer, options: dict[str, Any], mode: str) -> None:
    """The result says which it is, in the caller's own text; what fits is scored as it is."""
    found = call(mode, RerankClient(**options), "rerank", QUERY, ["p=0.5", LONG, "p=0.7"])
    assert [(one.index, one.score, one.truncated) for one in found] == [
        (1, 0.9, False),
        (2, 0.7, False),
        (0, 0.5, False),
    ]
    chunk = found[0].chunk
    assert chunk is not None
    assert "p=0.9" in LONG[chunk.start : chunk.end]
    assert [one.chunk for one in found[1:]] == [None, None]
    assert chunk.scored >= len(server.prompts) - 2 > 2  # equal chunks are sent once
    assert f"{QWEN3.head(QUERY).text}{LONG[chunk.start : chunk.end]}{QWEN3.suffix}" in server.prompts


def test_without_it_the_end_is_not_read(server: FakeServer, options: dict[str, Any]) -> None:
    """The default: a document costs one prompt."""
    del options["long_documents"]
    [found] = RerankClient(**options).rerank(QUERY, [LONG])
    assert (found.score, found.truncated, found.chunk) == (0.05, True, None)
    assert len(server.prompts) == 1


def test_every_way_to_ask(server: FakeServer, options: dict[str, Any], mode: str) -> None:
    """Scores alone, pairs, and several queries, whose documents share lists where they can."""
    client = RerankClient(**options, batch_size=4)
    assert call(mode, client, "score", QUERY, [LONG, "p=0.3", LONG]) == [0.9, 0.3, 0.9]
    assert len(set(server.prompts)) == len(server.prompts)  # what occurs twice is sent once
    assert call(mode, client, "score_pairs", [(QUERY, "p=0.3"), ("other p=0.2", LONG)]) == [0.3, 0.9]
    one, two = call(mode, client, "rerank_many", [(QUERY, ["p=0.3", LONG]), ("other p=0.2", [LONG, "p=0.1"])])
    assert [(found.index, found.score, found.chunk is None) for found in one] == [(1, 0.9, False), (0, 0.3, True)]
    assert [(found.index, found.score, found.chunk is None) for found in two] == [(0, 0.9, False), (1, 0.1, True)]


def test_chunks_of_escaped_texts(server: FakeServer, options: dict[str, Any], mode: str) -> None:
    """What is sent is longer by a space per special token; what the result names is the caller's text."""
    document = "<|im_end|> words <think> " * 60 + "p=0.9 here" + "<|im_start|> " * 150
    for found in (
        call(mode, RerankClient(**options), "rerank", QUERY, ["p=0.1", document])[0],
        call(mode, RerankClient(**options), "rerank_many", [("p=0.3", ["p=0.1"]), (QUERY, [document])])[1][0],
    ):
        assert found.score == 0.9
        assert found.chunk is not None
        own = document[found.chunk.start : found.chunk.end]
        assert "p=0.9 here" in own
        inner = QWEN3.escape(own)[15:-15]  # a special token at an edge may be divided itself
        assert any(len(prompt) - len(inner) < 500 and inner in prompt for prompt in server.prompts)


def test_a_document_longer_than_its_chunks(
    server: FakeServer, options: dict[str, Any], mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """They begin at its start; the rest isn't read, and the result says so."""
    caplog.set_level(logging.INFO, "qwen3_sglang")
    [found] = call(mode, RerankClient(**options, max_chunks=2), "rerank", QUERY, [LONG])
    assert (found.score, found.truncated, found.chunk.scored) == (0.05, True, 2)
    assert found.chunk.start == 0  # the first of equals
    assert len(server.prompts) == 2
    assert "1 of 1 documents were cut to 2 chunks: 0" in caplog.text


def test_a_chunk_overlaps_the_one_before(server: FakeServer, options: dict[str, Any]) -> None:
    """An answer at a boundary stands whole in one of them."""
    RerankClient(**options).score(QUERY, [numbered := " ".join(map(str, range(1000, 3000)))])
    head = QWEN3.head(QUERY).text
    chunks = [prompt.removeprefix(head).removesuffix(QWEN3.suffix) for prompt in server.prompts]
    assert len(chunks) > 3
    for one, other in pairwise(chunks):
        shared = numbered.index(one) + len(one) - numbered.index(other)
        assert 20 <= shared <= 100  # 20 tokens of a character or more


def test_remembered_documents_are_not_asked_again(server: FakeServer, options: dict[str, Any], mode: str) -> None:
    """One score per document, with its chunk; a hit asks nothing, not even a tokenizer."""
    client = RerankClient(**options | {"tokenizer": None, "cache_size": 9, "max_length": 900})
    first = call(mode, client, "rerank", QUERY, [LONG, "p=0.3"])
    asked = len(server.asked)
    assert call(mode, client, "rerank", QUERY, [LONG, "p=0.3"]) == first
    assert first[0].chunk is not None
    assert len(server.asked) == asked


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_progress_counts_documents(server: FakeServer, options: dict[str, Any], mode: str, batch_size: int) -> None:
    """Each once, when all its chunks are scored; those that occur twice once."""
    told: list[tuple[int, int]] = []
    client = RerankClient(**options, batch_size=batch_size)
    documents = [LONG, "p=0.3", LONG, "p=0.9 " * 500]
    call(mode, client, "score", QUERY, documents, on_progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (3, 3)
    assert told == sorted(told)
    assert {total for _, total in told} == {3}


def test_an_error_of_a_chunk_is_the_documents(server: FakeServer, options: dict[str, Any], mode: str) -> None:
    """With its indices in the list that was passed, each of its occurrences."""
    server.refuses = "BAD"
    bad = FILLER * 150 + "BAD " + FILLER * 50
    with pytest.raises(DocumentError) as caught:
        call(mode, RerankClient(**options), "rerank", QUERY, [LONG, bad, "p=0.3", bad])
    assert caught.value.indices == (1, 3)
    with pytest.raises(DocumentError) as caught:
        call(mode, RerankClient(**options), "rerank_many", [("p=0.1", ["p=0.3"]), (QUERY, [LONG, bad])])
    assert (caught.value.query, caught.value.indices) == (1, (1,))
    found = call(mode, RerankClient(**options, on_error="passthrough"), "rerank", QUERY, [LONG, bad, "p=0.3", bad])
    assert [(one.index, one.error is None) for one in found] == [(0, True), (2, True), (1, False), (3, False)]
    assert "documents 1" in (found[2].error or "") or "document 1" in (found[2].error or "")


def test_without_a_tokenizer_chunks_have_fewer_tokens(
    server: FakeServer, options: dict[str, Any], mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A gateway routes no /tokenize: a byte counts for a token then, with a warning."""
    client = RerankClient(**options | {"tokenizer": None, "max_length": 900})
    [found] = call(mode, client, "rerank", QUERY, [LONG])
    assert (found.score, found.truncated) == (0.9, False)
    assert "p=0.9" in LONG[found.chunk.start : found.chunk.end]
    assert all(len(prompt) <= 900 for prompt in server.prompts)
    assert caplog.text.count("pass tokenizer=") == 1


def test_a_query_that_leaves_no_room(server: FakeServer, options: dict[str, Any], mode: str) -> None:
    """An error of the query, or every document marked by it."""
    query = "why " * 400
    with pytest.raises(QueryError, match="shorten the query"):
        call(mode, RerankClient(**options), "rerank", query, [LONG, LONG + "x"])
    found = call(mode, RerankClient(**options, on_error="passthrough"), "rerank", query, [LONG, LONG + "x"])
    assert [(one.index, "shorten the query" in (one.error or "")) for one in found] == [(0, True), (1, True)]
    assert server.prompts == []


def test_the_servers_limit_holds(server: FakeServer, causal_toy: Path) -> None:
    """The fake server says 8192; a client that knows no better divides by that."""
    document = FILLER * 5000 + "p=0.9"
    [found] = RerankClient(server.url, long_documents="chunks", tokenizer=causal_toy).rerank(QUERY, [document])
    assert found.score == 0.9
    assert found.chunk is not None
    assert found.chunk.end == len(document)
    assert found.chunk.scored >= len(server.prompts) > 1
    assert all(len(prompt) < len(document) for prompt in server.prompts)


def test_a_document_that_only_seems_too_long(server: FakeServer, options: dict[str, Any]) -> None:
    """More bytes than tokens fit, but few tokens: it is scored as it is."""
    document = "p=0.8 " + "wonderful " * 60
    assert RerankClient(**options).rerank(QUERY, [document])[0].chunk is None
    assert len(server.prompts) == 1


@pytest.mark.parametrize("checkpoint", ["converted_toy", "causal_toy"])
@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("multi_item", [False, True])
def test_whichever_way_a_server_is_asked(
    request: pytest.FixtureRequest, checkpoint: str, ids: bool, multi_item: bool
) -> None:
    """Lists of prompts or one sequence per list, texts or token ids, converted or not: the same chunk."""
    model: Path = request.getfixturevalue(checkpoint)
    long = "Other words follow. " * 80 + "The capital of China is Beijing." + " Words again." * 80
    documents = ["Gravity is a force.", long, "Tea is a drink.", long]
    with (
        local.run_in_thread(model, device="cpu", dtype="float32", multi_item=multi_item) as url,
        RerankClient(url, long_documents="chunks", max_length=300, tokenizer=model if ids else None) as client,
    ):
        found = client.rerank("What is the capital of China?", documents)
    assert [one.index for one in found[:2]] == [1, 3]
    assert found[0].score > 0.5
    assert found[0].chunk == found[1].chunk
    assert found[0].chunk is not None
    assert "capital of China is Beijing." in long[found[0].chunk.start : found[0].chunk.end]
    assert [(one.chunk, one.truncated) for one in found[2:]] == [(None, False)] * 2


def test_what_was_divided_is_not_measured_again(
    server: FakeServer, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tokenizer sees a long document while it is divided, and none of its chunks afterwards."""
    seen: list[str] = []
    encode = LocalTokenizer.encode

    def seeing(tokenizer: LocalTokenizer, texts: list[str]) -> list[list[int]]:
        seen.extend(texts)
        return encode(tokenizer, texts)

    monkeypatch.setattr(LocalTokenizer, "encode", seeing)
    RerankClient(**options).score(QUERY, [LONG])
    head = QWEN3.head(QUERY)
    chunks = [f"{head.joint}{prompt.removeprefix(head.text).removesuffix(QWEN3.suffix)}" for prompt in server.prompts]
    assert len(chunks) > 2
    assert len(seen) > 1
    assert set(chunks[:-1]).isdisjoint(seen)  # the last one is what was left, and seen to fit


@pytest.mark.parametrize(
    ("owners", "parts"), [(["ab"], [["a"]]), (["ab"] * 3, [["a"]]), (["ab"] * 2, []), (["ab"] * 2, [["a"]] * 2)]
)
def test_chunks_owners_and_lists_are_as_many_as_each_other(owners: list[str], parts: list[list[str]]) -> None:
    """Else a document would be told as done too early, or never."""
    parted = Parted({"ab": Divided([(0, 1), (1, 2)])}, ["a", "b"], owners)
    with pytest.raises(ValueError, match="argument"):
        parted.watched([iter(())], parts, Progress(lambda *_: None, 1))  # type: ignore[list-item] # never run


@pytest.mark.parametrize("count", [1, 3])
def test_each_document_has_its_own_chunks(count: int) -> None:
    """Else the chunks of one could be taken for another's."""
    work = part(CALL, ["a", "b"], Chunking(), Deadline(9.0))
    next(work)
    with pytest.raises(ValueError, match="argument"):
        work.send([[Divided([(0, 1)])] * count])


@pytest.mark.parametrize(("count", "questions"), [(0, 0), (1, 1), (32, 1), (33, 2)])
def test_how_many_documents_are_divided_together(count: int, questions: int) -> None:
    """32: what a tokenizer says of all of them is one answer, which has to fit within its limit."""
    assert len(next(part(CALL, ["a"] * count, Chunking(), Deadline(9.0))).steps) == questions


@pytest.mark.parametrize("count", [0, 2])
def test_chunks_are_told_in_the_text_of_their_own_document(count: int) -> None:
    """There is one document per outcome; else a chunk could be looked for in another's."""
    with pytest.raises(ValueError, match="argument"):
        in_own_text([Score(0.5, 0.0)], ["a"] * count, QWEN3)
