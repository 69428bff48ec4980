"""Long documents in overlapping chunks: they cover the document, and each fits."""

from __future__ import annotations

import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen3_sglang.prompts.chunks import Chunking, Divided, divide, divide_bytes
from qwen3_sglang.prompts.template import QWEN3
from qwen3_sglang.prompts.tokenizer import LocalTokenizer, load_tokenizer
from qwen3_sglang.prompts.truncate import Tokenizer, answered

HEAD = QWEN3.head("What is it?")
LIMIT = 110
MANY = 10**6
TEXTS = st.one_of(
    st.text(st.sampled_from("ab c\n.,é🙂大\u0301\u0344\U0001d160각\u1100\u1161\u11a8\ufffd"), max_size=600),
    st.text(max_size=300).map(lambda text: text.encode(errors="replace").decode()),
    st.lists(st.sampled_from(["capital ", "gravity", " of", "  ", "\n\n", "Beijing.", "大きな", "🙂"])).map("".join),
)


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
