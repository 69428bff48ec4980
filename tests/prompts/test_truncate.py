"""Where long documents are cut: by tokens, at a character's boundary, never into the suffix."""

from __future__ import annotations

import logging
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from fake_server import FakeServer
from qwen3_sglang import InvalidInputError, MissingDependencyError, RerankClient
from qwen3_sglang.prompts.template import QWEN3
from qwen3_sglang.prompts.tokenizer import LocalTokenizer, load_tokenizer
from qwen3_sglang.prompts.truncate import fit, fit_bytes, fit_with

HEAD = QWEN3.head("What is it?")
LIMIT = 150
TEXTS = st.text(st.sampled_from("ab c\n.,é🙂大\u0301\u0344\U0001d160"), max_size=400)


@pytest.fixture(scope="module")
def tokenizer(causal_toy: Path) -> LocalTokenizer:
    """The toy's, loaded as a user would."""
    return load_tokenizer(str(causal_toy))


def tokens(tokenizer: LocalTokenizer, text: str) -> list[int]:
    """Ids of one text."""
    [ids] = tokenizer.encode([text])
    return ids


@settings(max_examples=300)
@given(documents=st.lists(TEXTS, max_size=4))
def test_every_prompt_fits_and_no_short_one_is_cut(tokenizer: LocalTokenizer, documents: list[str]) -> None:
    """One answer a document; what is kept is the start of the text, in the tokenizer's own normal form."""
    fitted = fit_with(tokenizer, HEAD, documents, LIMIT)
    assert len(fitted) == len(documents)
    for document, found in zip(documents, fitted, strict=True):
        whole = len(tokens(tokenizer, HEAD.prompt(document).text))
        if not found.truncated:
            assert found.text == document
            assert whole <= LIMIT
        else:
            assert whole > LIMIT
            assert len(tokens(tokenizer, HEAD.prompt(found.text).text)) <= LIMIT
            assert unicodedata.normalize("NFC", document).startswith(found.text)


@given(documents=st.lists(TEXTS, min_size=1, max_size=4))
def test_without_a_tokenizer_every_prompt_fits_too(tokenizer: LocalTokenizer, documents: list[str]) -> None:
    """A token is at least a byte."""
    for document, found in zip(documents, fit_bytes(HEAD, documents, LIMIT + 300), strict=True):
        assert found.truncated or found.text == document
        assert len(tokens(tokenizer, HEAD.prompt(found.text).text)) <= LIMIT + 300


def test_the_cut_is_qwens(tokenizer: LocalTokenizer) -> None:
    """The first tokens that fit are kept, as Qwen's own example keeps them."""
    document = " ".join(f"word{number} of the text," for number in range(5000))
    [found] = fit_with(tokenizer, HEAD, [document], 1000)
    whole = tokens(tokenizer, HEAD.text + document)
    cut = tokens(tokenizer, HEAD.text + found.text)
    assert cut == whole[: 1000 - len(tokens(tokenizer, QWEN3.suffix))]


def test_short_documents_cost_nothing() -> None:
    """No more bytes than the limit, no question; the template's bytes count too."""
    room = 600 - len(HEAD.text) - len(QWEN3.suffix)
    with pytest.raises(StopIteration):
        next(fit(HEAD, ["x" * room, "é" * (room // 6)], 600))
    assert next(fit(HEAD, ["x" * (room + 1)], 600))


def test_only_the_start_of_a_huge_document_is_tokenised(tokenizer: LocalTokenizer) -> None:
    """A document of megabytes isn't sent whole to find its first thousand tokens."""
    steps = fit(HEAD, ["some words here " * 200_000], 1000)
    asked: Any = next(steps)
    assert sum(map(len, asked.texts)) < 10_000


def test_a_long_text_of_few_tokens_is_kept_whole() -> None:
    """More characters a token than the first look allows for: then all of it is counted."""

    class OneToken:
        def encode(self, texts: list[str]) -> list[list[int]]:
            return [[0] for _ in texts]

        def decode(self, ids: list[list[int]]) -> list[str]:
            raise AssertionError(ids)

    [found] = fit_with(OneToken(), HEAD, ["-" * 10_000], 1000)
    assert (found.text, found.truncated) == ("-" * 10_000, False)


def test_no_room_for_a_document(tokenizer: LocalTokenizer) -> None:
    """A query as long as the limit is refused by name, with both figures."""
    long = QWEN3.head("why " * 500)
    for refused in (lambda: fit_with(tokenizer, long, ["d"], LIMIT), lambda: fit_bytes(long, ["d"], LIMIT)):
        with pytest.raises(InvalidInputError, match=rf"shorten the query.* of {LIMIT} tokens") as caught:
            refused()
        assert caught.value.field == "query"


def test_a_tokenizer_that_loses_text_is_refused() -> None:
    """What it decodes isn't the document: it can't tell where to cut."""

    class Other:
        def encode(self, texts: list[str]) -> list[list[int]]:
            return [[0] * len(text) for text in texts]

        def decode(self, ids: list[list[int]]) -> list[str]:
            return ["something else" for _ in ids]

    with pytest.raises(InvalidInputError, match="served model"):
        fit_with(Other(), HEAD, ["x" * 5000], 1000)


@pytest.mark.parametrize("where", ["", "tokenizer.json"])
def test_a_tokenizer_by_folder_or_file(causal_toy: Path, where: str) -> None:
    """Both name the same; a limit in the file itself is ignored."""
    known: Any = Tokenizer.from_file(str(causal_toy / "tokenizer.json"))
    text = "a long text " * 100
    assert load_tokenizer(str(causal_toy / where)).encode([text]) == [known.encode(text).ids]


def test_a_tokenizers_own_limit_hides_nothing(causal_toy: Path, tmp_path: Path) -> None:
    """Checkpoints can carry truncation and padding in tokenizer.json."""
    known: Any = Tokenizer.from_file(str(causal_toy / "tokenizer.json"))
    known.enable_truncation(8)
    known.enable_padding(length=64)
    known.save(str(tmp_path / "tokenizer.json"))
    long, short = load_tokenizer(str(tmp_path)).encode(["a long text " * 100, "a"])
    assert len(long) > 8
    assert len(short) == 1


@pytest.mark.parametrize("content", [None, "{}"])
def test_an_unusable_tokenizer_is_named(tmp_path: Path, server: FakeServer, content: str | None) -> None:
    """At the first call, since making a client does no I/O."""
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    client = RerankClient(server.url, tokenizer=tmp_path)
    with pytest.raises(InvalidInputError, match=r"tokenizer\.json"):
        client.score("q", ["p=0.5"])


def test_a_missing_library_is_named(causal_toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The base install goes without `tokenizers`."""
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(MissingDependencyError, match=r"qwen3-sglang\[tokenizer\]"):
        load_tokenizer(str(causal_toy))


@pytest.mark.parametrize("local", [True, False])
async def test_the_result_says_that_it_was_cut(
    server: FakeServer, causal_toy: Path, caplog: pytest.LogCaptureFixture, local: bool
) -> None:
    """Flag, log line, and the others untouched; behind a gateway without /tokenize, a warning too."""
    caplog.set_level(logging.INFO, "qwen3_sglang")
    documents = ["p=0.1", "p=0.9 " + "many words " * 2000, "p=0.5"]
    client = RerankClient(server.url, max_length=700, tokenizer=causal_toy if local else None)
    for results in (client.rerank("q", documents), await client.arerank("q", documents)):
        assert [(r.index, r.truncated) for r in results] == [(1, True), (2, False), (0, False)]
    assert caplog.text.count("1 of 3 documents were cut to 700 tokens: 1") == 2
    assert caplog.text.count("pass tokenizer=") == (0 if local else 2)
    assert {path for path, _ in server.asked} == {"/v1/models", "/v1/classify"} | (set() if local else {"/tokenize"})
    assert all(prompt.endswith(QWEN3.suffix) for prompt in server.prompts)
    await client.aclose()


def test_the_servers_limit_wins_over_a_higher_one(server: FakeServer, causal_toy: Path) -> None:
    """The fake server says 8192, so a prompt may have 8191 tokens."""
    client = RerankClient(server.url, max_length=20_000, tokenizer=causal_toy)
    client.score("q", ["p=0.9 " + "words " * 15_000])
    [prompt] = server.prompts
    assert 8191 - 3 <= len(tokens(load_tokenizer(str(causal_toy)), prompt)) <= 8191


def test_special_tokens_are_broken_before_they_are_sent(server: FakeServer) -> None:
    """On by default, and the switch reaches the prompt."""
    RerankClient(server.url).score("<|im_end|>?", ["<think> p=0.5"])
    RerankClient(server.url, escape_special_tokens=False).score("q", ["<think> p=0.5"])
    assert "<Query>: < |im_end|>?\n<Document>: < think> p=0.5" in server.prompts[0]
    assert "<Document>: <think> p=0.5" in server.prompts[1]
