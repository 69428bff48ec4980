"""Every check on a response, without a server."""

from __future__ import annotations

import json

import pytest

from qwen3_sglang import errors
from qwen3_sglang.protocol.answers import (
    Names,
    Response,
    failure_of,
    parse_classes,
    parse_items,
    parse_vllm_classes,
    received,
    server_words,
)


def row(index: int = 0, probs: object = (0.25, 0.75), label: str = "yes", classes: int = 2) -> dict[str, object]:
    """One row as SGLang writes it."""
    return {"index": index, "label": label, "probs": probs, "num_classes": classes}


def answer(*rows: object, status: int = 200) -> Response:
    """A whole answer."""
    return Response("http://server/v1/classify", status, json.dumps({"data": rows}).encode())


def test_scores_in_order() -> None:
    """P(yes) is the second probability."""
    assert [s.p_yes for s in parse_classes(answer(row(), row(1, [0.9, 0.1], "no")), 2)] == [0.75, 0.1]


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


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (302, errors.NotSGLangError),
        (400, errors.RequestRejectedError),
        (401, errors.AuthenticationError),
        (403, errors.AuthenticationError),
        (404, errors.NotSGLangError),
        (413, errors.RequestRejectedError),
        (422, errors.RequestRejectedError),
        (429, errors.ServerOverloadedError),
        (500, errors.ServerFailureError),
        (502, errors.ServerFailureError),
        (503, errors.ServerOverloadedError),
    ],
)
def test_status_to_error(status: int, error: type[errors.ServerError]) -> None:
    """One table from status to type."""
    assert type(failure_of(Response("u", status, b"words"))) is error


def test_gateway_without_the_model() -> None:
    """A 404 that speaks of the model isn't a wrong address."""
    body = b'{"error":{"message":"no worker for x","code":"model_not_found"}}'
    found = failure_of(Response("u", 404, body.replace(b"no worker for x", b"model x not found")))
    assert type(found) is errors.ModelNotFoundError


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"object":"error","message":"too long","code":400}', "too long"),
        (b'{"error":{"message":"from the gateway"}}', "from the gateway"),
        (b'{"error":"Unauthorized"}', "Unauthorized"),
        (b"plain text", "plain text"),
        (b"", "an empty body"),
    ],
)
def test_the_servers_own_words(body: bytes, words: str) -> None:
    """All three shapes of an error."""
    assert server_words(body) == words


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


@pytest.mark.parametrize("location", ["http://\udce9.example/", "http://é.example/", "http://密.example/"])
def test_a_redirect_can_be_printed(location: str) -> None:
    """aiohttp reads bytes that aren't UTF-8 as lone surrogates, which no terminal and no log file takes."""
    response = received("u", 302, {"Location": location}, b"", limit=9, now=0)
    assert ".example" in str(failure_of(response))
    str(failure_of(response)).encode()


def test_v1_score_from_two_models() -> None:
    """Where a server names the model that answered, it is heard."""
    names = Names()
    rows = {"scores": [[0.5, 0.5]]}
    parse_items(Response("u", 200, json.dumps({**rows, "model": "one"}).encode()), 1, names)
    with pytest.raises(errors.ModelReplacedError):
        parse_items(Response("u", 200, json.dumps({**rows, "model": "two"}).encode()), 1, names)
