"""Every check on a successful answer, without a server."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3_sglang import errors
from qwen3_sglang.protocol.answers import CONVERT_REMEDY, Names, parse_classes, parse_items, parse_vllm_classes
from qwen3_sglang.protocol.responses import (
    Response,
    received,
)
from qwen3_sglang.ranking import Scores


def row(index: int = 0, probs: object = (0.25, 0.75), label: str = "yes", classes: int = 2) -> dict[str, object]:
    """One row as SGLang writes it."""
    return {"index": index, "label": label, "probs": probs, "num_classes": classes}


def answer(*rows: object, status: int = 200) -> Response:
    """A whole answer."""
    return Response("http://server/v1/classify", status, json.dumps({"data": rows}).encode())


def test_scores_in_order() -> None:
    """P(yes) is the second probability."""
    assert [s.p_yes for s in parse_classes(answer(row(), row(1, [0.9, 0.1], "no")), 2)] == [0.75, 0.1]


@pytest.mark.parametrize("label", ["yes", "LABEL_1"])
def test_probabilities_add_up_to_one(label: str) -> None:
    """Within a hundredth, whatever the labels are called."""
    for p_no in (0.2401, 0.2599):
        assert parse_classes(answer(row(probs=[p_no, 0.75], label=label)), 1)[0].p_yes == pytest.approx(0.75, abs=0.01)
    for p_no in (0.2399, 0.2601):
        with pytest.raises(errors.ProtocolError, match="add up to 1"):
            parse_classes(answer(row(probs=[p_no, 0.75], label=label)), 1)


@pytest.mark.parametrize("label", ["LABEL_1", "yes", "YES", "", None])
def test_labels_of_any_name(label: str) -> None:
    """The usual recipe calls its labels LABEL_0 and LABEL_1."""
    assert parse_classes(answer(row(label=label)), 1)[0].p_yes == 0.75


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (answer(), errors.ProtocolError),
        (answer(row(), row(1)), errors.ProtocolError),
        (answer(row(1)), errors.ProtocolError),
        (answer("row"), errors.ProtocolError),
        (answer(row(probs=None)), errors.ProtocolError),
        (answer(row(probs=[None, 1])), errors.ProtocolError),
        (answer(row(probs=[-0.5, 1.5])), errors.ProtocolError),
        (answer(row(probs=[0.2, 0.2])), errors.ProtocolError),
        (answer(row(probs=[True, False])), errors.ProtocolError),
        (answer(row(probs=[1.0], label="Default", classes=1)), errors.ServerFailureError),
        (answer(row(probs=[1.0], label="LABEL_0", classes=1)), errors.OneLabelModelError),
        (answer(row(probs=[0.2, 0.3, 0.5], classes=3)), errors.ModelMismatchError),
        (answer(row(classes=5)), errors.ModelMismatchError),
        (answer(row(label="no")), errors.SwappedLabelsError),
        (answer(row(probs=[0.9, 0.1], label="yes")), errors.SwappedLabelsError),
        (Response("u", 200, b'{"data":[{"index":0,"probs":[NaN,NaN]}]}'), errors.NotSGLangError),
        (Response("u", 200, b"<html>"), errors.NotSGLangError),
        (Response("u", 200, b"[]"), errors.NotSGLangError),
        (Response("u", 200, b"{}"), errors.ProtocolError),
    ],
)
def test_a_broken_answer_never_gives_a_score(response: Response, error: type[errors.ServerError]) -> None:
    """Each check of a successful answer."""
    with pytest.raises(errors.ServerError) as caught:
        parse_classes(response, 1)
    assert type(caught.value) is error


@pytest.mark.parametrize("parse", [parse_classes, parse_vllm_classes, parse_items])
@pytest.mark.parametrize("field", [b"model", b"label", b"id"])
def test_an_answer_that_is_no_utf8(parse: Callable[[Response, int], object], field: bytes) -> None:
    """Also where nothing is read from what isn't."""
    row = b'[0.25,0.75],"label":"yes"' if field != b"label" else b'[0.25,0.75],"label":"\xff"'
    rest = b'"%s":"\xff"' % field if field != b"label" else b'"x":1'
    body = b'{"scores":[[0.25,0.75]],"data":[{"index":0,"probs":%s}],%s}' % (row, rest)
    with pytest.raises(errors.NotSGLangError):
        parse(Response("u", 200, body), 1)
    assert parse(Response("u", 200, body.replace(b"\xff", "\u4e2d".encode())), 1)


def pairs(*scores: object) -> Response:
    """A whole answer of /v1/score."""
    return Response("http://server/v1/score", 200, json.dumps({"scores": scores}).encode())


def test_scores_of_items() -> None:
    """[P(no), P(yes)] an item."""
    assert [s.p_yes for s in parse_items(pairs([0.25, 0.75], [0.9, 0.1]), 2)] == [0.75, 0.1]


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (pairs(), errors.ProtocolError),
        (pairs(0.5), errors.ProtocolError),
        (pairs([-3.0, 4.0]), errors.ProtocolError),
        (pairs([0.5, 0.6]), errors.ProtocolError),
        (pairs([1.0]), errors.OneLabelModelError),
        (pairs([0.2, 0.3, 0.5]), errors.ModelMismatchError),
    ],
)
def test_a_broken_answer_of_items_never_gives_a_score(response: Response, error: type[errors.ServerError]) -> None:
    """The same checks; raw logits are refused too."""
    with pytest.raises(errors.ServerError) as caught:
        parse_items(response, 1)
    assert type(caught.value) is error


def test_vllm_answers_one_label_with_its_sigmoid() -> None:
    """Two labels as SGLang; with one the only probability is P(yes)."""
    assert [s.p_yes for s in parse_vllm_classes(answer(row(), row(1, [0.1], "LABEL_0", 1)), 2)] == [0.75, 0.1]
    [high, higher] = parse_vllm_classes(answer(row(0, [0.8], classes=1), row(1, [0.9], classes=1)), 2)
    assert 0 < high.logit < higher.logit


@pytest.mark.parametrize("broken", [row(1, [0.5], classes=1), row(0, [1.5], classes=1), row(0, [None], classes=1), 7])
def test_a_broken_answer_of_vllm_never_gives_a_score(broken: object) -> None:
    """Place and range are checked for one label too."""
    with pytest.raises(errors.ProtocolError):
        parse_vllm_classes(answer(broken), 1)


def test_v1_score_from_two_models() -> None:
    """Where a server names the model that answered, it is heard."""
    names = Names()
    rows = {"scores": [[0.5, 0.5]]}
    parse_items(Response("u", 200, json.dumps({**rows, "model": "one"}).encode()), 1, names)
    with pytest.raises(errors.ModelReplacedError):
        parse_items(Response("u", 200, json.dumps({**rows, "model": "two"}).encode()), 1, names)


@pytest.mark.parametrize("parse", [parse_classes, parse_vllm_classes])
@pytest.mark.parametrize(
    ("probs", "label", "p_yes"),
    [
        ([0.0, 1.0], "yes", 1.0),
        ([1.0, 0.0], "no", 0.0),
        ([0.0, 0.995], "yes", 1.0),
        ([0.995, 0.0], "no", 0.0),
        ([0, 1], "yes", 1.0),
        ([1, 0], "no", 0.0),
        ([0.5, 0.5], "yes", 0.5),
        ([0.5, 0.5], "no", 0.5),
        ([0.25, 0.7401], "Yes", 0.7401),
        ([0.25, 0.7599], "yes", 0.7599),
        ([0.7401, 0.25], "No", 0.25),
        ([0.25, 0.75], None, 0.75),
    ],
)
def test_the_edges_of_what_is_a_score(parse: Any, probs: list[float], label: str, p_yes: float) -> None:
    """Certainty, a tie under either name, and sums that are off by what bfloat16 loses."""
    [score] = parse(answer(row(probs=probs, label=label)), 1)
    assert score.p_yes == pytest.approx(p_yes, abs=0.006)
    assert (score.logit > 0) is (p_yes > 0.5)
    assert not score.truncated


@pytest.mark.parametrize(
    ("broken", "error", "words"),
    [
        (row(probs=[0.25, 0.7399]), errors.ProtocolError, r"of row 0 don't add up to 1: \[0.25, 0.7399\]"),
        (row(probs=[0.25, 0.7601]), errors.ProtocolError, "add up"),
        (row(probs=[-0.001, 1.0]), errors.ProtocolError, "no usable probabilities"),
        (row(probs=[0.0, 1.001]), errors.ProtocolError, "no usable probabilities"),
        (row(probs=[1.005, 0.001], label="no"), errors.ProtocolError, "no usable probabilities"),
        (row(probs=[0.001, 1.005]), errors.ProtocolError, "no usable probabilities"),
        (row(probs=[1.001, 0.0], label="no"), errors.ProtocolError, "no usable probabilities"),
        (row(probs=[1.0, -0.001], label="no"), errors.ProtocolError, "no usable probabilities"),
        (row(probs=[True, 0.0], label="no"), errors.ProtocolError, "no usable probabilities"),
        (row(probs=[0.0, True]), errors.ProtocolError, "no usable probabilities"),
        (row(probs=["0.5", 0.5]), errors.ProtocolError, "no usable probabilities"),
        (row(probs=[0.49, 0.51], label="NO"), errors.SwappedLabelsError, "upside down"),
        (row(probs=[0.51, 0.49], label="Yes"), errors.SwappedLabelsError, "upside down"),
        (row(probs=[]), errors.ModelMismatchError, rf"labels \[\] where a reranker has two: {CONVERT_REMEDY}$"),
        (row(probs="ab"), errors.ProtocolError, "has no probabilities: ab"),
        (row(classes=1), errors.ModelMismatchError, f"where a reranker has two: {CONVERT_REMEDY}$"),
        (row(probs=[0.2, 0.3, 0.5], classes=3), errors.ModelMismatchError, "3 numbers may also be an embedding"),
        (row(probs=[0.007, 0.008] * 512, classes=1024), errors.ModelMismatchError, "without --is-embedding"),
        (row(7), errors.ProtocolError, "row 0 is out of place"),
        ({**row(), "index": None}, errors.ProtocolError, "row 0 is out of place"),
    ],
)
def test_beyond_the_edges(broken: object, error: type[errors.ServerError], words: str) -> None:
    """Each says what is wrong, also in a row behind a right one."""
    with pytest.raises(error, match=words) as caught:
        parse_classes(answer(broken), 1)
    assert caught.value.url == "http://server/v1/classify"
    if broken["index"] == 0:  # type: ignore[index] # it is a row
        broken = {**broken, "index": 1}  # type: ignore[dict-item] # as well
    with pytest.raises(error):
        parse_classes(answer(row(), broken), 2)


_EDGES = st.sampled_from([0.0, 1e-300, 0.25, 0.5, 0.75, 0.7601, 1.0, 1.001, -0.001, 0, 1, True, False, None, "0.5"])


_P = st.floats(0, 1) | _EDGES


_PROBS = _P.map(lambda p: [1 - p, p] if isinstance(p, float) else [p, p]) | st.lists(_P, max_size=3) | st.just("ab")


_LABEL = st.sampled_from(["yes", "no", "Yes", "NO", "LABEL_1", "", None, 7, ["no"], {}])


_ROW = st.fixed_dictionaries(
    {"probs": _PROBS, "label": _LABEL, "num_classes": st.sampled_from([2, 2, 2, None, 2.0, 1, True, [2]])}
)


def one_by_one(rows: list[dict[str, Any]]) -> list[tuple[float, float]] | tuple[type[Exception], str]:
    """What the rows give where each is an answer's only one that needs a close look; or the first one's error."""
    found = []
    for index, one in enumerate(rows):
        before: list[object] = [row(place) for place in range(index)]
        # A tie under the name "no" is right, and plain enough for no pass over all rows.
        after = row(index + 1, [0.5, 0.5], "no")
        try:
            score = parse_classes(answer(*before, {**one, "index": one.get("index", index)}, after), index + 2)[index]
        except errors.ServerError as error:
            return type(error), str(error)
        found.append((score.p_yes, score.logit))
    return found


@given(st.lists(_ROW, min_size=1, max_size=4))
def test_a_pass_over_all_rows_finds_what_a_close_look_at_each_does(rows: list[dict[str, Any]]) -> None:
    """The same scores, or the same error about the same row."""
    rows = [{"index": index, **one} for index, one in enumerate(rows)]
    try:
        found: object = [(one.p_yes, one.logit) for one in parse_classes(answer(*rows), len(rows))]
    except errors.ServerError as error:
        found = type(error), str(error)
    assert found == one_by_one(rows)


def test_an_ordinary_answer_costs_no_score_per_row() -> None:
    """Certainty included. Where one row needs a close look, all of them are looked at."""
    usual = [row(), row(1, [0.9, 0.1], "No"), row(2, [1e-9, 1.0]), row(3, [0.0, 1.0])]
    found = parse_classes(answer(*usual), 4)
    assert isinstance(found, Scores)
    assert [(one.p_yes, one.logit) for one in found] == [*zip(found.p_yes(), found.logits(), strict=True)]
    assert isinstance(parse_classes(answer(*usual, row(4, [0.5, 0.5], "no")), 5), list)


@pytest.mark.parametrize(
    ("p_yes", "right"), [(0, True), (1, True), (0.0, True), (1.0, True), (-1e-9, False), (True, False)]
)
def test_the_edges_of_one_label(p_yes: float, right: bool) -> None:
    """vLLM's sigmoid."""
    response = answer(row(probs=[p_yes], classes=1))
    if right:
        assert parse_vllm_classes(response, 1)[0].p_yes == pytest.approx(p_yes, abs=1e-9)
    else:
        with pytest.raises(errors.ProtocolError, match="row 0 has no usable probability"):
            parse_vllm_classes(response, 1)


def test_how_many_rows_came() -> None:
    """Both numbers are told."""
    with pytest.raises(errors.ProtocolError, match="1 documents sent, 2 rows came back"):
        parse_classes(answer(row(), row(1)), 1)
    with pytest.raises(errors.ProtocolError, match="1 documents sent, no rows came back"):
        parse_classes(Response("u", 200, b"{}"), 1)


def ok(body: bytes = b"{}", limit: int = 9, status: int = 200, **headers: str) -> Response:
    """As it came."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return received("u", status, named, body, limit=limit, now=0)


def test_the_first_name_is_the_one_to_keep() -> None:
    """One of several will do; an answer without a name says nothing."""
    names = Names()
    names.confirm("u", None, "", 7)
    names.confirm("u", "one")
    names.confirm("u", "two", "one")
    names.confirm("u")
    with pytest.raises(errors.ModelReplacedError, match='as "one" before and as "two" now: call again'):
        names.confirm("u", None, "two", "three")


def test_an_answer_without_a_name_says_nothing_later_either() -> None:
    """Whatever stands in its place; of several names the first is the one to keep."""
    names = Names()
    names.confirm("u", "one", "two")
    for nothing in (None, "", 7):
        names.confirm("u", nothing)
    with pytest.raises(errors.ModelReplacedError, match='as "one" before and as "two" now'):
        names.confirm("u", "two")


@pytest.mark.parametrize("parse", [parse_classes, parse_vllm_classes])
@pytest.mark.parametrize("probs", [[0.25, 0.75], [0, 1], [0.75]])
def test_a_row_belongs_to_its_place(parse: Any, probs: list[float]) -> None:
    """In lists of any length; a row that comes a second time is another document's."""
    if len(probs) == 1 and parse is parse_classes:
        return
    rows = [row(index, probs, classes=len(probs)) for index in range(300)]
    assert {score.p_yes for score in parse(answer(*rows), 300)} == {probs[-1]}
    with pytest.raises(errors.ProtocolError, match="row 299"):
        parse(answer(*rows[:-1], rows[0]), 300)


def test_one_label_is_one_number() -> None:
    """Of vLLM too: without any, the model is another one."""
    with pytest.raises(errors.ModelMismatchError):
        parse_vllm_classes(answer(row(probs=[])), 1)


def calls(response: Response, count: int) -> int:
    """How many functions of the library are called to read the answer; not what the garbage collector calls."""
    made = 0

    def hook(frame: FrameType, event: str, _: object) -> None:
        nonlocal made
        made += event == "call" and str(frame.f_globals.get("__name__")).startswith("qwen3_sglang.")

    sys.setprofile(hook)
    try:
        parse_classes(response, count)
    finally:
        sys.setprofile(None)
    return made


@pytest.mark.parametrize(
    ("probs", "label"),
    [
        ([0.25, 0.75], "yes"),
        ([0.75, 0.25], "no"),
        ([0.25, 0.75], "LABEL_1"),
        ([1e-9, 0.9909], None),
        ([0.999, 1e-9], None),
        ([0.0, 1.0], "yes"),
        ([1.0, 0.0], "no"),
    ],
)
def test_a_right_row_costs_no_call(probs: list[float], label: str) -> None:
    """Most time between two lists would go there: long answers take as many calls as short ones."""
    short_one, long_one = (answer(*(row(index, probs, label) for index in range(count))) for count in (2, 400))
    assert calls(short_one, 2) == calls(long_one, 400)
