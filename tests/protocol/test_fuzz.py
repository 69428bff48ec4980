"""Random answers, texts and settings: never a score that breaks the checks, never an error that isn't ours."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen3_sglang.errors import InvalidInputError, ProtocolError, QueryError, Qwen3SGLangError
from qwen3_sglang.prompts.template import QWEN3
from qwen3_sglang.prompts.truncate import fit_bytes
from qwen3_sglang.protocol.answers import parse_classes, parse_items, parse_vllm_classes
from qwen3_sglang.protocol.call import Call
from qwen3_sglang.protocol.endpoints import ENDPOINTS
from qwen3_sglang.protocol.exchange import Pause, Request
from qwen3_sglang.protocol.lists import score_documents
from qwen3_sglang.protocol.responses import Response, failure_of
from qwen3_sglang.protocol.served import ask_served
from qwen3_sglang.ranking import Score, check_limits, rank
from qwen3_sglang.settings import Settings, make_settings
from steps import PATIENCE, after, where

HEAD = QWEN3.head("q")
COUNT = 3
DOCUMENTS = ["a", "b", "c"]
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5)
WORDS = st.sampled_from(["data", "scores", "index", "probs", "label", "num_classes", "id", "max_model_len", "error"])
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=5),
    max_leaves=12,
)
BODIES = st.binary(max_size=60) | JSON.map(orjson.dumps)
STATUSES = st.integers(100, 599) | st.just(200)
PARSERS: list[Callable[[Response, int], list[Score]]] = [parse_classes, parse_items, parse_vllm_classes]


def right(parser: object) -> dict[str, Any]:
    """An answer without a fault."""
    pairs = [[0.25, 0.75], [0.9, 0.1], [0.0, 1.0]]
    if parser is parse_items:
        return {"scores": pairs, "object": "scoring"}
    rows = [
        {"index": index, "label": "yes" if pair[1] > 0.5 else "no", "probs": pair, "num_classes": 2}
        for index, pair in enumerate(pairs)
    ]
    return {"object": "list", "data": rows, "usage": {"prompt_tokens": 3}}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to each part of a JSON value."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [path] * bool(path) + [way for key in keys for way in places(value[key], (*path, key))]


@st.composite
def mutations(draw: st.DrawFn, parser: object) -> bytes:
    """A right answer with one to three parts replaced, removed, doubled or swapped; or cut short."""
    answer = right(parser)
    for _ in range(draw(st.integers(1, 3))):
        ways = places(answer)
        if not ways:
            break
        *path, last = draw(st.sampled_from(ways))
        parent: Any = answer
        for key in path:
            parent = parent[key]
        what = draw(st.sampled_from(["replace", "remove", "double", "swap"]))
        if what == "replace":
            parent[last] = draw(JSON | st.floats(-0.1, 1.1))
        elif what == "remove":
            del parent[last]
        elif isinstance(parent, list):
            other = draw(st.integers(0, len(parent) - 1))
            if what == "double":
                parent.insert(other, copy.deepcopy(parent[last]))
            else:
                parent[last], parent[other] = parent[other], parent[last]
    body = orjson.dumps(answer)
    return body[: draw(st.integers(0, len(body)))] if draw(st.booleans()) and draw(st.booleans()) else body


def check_scores(scores: list[Score], count: int) -> None:
    """What everybody downstream relies on."""
    assert len(scores) == count
    for score in scores:
        assert type(score.p_yes) in (float, int)
        assert 0 <= score.p_yes <= 1
        assert not math.isnan(score.logit)
        # Probabilities that a server rounds may add up to a little less or more than 1.
        assert score.p_yes > 0.49 if score.logit > 0 else score.p_yes < 0.51
    assert len(rank(scores)) == count


@pytest.mark.parametrize("parse", PARSERS)
def test_a_right_answer_is_right(parse: Callable[[Response, int], list[Score]]) -> None:
    """What is mutated below is accepted as it stands."""
    assert [s.p_yes for s in parse(Response("u", 200, orjson.dumps(right(parse))), COUNT)] == [0.75, 0.1, 1.0]


@pytest.mark.parametrize("parse", PARSERS)
@given(data=st.data())
@settings(max_examples=150)
def test_an_answer_gives_sound_scores_or_our_error(
    parse: Callable[[Response, int], list[Score]], data: st.DataObject
) -> None:
    """Random JSON, random bytes, and mutations of right answers."""
    body = data.draw(BODIES | mutations(parse))
    try:
        check_scores(parse(Response("u", data.draw(STATUSES), body), COUNT), COUNT)
    except Qwen3SGLangError as error:
        assert str(error)


@given(status=st.integers(100, 599), body=BODIES, location=st.none() | st.text(max_size=9))
def test_every_failure_has_a_message(status: int, body: bytes, location: str | None) -> None:
    """Whatever a proxy answers."""
    assert str(failure_of(Response("u", status, body, location)))


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@given(data=st.data(), limit=st.sampled_from([8192, 600, 450]))
def test_a_whole_conversation(endpoint: str, data: st.DataObject, limit: int) -> None:
    """The server answers each request as it likes, the tokenizer's and the explaining ones too."""
    documents = data.draw(st.lists(st.sampled_from([*DOCUMENTS, "long " * 100]), min_size=1, max_size=3, unique=True))
    answers = BODIES | mutations(ENDPOINTS[endpoint].parse)
    steps = score_documents(Call("m", HEAD, limit, PATIENCE, endpoint=endpoint), documents, where)
    try:
        request = after(steps)
        for _ in range(1000):
            if isinstance(request, Pause):
                request = after(steps)
                continue
            request = after(steps, Response("u", data.draw(STATUSES), data.draw(answers)))
        raise AssertionError("it never ends")
    except StopIteration as stop:
        check_scores(stop.value, len(documents))
    except Qwen3SGLangError as error:
        assert str(error)


@given(data=st.data())
@settings(max_examples=40)
def test_a_random_tokenizer(data: st.DataObject) -> None:
    """Answers of the right shape and the wrong content: an error, or prompts cut somewhere, but soon an end."""
    documents = ["long " * 100, "é" * 200]
    steps = score_documents(Call("m", HEAD, 450, PATIENCE), documents, where)
    ids = st.lists(JSON | st.integers(0, 99), max_size=300)
    outcomes: list[Score] | None = None
    try:
        request = after(steps)
        for _ in range(100):
            assert isinstance(request, Request)
            asked = orjson.loads(request.body or b"{}")
            if request.path == "/v1/classify":
                assert all(prompt.startswith(HEAD.text) and prompt.endswith(QWEN3.suffix) for prompt in asked["input"])
            count = len(asked.get("prompt", asked.get("tokens", [])))
            answer = {
                "tokens": data.draw(st.lists(ids, min_size=count, max_size=count)),
                "text": data.draw(st.lists(st.text(max_size=9), min_size=count, max_size=count)),
            }
            rows = [row for row in right(parse_classes)["data"] if row["index"] < len(documents)]
            request = after(steps, Response("u", 200, orjson.dumps({**answer, "data": rows})))
        raise AssertionError("it never ends")
    except StopIteration as stop:
        outcomes = stop.value
    except (ProtocolError, QueryError) as error:
        assert str(error)
    if outcomes is not None:
        check_scores(outcomes, len(documents))


@given(body=BODIES, status=STATUSES)
def test_a_model_list(body: bytes, status: int) -> None:
    """A name that can be sent back and a usable limit, or our error."""
    steps = ask_served(PATIENCE)
    after(steps)
    try:
        after(steps, Response("u", status, body))
    except StopIteration as stop:
        assert isinstance(stop.value.model, str)
        assert stop.value.max_length is None or stop.value.max_length > 0
    except Qwen3SGLangError as error:
        assert str(error)


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4)
ODD = ANYTHING | st.lists(ANYTHING, max_size=3) | st.dictionaries(st.text(max_size=2), ANYTHING, max_size=2)
TEXTS = st.text(st.characters(), max_size=20)  # lone surrogates too


@given(query=TEXTS | ODD, documents=st.lists(TEXTS) | st.lists(ODD) | ODD, instruction=TEXTS, escape=st.booleans())
def test_any_input_makes_a_prompt_or_is_named(query: Any, documents: Any, instruction: str, escape: bool) -> None:
    """InvalidInputError and no other; what is accepted can be encoded, in order and whole."""
    try:
        head, texts = QWEN3.prepare(query, documents, instruction, escape=escape)
    except InvalidInputError as error:
        assert error.field.startswith(("query", "documents", "instruction"))
        return
    assert len(texts) == len(documents)
    wanted = [re.sub("[\ud800-\udfff]", "\ufffd", text) for text in documents]
    assert [text.replace("< ", "<") for text in texts] == [text.replace("< ", "<") for text in wanted]
    orjson.dumps([head.text, *texts])


@given(st.lists(st.text(max_size=40), max_size=5), st.integers(-5, 900))
def test_a_cut_by_bytes_keeps_every_document(documents: list[str], limit: int) -> None:
    """One text a document within the limit, or one error."""
    try:
        fitted = fit_bytes(HEAD, documents, limit)
    except InvalidInputError as error:
        assert error.field == "query"
        return
    assert len(fitted) == len(documents)
    assert all(len(HEAD.prompt(found.text).text.encode()) <= limit or not found.truncated for found in fitted)


URLS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["http://", "https://", "HTTP://", "ftp://", "//", "http:", "", "http://["]),
    st.sampled_from(["host", "127.0.0.1", "[::1]", "::1]", "user:pw@host", "", "é.de", "a b"]) | st.text(max_size=6),
    st.sampled_from(["", ":1", ":0", ":99999", ":x", ":"]),
    st.sampled_from(["", "/", "/v1", "/path", "?q", "#f", "\n"]) | st.text(max_size=6),
)
NAMES = [name for name in Settings.__dataclass_fields__ if name != "base_url"]
OPTIONS = st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, ODD) | {"base_url": URLS | ODD})


@given(options=OPTIONS)
@settings(max_examples=200)
def test_any_settings_are_valid_or_named(options: dict[str, Any]) -> None:
    """InvalidInputError that names a field and shows no password, or settings that pass their own checks again."""
    try:
        found = make_settings(**options, environ={})
    except InvalidInputError as error:
        assert error.field in Settings.__dataclass_fields__
        assert "pw@" not in str(error)
        return
    found.__post_init__()
    assert found.base_url.isprintable()
    assert found.base_url.lower().startswith(("http://", "https://"))


@given(top_n=ODD, min_score=ODD)
def test_any_limits_are_valid_or_named(top_n: Any, min_score: Any) -> None:
    """What passes can be used."""
    try:
        check_limits(top_n, min_score)
    except InvalidInputError as error:
        assert error.field in {"top_n", "min_score"}
        return
    assert len(rank([Score(0.5, 0.0)], top_n, min_score)) <= 1
