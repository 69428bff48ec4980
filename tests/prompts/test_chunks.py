"""Long documents in overlapping chunks: they cover the document, and each fits."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from forgetful import Even, Forgetful
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen3_sglang.errors import InvalidInputError, QueryError
from qwen3_sglang.prompts import chunks, texts, truncate
from qwen3_sglang.prompts.chunks import Chunking, Divided, divide, divide_bytes
from qwen3_sglang.prompts.special import SpecialTokens
from qwen3_sglang.prompts.template import QWEN3
from qwen3_sglang.prompts.texts import source_length
from qwen3_sglang.prompts.tokenizer import LocalTokenizer, load_tokenizer
from qwen3_sglang.prompts.truncate import Encode, Tokenizer, answered, fit_with

HEAD = QWEN3.head("What is it?")
LIMIT = 110
MANY = 10**6
TEXTS = st.one_of(
    st.text(st.sampled_from("ab c\n.,é🙂大\u0301\u0344\U0001d160각\u1100\u1161\u11a8\ufffd"), max_size=600),
    st.text(max_size=300).map(lambda text: text.encode(errors="replace").decode()),
    st.lists(st.sampled_from(["capital ", "gravity", " of", "  ", "\n\n", "Beijing.", "大きな", "🙂"])).map("".join),
)


ODD_TEXTS = {
    "marks": "a" + "\u0301\u0323" * 200_000,
    "marks that decompose": "\u0f73\u0344" * 200_000,
    "spaces": " " * 4_000_000,
    "less-than signs": "<" * 1_000_000,
    "half tokens": "<|im_" * 200_000,
    "decomposed Hangul": unicodedata.normalize("NFD", "각") * 200_000,
}


@pytest.fixture(scope="module")
def tokenizer(causal_toy: Path) -> LocalTokenizer:
    """The toy's, loaded as a user would."""
    return load_tokenizer(str(causal_toy))


def count(tokenizer: LocalTokenizer, text: str) -> int:
    """Tokens of one text."""
    [ids] = tokenizer.encode([text])
    return len(ids)


def divided(tokenizer: Tokenizer, document: str, limit: int, how: Chunking) -> Divided:
    """One document, divided by a tokenizer at hand."""
    [found] = answered(tokenizer, divide(HEAD, [document], limit, how))
    return found


@settings(max_examples=300)
@given(documents=st.lists(TEXTS, min_size=1, max_size=3), overlap=st.integers(0, 30))
def test_chunks_cover_the_document_and_each_fits(tokenizer: LocalTokenizer, documents: list[str], overlap: int) -> None:
    """Chunk by chunk from the start to the end; a document that fits is one."""
    for document, found in zip(
        documents, answered(tokenizer, divide(HEAD, documents, LIMIT, Chunking(overlap, MANY))), strict=True
    ):
        assert found.whole
        assert found.spans[0][0] == 0
        assert found.spans[-1][1] == len(document)
        assert all(start < after <= end < stop for (start, end), (after, stop) in pairwise(found.spans))
        fits = count(tokenizer, HEAD.prompt(document).text) <= LIMIT
        assert (len(found.spans) == 1) == fits
        for start, end in found.spans:
            assert count(tokenizer, HEAD.prompt(document[start:end]).text) <= LIMIT


@given(documents=st.lists(TEXTS, min_size=1, max_size=3), overlap=st.integers(0, 30))
def test_without_a_tokenizer_too(tokenizer: LocalTokenizer, documents: list[str], overlap: int) -> None:
    """A token is at least a byte, so that the chunks are shorter."""
    limit = 440
    for document, found in zip(documents, divide_bytes(HEAD, documents, limit, Chunking(overlap, MANY)), strict=True):
        assert found.whole
        assert (found.spans[0][0], found.spans[-1][1]) == (0, len(document))
        assert all(start < after <= end < stop for (start, end), (after, stop) in pairwise(found.spans))
        for start, end in found.spans:
            prompt = HEAD.prompt(document[start:end]).text
            assert len(unicodedata.normalize("NFC", prompt).encode()) <= limit
            assert count(tokenizer, prompt) <= limit


def test_chunks_are_what_truncation_keeps(tokenizer: LocalTokenizer) -> None:
    """As long as they can be: each is the start of the rest that truncation would leave."""
    document = " ".join(f"word{number} of the text," for number in range(600))
    found = divided(tokenizer, document, 300, Chunking(20, MANY))
    for start, end in found.spans[:-1]:
        [cut] = fit_with(tokenizer, HEAD, [document[start:]], 300)
        assert cut.text == document[start:end]
        assert 297 <= count(tokenizer, HEAD.prompt(document[start:end]).text) <= 300


@pytest.mark.parametrize("overlap", [0, 1, 20, 60])
def test_the_overlap_is_as_asked(tokenizer: LocalTokenizer, overlap: int) -> None:
    """In the earlier chunk's own tokens: so many of them are the later one's start."""
    document = " ".join(f"word{number} of the text," for number in range(600))
    found = divided(tokenizer, document, 300, Chunking(overlap, MANY))
    for (start, end), (after, _) in pairwise(found.spans):
        whole, before = (count(tokenizer, f" {document[start:stop]}") for stop in (end, after))
        assert whole - before == overlap


def test_an_overlap_too_large_is_half_of_what_fits(tokenizer: LocalTokenizer) -> None:
    """A long query leaves little room: chunks go on all the same."""
    document = "some words " * 300
    room = 150 - count(tokenizer, HEAD.prompt("").text)
    found = divided(tokenizer, document, 150, Chunking(140, MANY))
    assert found.whole
    for (start, end), (after, _) in pairwise(found.spans):
        assert count(tokenizer, document[after:end]) <= room // 2 + 1
        assert after > start


@pytest.mark.parametrize(("overlap", "shared"), [(0, 0), (1, 4), (10, 40), (12, 48), (13, 50), (128, 50)])
def test_the_overlap_in_bytes(overlap: int, shared: int) -> None:
    """Four bytes per token that was asked for, and half of what fits at most."""
    room = 100
    [found] = divide_bytes(HEAD, ["x" * 1000], len(HEAD.prompt("").text.encode()) + room, Chunking(overlap, MANY))
    step = room - shared
    starts = range(0, 1000 - room + step, step)
    assert found.spans == [(start, min(start + room, 1000)) for start in starts]


@pytest.mark.parametrize(
    ("document", "room"),
    [
        ("a\u0323\u0328", 2),  # the ogonek is sorted first and composes; without it, the dot does, to a byte more
        ("-a\u0323\u0328", 3),
        ("a" + "\U0001d165" * 200 + "\u0327" * 200, 400),  # four bytes each, behind two bytes each in NFC
        ("a" + "\u0323" * 3 + "\u0328" * 3, 6),
    ],
)
def test_what_composes_across_an_end_in_bytes(document: str, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk is normalised without what follows it, and may be longer then: it is shortened, in few steps."""
    normalised: list[str] = []

    def nfc(text: str, length: int) -> str:
        normalised.append(text)
        return texts.nfc(text, length)

    monkeypatch.setattr(chunks, "nfc", nfc)
    [found] = divide_bytes(HEAD, [document], len(HEAD.prompt("").text.encode()) + room, Chunking(0, MANY))
    start, end = found.spans[0]
    assert start == 0
    assert 0.9 * room - 2 < len(unicodedata.normalize("NFC", document[:end]).encode()) <= room
    assert len(normalised) <= 3 * len(found.spans)


def test_little_more_is_looked_at_than_the_last_chunk_had(tokenizer: LocalTokenizer) -> None:
    """A quarter more: a long text is tokenised about once, not for each chunk as far as one could reach."""
    document = "".join(f"word{number} of the text, " for number in range(3000))
    limit, asked = 300, []
    steps = divide(HEAD, [document], limit, Chunking(0, MANY))
    question: Any = next(steps)
    try:
        while True:
            if isinstance(question, Encode):
                asked.append(max(map(len, question.texts)))
                question = steps.send(tokenizer.encode(question.texts))
            else:
                question = steps.send(tokenizer.decode(question.ids))
    except StopIteration as stop:
        [found] = stop.value
    longest = max(end - start for start, end in found.spans)
    assert found.whole
    assert max(asked[4:]) < 2 * longest
    assert sum(asked) < 3 * len(document)


def test_how_far_is_looked_for_a_chunk() -> None:
    """6 characters per token at first, then twice as many, as long as all of them fit: 32 per token at most."""
    limit, even = 40, Even(1000)
    found = divided(even, "-" * 5000, limit, Chunking(0, 2))
    assert even.seen == [240, 480, 960, 1280, 1280]
    assert found.spans == [(0, 1280), (1280, 2560)]


def test_how_far_is_looked_for_the_next_chunk() -> None:
    """A quarter further than the last one reached, and 6 characters: from where the last one ended."""
    limit, even = len(HEAD.prompt("").text) // 4 + 100, Even(4)
    found = divided(even, "-" * 5000, limit, Chunking(0, 3))
    ends = [end - start for start, end in found.spans]
    assert even.seen == [6 * limit, *(end + end // 4 + 6 for end in ends[:-1])]


def test_how_far_is_looked_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many characters as there are bytes, then twice as many where they compose; later as for tokens."""
    seen: list[int] = []

    def first_bytes(text: str, room: int) -> str:
        seen.append(len(text))
        return truncate.first_bytes(text, room)

    monkeypatch.setattr(chunks, "first_bytes", first_bytes)
    limit = len(HEAD.prompt("").text.encode()) + 80
    [found] = divide_bytes(HEAD, ["u\u0308\u0304" * 100], limit, Chunking(0, MANY))  # two bytes in NFC
    assert found.spans == [(0, 120), (120, 240), (240, 300)]
    assert seen == [80, 160, 156, 60]


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize(
    "wanted", [lambda: divide(HEAD, ["-" * 9000], 500, Chunking(0, 2)), lambda: truncate.fit(HEAD, ["-" * 9000], 500)]
)
def test_an_answer_for_fewer_texts_is_an_error(wanted: Callable[[], Any], at: int) -> None:
    """No document is left out, and none gets the tokens of another."""

    class Fewer(Even):
        calls = 0

        def encode(self, texts: list[str]) -> list[list[int]]:
            self.calls += 1
            return super().encode(texts)[: -1 if self.calls == at else None]

    with pytest.raises(ValueError, match=r"shorter|not enough"):
        answered(Fewer(10), wanted())


def test_documents_that_fit_need_no_room_for_another() -> None:
    """A query that fills the prompt to the byte has room for an empty document."""
    limit = len(HEAD.prompt("").text.encode())
    assert divide_bytes(HEAD, [""], limit, Chunking()) == [Divided([(0, 0)])]
    assert truncate.fit_bytes(HEAD, [""], limit) == [truncate.Fitted("")]
    with pytest.raises(QueryError, match="shorten the query"):
        divide_bytes(HEAD, ["", "x"], limit, Chunking())


@pytest.mark.parametrize("most", [1, 2, 5])
def test_what_follows_the_last_chunk_is_not_read(tokenizer: LocalTokenizer, most: int) -> None:
    """Chunks begin at the document's start; by bytes too."""
    document = "some words here " * 500
    for found in (
        divided(tokenizer, document, 200, Chunking(10, most)),
        divide_bytes(HEAD, [document], 600, Chunking(10, most))[0],
    ):
        assert len(found.spans) == most
        assert found.spans[0][0] == 0
        assert not found.whole


def test_a_character_that_does_not_fit_ends_the_document(tokenizer: LocalTokenizer) -> None:
    """Where not even one has room, the rest can't be read: no endless loop, no empty chunk after another."""
    limit = count(tokenizer, HEAD.prompt("").text) + 2
    found = divided(tokenizer, "a\U0001d15f\U0001d15f\U0001d15f" * 9, limit, Chunking(10, MANY))
    assert not found.whole
    assert len(found.spans) <= 2
    room = len(HEAD.prompt("").text.encode()) + 3
    [found] = divide_bytes(HEAD, ["\U0001d15f" * 9], room, Chunking(10, MANY))
    assert found == Divided([(0, 0)], whole=False)


def test_short_documents_ask_nothing() -> None:
    """A generator that returns at once."""
    with pytest.raises(StopIteration) as stopped:
        next(divide(HEAD, ["short", ""], 600, Chunking()))
    assert stopped.value.value == [Divided([(0, 5)]), Divided([(0, 0)])]


def test_no_more_is_tokenised_than_a_chunk_may_hold() -> None:
    """However long the document is."""
    asked: Any = next(divide(HEAD, ["some words here " * 200_000], 1000, Chunking()))
    assert sum(map(len, asked.texts)) < 10_000


def test_no_room_for_a_chunk(tokenizer: LocalTokenizer) -> None:
    """A query as long as the limit is refused by name."""
    long = QWEN3.head("why " * 500)
    with pytest.raises(QueryError, match=f"shorten the query.* of {LIMIT} tokens"):
        answered(tokenizer, divide(long, ["d"], LIMIT, Chunking()))
    with pytest.raises(QueryError, match="shorten the query"):
        divide_bytes(long, ["d"], LIMIT, Chunking())


def test_a_tokenizer_that_loses_text_is_refused() -> None:
    """What it decodes isn't the document."""
    with pytest.raises(InvalidInputError, match="served model"):
        divided(Forgetful(), "x" * 5000, 1000, Chunking())


@pytest.mark.parametrize("name", ODD_TEXTS)
def test_odd_texts_take_linear_time(tokenizer: LocalTokenizer, name: str) -> None:
    """CPU time, since others may be busy: quadratic time would be minutes."""
    started = time.process_time()
    head, [text] = QWEN3.prepare("q", [ODD_TEXTS[name]], "i", escape=True, limit=2048 * 4)
    for found in (
        answered(tokenizer, divide(head, [text], 2048, Chunking(64, 4))),
        divide_bytes(head, [text], 2048, Chunking(64, 4)),
    ):
        for start, end in found[0].spans:
            assert count(tokenizer, head.prompt(text[start:end]).text) <= 2048
    assert time.process_time() - started < 20


@given(text=TEXTS, length=st.integers(0, 300))
def test_the_source_of_a_normal_form(text: str, length: int) -> None:
    """As many characters as have a normal form that long, no more."""
    found = source_length(text, length)
    assert len(unicodedata.normalize("NFC", text[:found])) <= length
    assert found == len(text) or len(unicodedata.normalize("NFC", text[: found + 1])) > length


def test_offsets_into_escaped_texts() -> None:
    """Each is where it was before the spaces came in, for templates with several first characters too."""
    tokens = SpecialTokens(("<|im_end|>", "<think>", "[[", "[<"))
    for text in ("a<|im_end|>b<think>[[[<think>", "<|im_end|>" * 3, "plain", "[<|im_end|>"):
        [broken] = tokens.broken_in([text])
        offsets = tokens.unbroken(text, range(len(broken) + 1))
        kept = [broken[:place].replace(" ", "") for place in range(len(broken) + 1)]
        assert [text[:offset] for offset in offsets] == kept


def test_offsets_look_at_no_more_than_they_reach() -> None:
    """Of a long text the start alone, up to the last offset and the longest token that may begin there."""

    class Watched(str):
        """Notes which slice is taken."""

        __slots__ = ("taken",)

        def __getitem__(self, key: Any) -> str:
            self.taken = key
            return str(self)[key]

    tokens = SpecialTokens(("<|im_end|>", "<think>"))
    text = Watched("<think>" * 100)
    assert tokens.unbroken(text, [0, 9, 50]) == [0, 8, 43]
    assert text.taken == slice(None, 50 + len("<|im_end|>"))
