"""Every check on a response, without a server."""

from __future__ import annotations

import json

import pytest

from qwen3_sglang import errors
from qwen3_sglang.prompt import SUFFIX
from qwen3_sglang.protocol import Call, Response, ask_served, failure_of, parse_scores, score_documents, server_words


def row(index: int = 0, probs: object = (0.25, 0.75), label: str = "yes", classes: int = 2) -> dict[str, object]:
    """One row as SGLang writes it."""
    return {"index": index, "label": label, "probs": probs, "num_classes": classes}


def answer(*rows: object, status: int = 200) -> Response:
    """A whole answer."""
    return Response("http://server/v1/classify", status, json.dumps({"data": rows}).encode())


def test_scores_in_order() -> None:
    """P(yes) is the second probability."""
    assert [s.p_yes for s in parse_scores(answer(row(), row(1, [0.9, 0.1], "no")), 2)] == [0.75, 0.1]


@pytest.mark.parametrize("label", ["LABEL_1", "yes", "YES", "", None])
def test_labels_of_any_name(label: str) -> None:
    """The usual recipe calls its labels LABEL_0 and LABEL_1."""
    assert parse_scores(answer(row(label=label)), 1)[0].p_yes == 0.75


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
        parse_scores(response, 1)
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


@pytest.mark.parametrize(
    ("info", "error"),
    [
        (b'{"architectures":["Qwen3ForCausalLM"]}', errors.UnconvertedModelError),
        (b'{"architectures":["LlamaForCausalLM"]}', errors.ModelMismatchError),
        (b'{"architectures":["Qwen3ForSequenceClassification"]}', errors.RequestRejectedError),
        (b"nothing", errors.RequestRejectedError),
    ],
)
def test_a_refusal_is_explained_by_what_is_served(info: bytes, error: type[errors.ServerError]) -> None:
    """The flow asks /model_info after a refusal, and only then."""
    steps = score_documents(Call("toy", "head ", 8192), ["p"])
    assert json.loads(next(steps).body or b"") == {"model": "toy", "input": [f"head p{SUFFIX}"]}
    assert steps.send(Response("u", 400, b'{"message":"not an embedding model"}')).path == "/model_info"
    with pytest.raises(errors.ServerError) as caught:
        steps.send(Response("u", 200, info))
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("row", "limit"),
    [({"max_model_len": 512}, 511), ({}, None), ({"max_model_len": None}, None), ({"max_model_len": "512"}, None)],
)
def test_the_servers_limit(row: dict[str, object], limit: int | None) -> None:
    """SGLang refuses a prompt of exactly its context length; a gateway may not say any."""
    steps = ask_served()
    assert next(steps).path == "/v1/models"
    with pytest.raises(StopIteration) as stop:
        steps.send(Response("u", 200, json.dumps({"data": [{"id": "toy", **row}]}).encode()))
    assert (stop.value.value.model, stop.value.value.max_length) == ("toy", limit)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b'{"tokens":[[1]],"count":[1]}', errors.ProtocolError),
        (200, b'{"tokens":[1,2,3],"count":3}', errors.ProtocolError),
        (500, b"broken", errors.ServerFailureError),
        (401, b'{"error":"Unauthorized"}', errors.AuthenticationError),
    ],
)
def test_a_broken_tokenizer_never_cuts(status: int, body: bytes, error: type[errors.ServerError]) -> None:
    """Three texts are asked for: head, suffix and document."""
    steps = score_documents(Call("toy", "head ", 100), ["long " * 100])
    assert next(steps).path == "/tokenize"
    with pytest.raises(error):
        steps.send(Response("u", status, body))
