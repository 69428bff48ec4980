"""What a request may hold, at the edges: each limit, each kind of value; and what a refusal says.

Tests of `local/checks.py`, `local/encoding.py`, `local/labels.py`, `local/endpoints.py`, `local/playground.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from qwen3_sglang.local import checks
from qwen3_sglang.local.batcher import TooSlowError
from qwen3_sglang.local.checks import MAX_ITEMS, MAX_TOKENIZED, MAX_TOKENS, RejectedError
from qwen3_sglang.local.encoding import PIECE, Encoder
from qwen3_sglang.local.endpoints import _patience, _too_slow
from qwen3_sglang.local.items import prompts_apart, prompts_of_sequence, read_score, softmax
from qwen3_sglang.local.labels import in_order, read_orders
from qwen3_sglang.local.playground import _sigmoid
from qwen3_sglang.playground.guard import refusal


def refused(work: Callable[[], object]) -> RejectedError:
    with pytest.raises(RejectedError) as caught:
        work()
    return caught.value


def ones(text: str) -> list[int]:
    """A token per character."""
    return [1] * len(text)


def test_a_refusal() -> None:
    """400 and SGLang's type, unless it says otherwise."""
    plain = RejectedError("no")
    assert (plain.message, plain.kind, plain.status, plain.headers) == ("no", "BadRequestError", 400, {})
    malformed = checks.malformed("Field required", "body", "input")
    assert (malformed.kind, malformed.status) == ("Bad Request", 400)
    assert malformed.message == "1 validation error:\n  {'loc': ('body', 'input'), 'msg': 'Field required'}"
    assert checks.too_long(9, 8).message == "The input (9 tokens) is longer than the model's context length (8 tokens)."


def test_how_many_items() -> None:
    """As many as the limit, and not one more: 413, with the remedy."""
    checks.check_items([0] * MAX_ITEMS)
    error = refused(lambda: checks.check_items([0] * (MAX_ITEMS + 1)))
    assert (error.status, error.message) == (413, "1025 items in one list, at most 1024 are taken; send fewer")


def test_how_many_tokens() -> None:
    """All lists of a request together."""
    half = [0] * (MAX_TOKENS // 2)
    assert len(list(checks.counted([half, half]))) == 2
    error = refused(lambda: list(checks.counted([half, half, [0]])))
    assert (error.status, error.message) == (413, "more than 1048576 tokens at once; send fewer")


def test_how_long_a_text_to_tokenise() -> None:
    """By its characters, before it is tokenised."""

    def none(text: str) -> list[int]:
        return []

    longest = "x" * MAX_TOKENIZED
    assert checks.tokenize_prompt({"prompt": longest}, none) == ([], 0)
    assert checks.tokenize_prompt({"prompt": []}, none) == ([], [])
    error = refused(lambda: checks.tokenize_prompt({"prompt": ["", longest + "x"]}, none))
    assert (error.status, error.message) == (413, "a text of 1048577 characters, at most 1048576 are taken; send fewer")


@pytest.mark.parametrize(
    ("ids", "end", "said"),
    [
        ([0, 7], 8, None),
        ([0, 8], 8, "Token ID 8 is out of vocabulary (vocab size: 8)"),
        ([3, -1], 8, "Token ID at index 1 must be non-negative"),
        ([3, 10**30], None, None),
        ([-1], None, "Token ID at index 0 must be non-negative"),
    ],
)
def test_token_ids(ids: list[int], end: int | None, said: str | None) -> None:
    """From 0 to below the vocabulary's size, where that counts."""
    if said is None:
        checks.check_ids(ids, end)
    else:
        assert refused(lambda: checks.check_ids(ids, end)).message == said


@pytest.mark.parametrize("last", [2**32 - 1, 2**32])
def test_ids_to_look_up(last: int) -> None:
    """What a tokenizer can look up at all; special tokens are left out unless they are wanted."""
    seen: list[tuple[list[int], bool]] = []

    def decode(ids: list[int], skip: bool) -> str:
        seen.append((ids, skip))
        return "text"

    asked: Any = {"tokens": [[last], [0]], "skip_special_tokens": False}
    if last == 2**32:
        assert "out of vocabulary" in refused(lambda: checks.detokenize_tokens(asked, decode)).message
        return
    assert checks.detokenize_tokens(asked, decode) == ["text", "text"]
    assert checks.detokenize_tokens({"tokens": [last]}, decode) == "text"
    assert seen == [([last], False), ([0], False), ([last], True)]


@pytest.mark.parametrize(("length", "passes"), [(0, False), (1, True), (7, True), (8, False)])
def test_how_long_a_prompt(length: int, passes: bool) -> None:
    """At least a token, and room for one after it."""
    work = checks.check_prompts([[1] * length], 8, 2)
    if passes:
        assert list(work) == [[1] * length]
    else:
        assert refused(lambda: list(work)).status == 400


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON", "application/json; charset=utf-8"])
def test_a_body(content_type: str) -> None:
    """A JSON object, of that type, whatever its parameters."""
    assert checks.parse_body(b'{"model": ""}', content_type) == {"model": ""}
    for raw in (b"[]", b"1", b'{"model": 1}', b'{"model": "\\ud800"}', b"{"):
        assert refused(lambda raw=raw: checks.parse_body(raw, content_type)).kind == "Bad Request"  # type: ignore[misc]


def test_what_is_of_which_kind() -> None:
    """true is no integer, half a surrogate pair no text."""
    values: list[Any] = [[], [1, 0], [True], [1.0], (1,), ["a", ""], ["a", 1], "a", [[1], []], [[1], 1], [["a"]]]
    assert [one for one in values if checks.all_int(one)] == [[], [1, 0]]
    assert [one for one in values if checks.all_str(one)] == [[], ["a", ""]]
    assert [one for one in values if checks.all_ids(one)] == [[], [[1], []]]
    assert [one for one in ("大", "", "\ud800", b"a", 1) if checks.is_text(one)] == ["大", ""]


def test_a_long_text_is_measured_in_pieces() -> None:
    """From `max_length` characters on; a bound, so that pieces may have a few tokens more than the whole."""
    asked: list[int] = []

    def encode(text: str) -> list[int]:
        asked.append(len(text))
        return ones(text)

    encoder = Encoder(encode, 100, 50)
    assert len(encoder("x" * 100)) == 100
    assert asked == [100]
    assert len(encoder("x" * 115)) == 115  # at least 115 - 16 tokens: too few to be sure
    assert asked == [100, 115, 115]
    assert "at least 100 tokens" in refused(lambda: encoder("x" * 116)).message
    assert "at least 100 tokens" in refused(lambda: encoder("x" * 5001)).message
    assert asked == [100, 115, 115, 116]  # the last is too long by its characters alone
    pieces = Encoder(encode, PIECE + 1000, 50)
    asked.clear()
    assert "at least" in refused(lambda: pieces("x" * (3 * PIECE))).message
    assert asked == [PIECE, PIECE]


def test_as_much_of_a_text_as_can_count() -> None:
    """By the longest token; four characters may become one where they aren't ASCII."""
    encoder = Encoder(ones, 10, 5)
    assert [len(encoder.enough(char * 1000)) for char in "aé"] == [50, 200]
    assert encoder.enough("short") == "short"


NO_YES = (20, 30)


@pytest.mark.parametrize(
    ("given", "orders"),
    [
        ([20, 30], [(0, 1), (0, 1)]),
        ([30, 20], [(1, 0), (1, 0)]),
        ([[30], [20, 30]], [(1,), (0, 1)]),
    ],
)
def test_the_tokens_that_are_named(given: Any, orders: list[tuple[int, ...]]) -> None:
    """For all items, or for each."""
    found = read_orders({"label_token_ids": given}, 2, NO_YES, softmax=True)
    assert found == orders
    assert [in_order((0.25, 0.75), order) for order in found or ()] == [
        tuple((0.25, 0.75)[place] for place in order) for order in orders
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "label_token_ids is required for generation"),
        ([], "must be a nonempty list"),
        ([[20]], "must have one list per item"),
        ([[20], [20], [20]], "must have one list per item"),
        ([[20], []], "nonempty candidate list"),
        ([-1, 20], "must contain nonnegative integers"),
        ([20, 20], "must not contain duplicate tokens"),
        ([0, 20], "knows the tokens 20 (no) and 30 (yes) only"),
        ("20", "Input should be a valid list"),
        ([20.5], "Input should be a valid list"),
    ],
)
def test_tokens_that_cannot_be_named(given: Any, said: str) -> None:
    """In SGLang's words where it refuses too; a model with labels needs none."""
    assert said in refused(lambda: read_orders({"label_token_ids": given}, 2, NO_YES, softmax=True)).message
    if not isinstance(given, str) and given != [20.5]:
        assert read_orders({"label_token_ids": given}, 2, None, softmax=True) is None
    assert "apply_softmax only" in refused(
        lambda: read_orders({"label_token_ids": [20]}, 2, NO_YES, softmax=False)
    ).message  # fmt: skip


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("-0.1", None),
        ("0", 0.0),
        ("2.5", 2.5),
        ("1000000", 1e6),
        ("1000001", None),
        ("inf", None),
    ],
)
def test_how_long_a_client_says_it_waits(value: str | None, seconds: float | None) -> None:
    """A header that says nothing usable says nothing."""
    assert _patience(value) == seconds


def test_what_takes_longer_than_the_client_waits() -> None:
    """503 and a time to come again that is longer, rounded up."""
    error = _too_slow(3, TooSlowError(7.2, 5.0))
    assert (error.status, error.kind, error.headers) == (503, "ServiceUnavailableError", {"retry-after": "8"})
    assert error.message.startswith("3 prompts take about 8 s here, and the client waits 5 s: send fewer")


def test_probabilities_of_logits() -> None:
    """Of any size, and divided by the temperature."""
    assert softmax((0.0, 0.0)) == [0.5, 0.5]
    assert softmax((0.0, math.log(3))) == pytest.approx([0.25, 0.75])
    assert softmax((0.0, 2 * math.log(3)), 2.0) == pytest.approx([0.25, 0.75])
    assert softmax((1e4, -1e4)) == [1.0, 0.0]
    assert [_sigmoid(logit) for logit in (0.0, math.log(3), -math.log(3), 1e4, -1e4)] == pytest.approx(
        [0.5, 0.75, 0.25, 1, 0]
    )


def test_query_and_items() -> None:
    """Joined in the order that is asked for; a sequence has a delimiter before each item and at its end."""
    asked = read_score({"query": [1, 2], "items": [[3], [4, 5]]})
    assert (asked.item_first, asked.softmax, asked.temperature, asked.model) == (False, False, 1.0, "default")
    assert prompts_apart(asked, ones, 9, 9).ids == [[1, 2, 3], [1, 2, 4, 5]]
    assert prompts_apart(asked, ones, 9, 9).tokens == 7
    first = read_score({"query": [1, 2], "items": [[3]], "item_first": "yes"})
    assert prompts_apart(first, ones, 9, 9).ids == [[3, 1, 2]]
    together = prompts_of_sequence(asked, ones, 9, 9)
    assert (together.ids, together.tokens) == ([[1, 2, 3], [1, 2, 4, 5]], 2 + 1 + 2 + 3)
    assert "The input (8 tokens)" in refused(lambda: prompts_of_sequence(asked, ones, 8, 9)).message
    assert "items[0] is empty" in refused(
        lambda: prompts_of_sequence(read_score({"query": [1], "items": [[]]}), ones, 9, 9)
    ).message  # fmt: skip


@pytest.mark.parametrize("word", [0, 0.0, "false", "F", "no", "N", "off", "0", False])
def test_what_is_false(word: object) -> None:
    """As pydantic reads it."""
    assert read_score({"query": "a", "items": "b", "apply_softmax": word}).softmax is False


def test_a_page_of_this_address() -> None:
    """By scheme-less name and port, in any case."""
    assert refusal({"host": "LocalHost:1", "origin": "http://localhost:1"}) is None
    assert refusal({"host": "localhost:1", "origin": "http://LOCALHOST:1", "sec-fetch-site": "same-origin"}) is None
    assert refusal({"origin": "http://localhost:1"}) is not None
