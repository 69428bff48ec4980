"""Query and items tokenised apart give the prompt's own tokens; lists stay below the context; each cut is exact."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qwen3_sglang.errors import QueryError
from qwen3_sglang.prompts.template import QWEN3, Head
from qwen3_sglang.prompts.tokenizer import LocalTokenizer, TokenizerFailedError, load_tokenizer
from qwen3_sglang.prompts.truncate import fit_with
from qwen3_sglang.protocol.call import Call
from qwen3_sglang.protocol.exchange import Compute, Request, Run
from qwen3_sglang.protocol.lists import score_documents
from qwen3_sglang.protocol.packing import DELIMITER, Item, Packable, make_packable, packed
from qwen3_sglang.protocol.responses import Response
from qwen3_sglang.protocol.tokenizing import TokenCounter
from steps import PATIENCE, Letters, where

REAL = "QWEN3_TOKENIZER"  # a folder with Qwen3's own tokenizer.json: no package of the test environment brings it
LIMIT = 150
# White space of every kind, digits, contractions, CJK, emoji with joiners, combining marks, what NFC changes.
PIECES = [
    *(" ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "\u2028", "\u200b", "\x00", "\ufffd", "word ", " word"),
    *("1", "42", "a", "The", "s", "'s", "'LL", ".", ">:", ":", "<", "<|im_end|>", "<think>"),
    *("大", "中文", "한국", "が", "か\u3099", "é", "e\u0301", "\u0301", "\u0344", "\U0001d160", "\u212b"),
    *("🙂", "👩\u200d👩\u200d👧", "🇨🇳", "\ufe0f"),
]
TEXTS = st.one_of(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), st.text(max_size=20))
UNLIKELY = [
    " x",
    "\n\nx",
    "\u0301x",
    "1",
    "'s",
    "大",
    "🙂",
    "",
    " ",
    "\u3000x",
    ": x",
    "<|im_end|>",
    "\r",
    "x\n ",
    "x ",
]


@pytest.fixture(scope="module", params=["the toy's", "Qwen3's"])
def tokenizer(request: pytest.FixtureRequest, causal_toy: Path) -> LocalTokenizer:
    """The toy's has Qwen's split, normal form and special tokens; the real one where it is at hand."""
    if request.param == "the toy's":
        return load_tokenizer(str(causal_toy))
    if REAL not in os.environ:
        pytest.skip(f"set {REAL} to a folder with Qwen3's tokenizer.json")
    return load_tokenizer(os.environ[REAL])


def ids(tokenizer: LocalTokenizer, text: str) -> list[int]:
    """Of one text."""
    [found] = tokenizer.encode([text])
    return found


def made(counter: TokenCounter, head: Head, documents: list[str], limit: int = LIMIT) -> Packable:
    """Ready, without a server to ask."""
    run: Run[Packable] = Run(make_packable(counter, head, documents, limit))
    step = run.step()
    while step is not None:
        assert isinstance(step, Compute), step
        step.do()
        step = run.step()
    return run.result


def here(tokenizer: Any) -> TokenCounter:
    """A counter that asks this tokenizer."""
    return TokenCounter("toy", PATIENCE, tokenizer)


@pytest.mark.parametrize("escape", [True, False])
@settings(max_examples=300)
@given(query=TEXTS, document=TEXTS)
@example(query="\n q", document=" \n1")
def test_apart_is_whole(tokenizer: LocalTokenizer, escape: bool, query: str, document: str) -> None:
    """The cut of one query's head, and that of a task's, which several queries share."""
    query = query if query.strip() else f"q{query}"
    head, [text] = QWEN3.prepare(query, [document], "Find it", escape=escape)
    [prompt] = head.prompts([text])
    shared = QWEN3.task("Find it", escape=escape)
    for one, rest in ((head, text), (shared, f"{head.own}{text}")):
        [tail] = one.tails([rest])
        assert one.bare + tail == prompt
        assert ids(tokenizer, one.bare) + ids(tokenizer, tail) == ids(tokenizer, prompt)


@pytest.mark.parametrize("document", UNLIKELY)
def test_ids_are_the_whole_prompts(tokenizer: LocalTokenizer, document: str) -> None:
    """What is sent for a document, after the query's tokens, is the whole prompt, counted to the token."""
    head = QWEN3.head("q")
    ready = made(here(tokenizer), head, [document])
    item = ready.items[document]
    assert isinstance(ready.query, list)
    assert isinstance(item.sent, list)
    assert ready.query + item.sent == ids(tokenizer, head.prompts([document])[0])
    assert (ready.tokens, item.tokens) == (len(ready.query) + DELIMITER, len(item.sent) + DELIMITER)


@settings(max_examples=60)
@given(documents=st.lists(st.lists(st.sampled_from(PIECES), max_size=300).map("".join), min_size=1, max_size=4))
def test_cut_as_everywhere(tokenizer: LocalTokenizer, documents: list[str]) -> None:
    """A prompt of exactly so many tokens stays whole; a longer one ends where any other way ends it."""
    head = QWEN3.head("q")
    ready = made(here(tokenizer), head, documents)
    for document, fitted in zip(documents, fit_with(tokenizer, head, documents, LIMIT), strict=True):
        item = ready.items[document]
        assert isinstance(ready.query, list)
        assert isinstance(item.sent, list)
        assert item.truncated == fitted.truncated
        assert ready.query + item.sent == ids(tokenizer, head.prompts([fitted.text])[0])
        assert len(ready.query) + len(item.sent) <= LIMIT


def test_a_long_query_is_refused_before_its_documents_are_read(tokenizer: LocalTokenizer) -> None:
    """Nobody computes for a call that can't be asked."""
    with pytest.raises(QueryError, match="of 150 tokens"):
        made(here(tokenizer), QWEN3.head("why " * 4000), ["d"] * 3)


class Failing:
    """A tokenizer whose library fails on everything."""

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Fails."""
        raise TokenizerFailedError("broken")

    def decode(self, ids: list[list[int]]) -> list[str]:
        """Fails."""
        raise TokenizerFailedError("broken")


def test_a_tokenizer_that_fails_leaves_texts() -> None:
    """The server has one of its own."""
    head = QWEN3.head("q")
    ready = made(here(Failing()), head, ["one", "two"], 8192)
    assert ready.query == head.bare
    assert [ready.items[text].sent for text in ("one", "two")] == head.tails(["one", "two"])


def sizes(lists: list[list[str]]) -> list[int]:
    """Documents per list."""
    return list(map(len, lists))


@given(lengths=st.lists(st.integers(0, 60), max_size=40), room=st.integers(60, 400), most=st.integers(1, 20))
def test_no_list_has_more_than_there_is_room_for(lengths: list[int], room: int, most: int) -> None:
    """Each document once; tokens of a list, the query's and every delimiter counted, and its documents; order kept."""
    tokenizer = Letters()
    documents = [f"{number:02d}" + "x" * length for number, length in enumerate(lengths)]
    ready = made(here(tokenizer), Head(QWEN3, (), "q"), documents, 8192)
    found = packed(documents, ready, room, most)
    assert sorted(text for part in found for text in part) == documents
    for part in found:
        assert part == sorted(part)
        assert len(part) <= most
        total = len("q") + sum(len(text) + len(QWEN3.suffix) + 1 for text in part) + 1
        assert total <= room or len(part) == 1


@pytest.mark.parametrize(("most", "found"), [(1, [1, 1, 1, 1, 1]), (2, [2, 2, 1]), (4, [4, 1]), (9, [5])])
def test_no_more_lists_than_are_needed(most: int, found: list[int]) -> None:
    """Each is filled before the next is begun, by their number and by the room."""
    documents = list("abcde")
    ready = made(here(Letters()), Head(QWEN3, (), "q"), documents, 8192)
    assert sizes(packed(documents, ready, 8192, most)) == found
    each = ready.items["a"].tokens
    assert sizes(packed(documents, ready, ready.tokens + each * most, 100)) == found


def test_a_long_document_is_alone() -> None:
    """It would be most of the sequence that the others wait for."""
    documents = ["a", "b" * 500, "c"]
    ready = made(here(Letters()), Head(QWEN3, (), "q"), documents, 8192)
    assert packed(documents, ready, 1000, 100) == [["a", "c"], ["b" * 500]]


@pytest.mark.parametrize("text", ["The capital of China is Beijing. ", "中国的首都是北京。", "🙂 e\u0301"])
def test_an_estimate_is_above_what_prose_takes(tokenizer: LocalTokenizer, text: str) -> None:
    """So that a list is seldom refused where nobody counts here."""
    if REAL not in os.environ and not text.isascii():
        pytest.skip(f"the toy's knows English alone: set {REAL} to a folder with Qwen3's tokenizer.json")
    tokenizer = tokenizer if text.isascii() else load_tokenizer(os.environ[REAL])
    head, document = QWEN3.head("q"), text * 20
    counted, estimated = (made(here(one), head, [document], 8192) for one in (tokenizer, None))
    assert estimated.tokens + estimated.items[document].tokens > counted.tokens + counted.items[document].tokens


def test_a_list_that_was_estimated_too_short_is_halved() -> None:
    """A refusal costs no document its score; the query and the items are sent as they were made ready."""
    head, documents = QWEN3.head("q"), [f"0.{digit}" for digit in range(1, 9)]
    ready = made(here(None), head, documents, 8192)
    call = Call("toy", head, 8192, PATIENCE, endpoint="v1/score-multi-item")
    run: Run[Any] = Run(score_documents(call, documents, where, ready))
    step, sizes_sent = run.step(), []
    while step is not None:
        assert isinstance(step, Request)
        asked = json.loads(step.body or b"{}")
        if "items" not in asked:
            step = run.step(Response("u", 404, b"{}"))
            continue
        assert asked["query"] == head.bare
        texts = [item.removeprefix(head.joint).removesuffix(QWEN3.suffix) for item in asked["items"]]
        sizes_sent.append(len(texts))
        scores = [[1 - float(text), float(text)] for text in texts]
        words = b'{"message":"The input (99 tokens) is longer than the model\'s context length (9 tokens)."}'
        answer = Response("u", 200, json.dumps({"scores": scores}).encode())
        step = run.step(Response("u", 400, words) if len(texts) > 2 else answer)
    assert sizes_sent == [8, 4, 2, 2, 4, 2, 2]
    assert [score.p_yes for score in run.result] == [float(text) for text in documents]


class Listening(Letters):
    """Notes what it is asked, each time; a token for every `per` characters."""

    def __init__(self, per: int = 1) -> None:
        self.per = per
        self.asked: list[list[str]] = []

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Code points."""
        self.asked.append(texts)
        return [ids[:: self.per] for ids in super().encode(texts)]


BARE, SUFFIX = "qq", QWEN3.suffix
SHORT = Head(QWEN3, (), BARE)


@pytest.mark.parametrize(("more", "asked"), [(0, 1), (1, 4)])
def test_a_prompt_that_just_fits_is_tokenised_once(more: int, asked: int) -> None:
    """One token more, and its document is cut to what fits, and counted again."""
    tokenizer, room = Listening(), 100 - len(BARE) - len(SUFFIX)
    document = "\u4e2d" * (room + more)  # more bytes than fit, so that only its tokens tell
    item = made(here(tokenizer), SHORT, [document], 100).items[document]
    assert item.truncated is bool(more)
    assert item.sent == list(map(ord, "\u4e2d" * room + SUFFIX))
    assert tokenizer.asked[0][:2] == [BARE, SUFFIX]
    assert len(tokenizer.asked) == asked


@pytest.mark.parametrize(("length", "whole"), [(799, True), (800, False)])
def test_of_a_text_that_is_much_too_long_only_the_start_is_tokenised(length: int, whole: bool) -> None:
    """8 characters per token of the limit; others are tokenised together first."""
    tokenizer = Listening()
    made(here(tokenizer), SHORT, ["short", "x" * length], 100)
    assert tokenizer.asked[0] == [BARE, SUFFIX, "short", *["x" * length] * whole]


@pytest.mark.parametrize(("length", "looked"), [(800, False), (801, True)])
def test_a_long_query_is_looked_at_with_one_document(length: int, looked: bool) -> None:
    """Where it is much too long, nothing else is tokenised; here it only seems so, and each document follows once."""
    tokenizer, head = Listening(per=10), Head(QWEN3, (), "q" * length)
    documents = ["x" * 100, "y" * 100]
    made(here(tokenizer), head, documents, 100)
    assert ([head.bare[:800]] in tokenizer.asked) is looked
    assert [sum(document in texts for texts in tokenizer.asked) for document in documents] == [1 + looked, 1]


@pytest.mark.parametrize(("length", "portions"), [(2**19, 1), (2**19 + 1, 2)])
def test_much_is_tokenised_in_portions(length: int, portions: int) -> None:
    """Of 2**20 characters, by all cores each."""
    tokenizer = Listening(per=2**16)
    documents = ["x" * 2**19, "y" * length]
    made(here(tokenizer), SHORT, documents, 2**20)
    assert [len(texts[2:]) for texts in tokenizer.asked] == ([2] if portions == 1 else [1, 1])


@pytest.mark.parametrize("query", ["q", "qq", "qqq", "\u4e2d"])
def test_what_is_estimated(query: str) -> None:
    """A token for every two bytes, one more, and the delimiter; with a tokenizer it is counted."""
    head = Head(QWEN3, (), query)
    for document in ("a", "ab", "\u4e2d"):
        ready = made(here(None), head, [document], 8192)
        tail = f"{document}{SUFFIX}".encode()
        assert (ready.tokens, ready.items[document].tokens) == (len(query.encode()) // 2 + 2, len(tail) // 2 + 2)
        ready = made(here(Letters()), head, [document], 8192)
        assert (ready.tokens, ready.items[document].tokens) == (len(query) + 1, len(document) + len(SUFFIX) + 1)


@pytest.mark.parametrize(("tokens", "room", "found"), [(50, 100, [2]), (51, 102, [2]), (51, 101, [1, 1])])
def test_half_a_list_is_the_most_that_is_not_alone(tokens: int, room: int, found: list[int]) -> None:
    """To the token; of nothing there is no list."""
    ready = Packable("q", 9, {text: Item(text, tokens, truncated=False) for text in "ab"})
    assert sizes(packed(["a", "b"], ready, room + 9, 100)) == found
    assert packed([], ready, room, 100) == []
