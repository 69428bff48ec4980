"""Where long documents are cut: by tokens, at a character's boundary, never into the suffix.

Tests of `prompts/tokenizer.py`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import time
import unicodedata
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from forgetful import Even, Forgetful
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from fake_server import FakeServer
from qwen3_sglang import InvalidInputError, MissingDependencyError, RerankClient
from qwen3_sglang.errors import QueryError
from qwen3_sglang.prompts import texts as texts_module
from qwen3_sglang.prompts import tokenizer as tokenizer_module
from qwen3_sglang.prompts import truncate
from qwen3_sglang.prompts.template import QWEN3
from qwen3_sglang.prompts.tokenizer import LocalTokenizer, load_tokenizer
from qwen3_sglang.prompts.truncate import Encode, first_bytes, fit, fit_bytes, fit_with, portions, surely_fit

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


def test_a_huge_query_is_not_tokenised_whole() -> None:
    """Its start shows that it leaves no room."""
    steps = fit(QWEN3.head("q " * 400_000), ["d"], 100)
    asked = next(steps)
    assert isinstance(asked, Encode)
    assert sum(map(len, asked.texts)) <= 800
    with pytest.raises(QueryError, match="more than 100 of 100 tokens"):
        steps.send([[1] * 101])


def test_no_room_for_a_document(tokenizer: LocalTokenizer) -> None:
    """A query as long as the limit is refused by name, with both figures."""
    long = QWEN3.head("why " * 50)
    taken = len(tokens(tokenizer, long.bare)) + len(tokens(tokenizer, QWEN3.suffix))
    in_bytes = len(f"{long.text}{QWEN3.suffix}".encode())
    for count, refused in (
        (taken, lambda: fit_with(tokenizer, long, ["d" * 99], 80)),
        (in_bytes, lambda: fit_bytes(long, ["d"], 80)),
    ):
        with pytest.raises(InvalidInputError, match=rf"shorten the query.* they take {count} of 80 tokens") as caught:
            refused()
        assert caught.value.field == "query"


def test_a_tokenizer_that_loses_text_is_refused() -> None:
    """What it decodes isn't the document: it can't tell where to cut."""
    with pytest.raises(InvalidInputError, match="served model"):
        fit_with(Forgetful(), HEAD, ["x" * 5000], 1000)


@pytest.mark.parametrize(("lost", "refused"), [(3, False), (4, True)])
def test_how_much_of_a_cut_may_be_lost(lost: int, refused: bool) -> None:
    """Half a character decodes to three replacement characters at most; the error quotes the first 20 that differ."""
    kept = " " + "x" * 99

    class Lossy:
        def encode(self, texts: list[str]) -> list[list[int]]:
            return [[0] * len(text) for text in texts]

        def decode(self, ids: list[list[int]]) -> list[str]:
            return [kept + "\ufffd" * lost for _ in ids]

    if not refused:
        [found] = fit_with(Lossy(), HEAD, ["x" * 5000], 1000)
        assert (found.text, found.truncated) == ("x" * 99, True)
        return
    with pytest.raises(InvalidInputError, match="served model"):
        fit_with(Lossy(), HEAD, ["x" * 5000], 1000)
    kept = " " + "x" * 99 + "0123456789abcdefghijklmnop"
    with pytest.raises(InvalidInputError, match="served model") as caught:
        fit_with(Lossy(), HEAD, ["x" * 5000], 1000)
    assert (caught.value.field, caught.value.value) == ("tokenizer", "0123456789abcdefghij")


@pytest.mark.parametrize(("more", "cut"), [(0, False), (1, True)])
def test_a_document_that_just_fits(more: int, cut: bool) -> None:
    """All the tokens that have room are kept, and it isn't called truncated; with one more, it is."""
    limit = 1000
    room = limit - -(-len(HEAD.bare) // 2) - -(-len(QWEN3.suffix) // 2)
    whole = "-" * (2 * room - 1 + more)  # with the space in front, a token for each two
    [found] = fit_with(Even(2), HEAD, [whole], limit)
    assert found.truncated is cut
    assert cut or found.text == whole


@pytest.mark.parametrize(("more", "looks"), [(-1, 1), (0, 2)])
def test_the_second_look(more: int, looks: int) -> None:
    """Only a document that the first look, of 8 characters per token, didn't see whole is tokenised again."""
    limit = 1000
    steps = fit(HEAD, ["-" * (limit * 8 + more)], limit)  # with the space in front, 8 * limit or one more
    asked: Any = next(steps)
    seen = [len(asked.texts[2])]
    try:
        while True:
            asked = steps.send([[0] * 10 for _ in asked.texts])
            seen.append(len(asked.texts[0]))
    except StopIteration as stop:
        [found] = stop.value
    assert seen == [limit * 8, limit * 8 + 1][:looks]
    assert (len(found.text), found.truncated) == (limit * 8 + more, False)


def test_what_the_first_look_shows_to_be_too_long_gets_no_second() -> None:
    """The rest of a huge document isn't tokenised to see how much too long it is."""
    even = Even(2)
    [found] = fit_with(even, HEAD, ["-" * 100_000], 1000)
    assert found.truncated
    assert even.seen == [8 * 1000 - 1]  # a space stands in front


def test_the_second_look_can_cut() -> None:
    """What is too long only as a whole loses its tail as well."""

    class Late:
        """A token for each character behind the first look."""

        def encode(self, texts: list[str]) -> list[list[int]]:
            return [[0] * max(1, len(text) - 8000) for text in texts]

        def decode(self, ids: list[list[int]]) -> list[str]:
            return [" " + "-" * (7999 + len(row)) for row in ids]

    [found] = fit_with(Late(), HEAD, ["-" * 12_000], 1000)
    assert found.truncated
    assert len(found.text) == 9000 - len(HEAD.text) - len(QWEN3.suffix)


@pytest.mark.parametrize(
    ("lengths", "most", "starts"),
    [
        ([], 40, [0]),
        ([16, 16, 16], 40, [0, 2]),
        ([10, 16, 14, 1], 40, [0, 3]),
        ([10, 16, 15], 40, [0, 2]),
        ([100, 100, 1, 1], 40, [0]),
        ([100, 100, 0, 100], 15, [0, 1, 2]),
    ],
)
def test_how_many_documents_are_tokenised_in_one_go(lengths: list[int], most: int, starts: list[int]) -> None:
    """Of each the 8 characters per token that are looked at count; one document at least, however long."""
    documents = ["x" * length for length in lengths]
    found = portions(documents, 2, most)
    assert found == [slice(start, stop) for start, stop in pairwise([*starts, len(documents)])]


@pytest.mark.parametrize(
    ("text", "room", "kept"),
    [
        ("abc", 2, "ab"),
        ("ab", 2, "ab"),
        ("aé", 2, "a"),
        ("aé", 3, "aé"),
        ("e\u0301e\u0301", 4, "éé"),
        ("e\u0301e\u0301", 3, "é"),
        ("\U0001d160", 11, "\U0001d158\U0001d165"),
        ("x", 0, ""),
    ],
)
def test_the_first_bytes(text: str, room: int, kept: str) -> None:
    """Of the text's NFC; whole characters."""
    assert first_bytes(text, room) == kept


def test_which_texts_may_have_too_many_tokens() -> None:
    """Those whose NFC has more bytes than there is room, to the byte; others needn't be tokenised."""
    limit = 1000
    room = limit - len(HEAD.text) - len(QWEN3.suffix)
    for text, fits in (
        ("-" * room, True),
        ("-" * (room + 1), False),
        ("é" * (room // 2), True),
        ("é" * (room // 2 + 1), False),
        ("e\u0301" * (room // 2), True),  # three bytes each, two in NFC
        ("\U0001d15e" * (room // 12), True),  # NFC makes 8 of its 4 bytes
        ("\U0001d15e" * (room // 8 + 1), False),
    ):
        assert surely_fit(HEAD, [text], limit) is fits, text[:1]


def test_what_is_far_too_long_is_not_even_encoded() -> None:
    """A character has a byte at least, and NFC takes away two of three at most."""

    class Watched(str):
        __slots__ = ()

        def encode(self, *_: Any) -> bytes:
            raise AssertionError(len(self))

    limit = 1000
    room = limit - len(HEAD.text) - len(QWEN3.suffix)
    assert not surely_fit(HEAD, [Watched("é" * (3 * room + 1))], limit)
    with pytest.raises(AssertionError):
        surely_fit(HEAD, [Watched("é" * (3 * room))], limit)


def test_what_is_surely_short_is_not_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    """NFC makes three bytes of one at most: a text with a third of the room fits, whatever it holds."""
    normalised: list[str] = []

    def bytes_in_nfc(text: str, enough: int) -> int:
        normalised.append(text)
        return texts_module.bytes_in_nfc(text, enough)

    head = QWEN3.head("What is it?")
    limit = 600 + len(head.text) + len(QWEN3.suffix)
    monkeypatch.setattr(truncate, "bytes_in_nfc", bytes_in_nfc)
    short, longer = "é" * 100, "é" * 100 + "x"
    assert surely_fit(head, [short, longer], limit)
    assert normalised == [head.text, longer]


def test_growth_in_nfc_counts() -> None:
    """U+1D160 has 4 bytes, and 12 in NFC, which Qwen's tokenizer makes of it."""
    grows = "\U0001d160"
    room = 1200 - len(HEAD.text) - len(QWEN3.suffix)
    fits, over = grows * (room // 12), grows * (room // 12 + 1)
    assert len(unicodedata.normalize("NFC", over).encode()) == 12 * len(over)
    assert surely_fit(HEAD, [fits], 1200)
    assert not surely_fit(HEAD, [over], 1200)
    [kept, cut] = fit_bytes(HEAD, [fits, over], 1200)
    assert (kept.truncated, cut.truncated) == (False, True)
    assert len(f"{HEAD.text}{cut.text}{QWEN3.suffix}".encode()) <= 1200


def test_what_cannot_count_is_not_looked_at(tokenizer: LocalTokenizer) -> None:
    """As much as the longest tokens could fill the prompt with is kept, and cut as the whole would be."""
    text = "some words, é and 大 " * 20_000
    head, [bounded] = QWEN3.prepare("q", [text], "i", escape=True, limit=100)
    assert bounded == text[: 100 * QWEN3.longest_token]
    assert fit_with(tokenizer, head, [bounded], 400) == fit_with(tokenizer, head, [text], 400)


ODD_TEXTS = {
    "marks": "a" + "\u0301\u0323" * 300_000,
    "marks that decompose": "\u0f73\u0344" * 300_000,
    "spaces": " " * 600_000,
    "line ends": " \n" * 300_000,
    "less-than signs": "<" * 600_000,
    "half tokens": "<|im_" * 800_000,
    "decomposed Hangul": unicodedata.normalize("NFD", "각") * 1_300_000,
    "joiners": "\u200d" * 600_000,
}


@pytest.mark.parametrize("name", ODD_TEXTS)
def test_odd_texts_take_linear_time(tokenizer: LocalTokenizer, name: str) -> None:
    """CPU time, since others may be busy: quadratic time would be minutes. Texts of every length class."""
    started = time.process_time()
    for text in (ODD_TEXTS[name], ODD_TEXTS[name][:2600], ODD_TEXTS[name][:40_000]):
        head, texts = QWEN3.prepare(text[:100] if text.strip() else "q", [text], "i", escape=True)
        for found in (fit_with(tokenizer, head, texts, 8192), fit_bytes(head, texts, 8192)):
            assert len(tokens(tokenizer, head.prompt(found[0].text).text)) <= 8192
    assert time.process_time() - started < 10


@pytest.mark.parametrize("counts", [lambda text: 10**4, lambda text: len(text) * 9, lambda text: 401])
def test_a_tokenizer_that_counts_at_random_comes_to_an_end(counts: Any) -> None:
    """However much it says that a prompt has: no endless cutting."""

    class Odd:
        asked = 0

        def encode(self, texts: list[str]) -> list[list[int]]:
            self.asked += 1
            prompts = [text.endswith(QWEN3.suffix) and text != QWEN3.suffix for text in texts]
            return [
                [0] * (counts(text) if p else 500 * text.startswith(" "))
                for text, p in zip(texts, prompts, strict=True)
            ]

        def decode(self, ids: list[list[int]]) -> list[str]:
            return [" " + "x" * len(row) for row in ids]

    odd = Odd()
    with pytest.raises(QueryError):
        fit_with(odd, HEAD, ["x" * 5000], 400)
    assert odd.asked < 20


def test_a_document_of_which_nothing_fits() -> None:
    """Its prompt is as short as can be, and is sent; where even that has a token too many, the query is to blame."""

    class Greedy:
        """A prompt with a document has 500 tokens, and `bare` without one."""

        def __init__(self, bare: int) -> None:
            self.bare = bare

        def encode(self, texts: list[str]) -> list[list[int]]:
            return [[0] * self.count(text) for text in texts]

        def count(self, text: str) -> int:
            if text.endswith(QWEN3.suffix) and text != QWEN3.suffix:
                return self.bare if text == HEAD.prompt("").text else 500
            return 500 * text.startswith(" ")

        def decode(self, ids: list[list[int]]) -> list[str]:
            return [" " + "x" * len(row) for row in ids]

    for bare in (300, 400):
        [found] = fit_with(Greedy(bare), HEAD, ["x" * 5000], 400)
        assert (found.text, found.truncated) == ("", True)
    with pytest.raises(QueryError, match="they take 401 of 400 tokens"):
        fit_with(Greedy(401), HEAD, ["x" * 5000], 400)


@pytest.mark.parametrize("alone", [True, False])
def test_only_the_texts_own_tokens_are_counted(monkeypatch: pytest.MonkeyPatch, alone: bool) -> None:
    """Nothing is added in front of a text, and special tokens are given back; in a forked child too."""

    class Watched:
        def encode(self, text: str, add_special_tokens: bool) -> Any:
            assert alone
            assert not add_special_tokens
            return SimpleNamespace(ids=[len(text)])

        def encode_batch_fast(self, texts: list[str], add_special_tokens: bool) -> list[Any]:
            assert not alone
            assert not add_special_tokens
            return [SimpleNamespace(ids=[len(text)]) for text in texts]

        def decode(self, row: list[int], skip_special_tokens: bool) -> str:
            assert alone
            assert not skip_special_tokens
            return "x" * row[0]

        def decode_batch(self, rows: list[list[int]], skip_special_tokens: bool) -> list[str]:
            assert not alone
            assert not skip_special_tokens
            return ["x" * row[0] for row in rows]

    monkeypatch.setattr(tokenizer_module, "_forked", [True])
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    if alone:  # the user's variable, in a forked child: the library's threads are missing there
        monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    tokenizer = LocalTokenizer(Watched())
    assert tokenizer.encode(["ab", "c"]) == [[2], [1]]
    assert tokenizer.decode([[2], [1]]) == ["xx", "x"]


class PanicException(BaseException):
    """A Rust panic, as it comes out of an extension."""


@pytest.mark.parametrize("failure", [PanicException("index out of bounds"), RuntimeError("poisoned"), Exception("x")])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_panic_inside_a_tokenizer(
    server: FakeServer, causal_toy: Path, mode: str, failure: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """Costs no score: documents are cut by bytes, and a warning says why."""

    class Broken:
        def encode_batch_fast(self, texts: list[str], add_special_tokens: bool) -> Any:
            raise failure

    client = RerankClient(server.url, tokenizer=causal_toy, max_length=600)
    client.score("q", ["p=0.1"])
    client._scorer._tokenizer = LocalTokenizer(Broken())
    documents = ["p=0.9 " + "many words " * 200, "p=0.5"]
    found = client.rerank("q", documents) if mode == "sync" else asyncio.run(client.arerank("q", documents))
    assert [(r.index, r.score, r.truncated) for r in found] == [(0, 0.9, True), (1, 0.5, False)]
    assert str(failure) in caplog.text
    prompts = client.prompts("q", documents) if mode == "sync" else asyncio.run(client.aprompts("q", documents))
    assert [(prompt.tokens, prompt.truncated) for prompt in prompts] == [(None, True), (None, False)]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_what_ends_a_program_is_no_failure_of_a_tokenizer(kind: type[BaseException]) -> None:
    """Ctrl-C and the like are the caller's."""

    class Interrupted:
        def encode_batch_fast(self, texts: list[str], add_special_tokens: bool) -> Any:
            raise kind

        def decode_batch(self, ids: list[list[int]], skip_special_tokens: bool) -> Any:
            raise kind

    with pytest.raises(kind):
        LocalTokenizer(Interrupted()).encode(["d"])
    with pytest.raises(kind):
        LocalTokenizer(Interrupted()).decode([[1]])


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


_IN_A_CHILD = """
import os, signal, sys
from qwen3_sglang.prompts.tokenizer import load_tokenizer
tokenizer, texts = load_tokenizer(sys.argv[1]), ["some words " * 20] * 100
wanted = tokenizer.encode(texts)
child = os.fork()
if child == 0:
    signal.alarm(60)  # a batch that waits for the parent's threads would never end
    os._exit(tokenizer.decode(tokenizer.encode(texts)) != tokenizer.decode(wanted))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize("parallel", [None, "true", "false"])
def test_a_forked_child_tokenises(causal_toy: Path, parallel: str | None) -> None:
    """Whatever the user has set for the library, which has used its threads in the parent."""
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    if parallel is not None:
        environment["TOKENIZERS_PARALLELISM"] = parallel
    subprocess.run([sys.executable, "-c", _IN_A_CHILD, str(causal_toy)], env=environment, check=True)
