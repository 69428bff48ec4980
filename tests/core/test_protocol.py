"""What is asked, in which order, without a server."""

from __future__ import annotations

import json

import pytest

from qwen3_sglang import errors
from qwen3_sglang.answers import Response
from qwen3_sglang.prompt import SUFFIX
from qwen3_sglang.protocol import Call, ask_served, score_documents


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


def owned_by(owner: str) -> Response:
    """A model list."""
    return Response("u", 200, json.dumps({"data": [{"id": "m", "owned_by": owner}]}).encode())


@pytest.mark.parametrize(
    ("endpoint", "refusal", "models", "words"),
    [
        ("v1/classify", Response("u", 404, b"{}"), owned_by("vllm"), 'endpoint="classify"'),
        ("v1/score", Response("u", 404, b"{}"), owned_by("vllm"), 'endpoint="classify"'),
        ("v1/score", Response("u", 404, b"{}"), owned_by("gateway"), 'endpoint="v1/classify"'),
        ("classify", Response("u", 200, b"[]"), owned_by("sglang"), 'endpoint="v1/classify"'),
        ("v1/classify", Response("u", 404, b"{}"), owned_by("sglang"), "wrong path in base_url"),
        ("v1/score", Response("u", 404, b"{}"), Response("u", 404, b"{}"), "wrong path in base_url"),
    ],
)
def test_a_missing_endpoint_names_the_right_one(endpoint: str, refusal: Response, models: Response, words: str) -> None:
    """By who says that it owns the model."""
    steps = score_documents(Call("m", "head ", 8192, None, endpoint), ["d"])
    assert next(steps).path == f"/{endpoint}"
    assert steps.send(refusal).path == "/v1/models"
    with pytest.raises(errors.NotSGLangError, match=words):
        steps.send(models)


def test_each_endpoint_gets_the_same_prompt() -> None:
    """The query goes once with /v1/score, and with every prompt elsewhere."""
    bodies = {
        name: json.loads(next(score_documents(Call("m", "head ", 8192, None, name), ["a", "b"])).body or b"")
        for name in ("v1/classify", "v1/score", "classify")
    }
    assert bodies["v1/classify"] == bodies["classify"] == {"model": "m", "input": [f"head {d}{SUFFIX}" for d in "ab"]}
    score = bodies["v1/score"]
    assert [score["query"] + item for item in score["items"]] == bodies["classify"]["input"]
    assert score["apply_softmax"] is True
