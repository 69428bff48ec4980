from __future__ import annotations

import math
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from qwen3_sglang import local
from qwen3_sglang.errors import ConversionError, InvalidInputError, MissingDependencyError

CLASSIFY, SCORE, TOKENIZE = "/v1/classify", "/v1/score", "/tokenize"


@pytest.fixture(scope="module")
def url(converted_toy: Path) -> Iterator[str]:
    with local.run_in_thread(converted_toy) as base_url:
        yield base_url


def post(url: str, body: object, **headers: str) -> requests.Response:
    return requests.post(url, json=body, headers=headers, timeout=30)


def probs(url: str, body: dict[str, Any]) -> list[list[float]]:
    return [item["probs"] for item in post(url + CLASSIFY, body).json()["data"]]


def test_classify_answers_like_sglang(url: str, converted_toy: Path) -> None:
    answer = post(url + CLASSIFY, {"input": ["hello world", "other"]}).json()
    assert answer["object"] == "list"
    assert answer["model"] == str(converted_toy)
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 0
    for index, item in enumerate(answer["data"]):
        assert set(item) == {"index", "label", "probs", "num_classes"}
        assert (item["index"], item["num_classes"]) == (index, 2)
        assert item["label"] in {"no", "yes"}
        assert math.isclose(sum(item["probs"]), 1)


def test_text_ids_and_score_agree(url: str) -> None:
    tokens = post(url + TOKENIZE, {"prompt": "hello world"}).json()["tokens"]
    [expected] = probs(url, {"input": "hello world"})
    assert probs(url, {"input": tokens}) == [pytest.approx(expected)]
    for query, items in (("hello", [" world"]), (tokens[:1], [tokens[1:]]), (None, "hello world")):
        body = {"query": query, "items": items, "apply_softmax": True}
        assert post(url + SCORE, body).json()["scores"] == [pytest.approx(expected)]


def test_score_without_softmax_gives_logits(url: str) -> None:
    body = {"query": "hello", "items": [" world"]}
    [[no, yes]] = post(url + SCORE, body).json()["scores"]
    [[_, p_yes]] = post(url + SCORE, {**body, "apply_softmax": True}).json()["scores"]
    assert 1 / (1 + math.exp(no - yes)) == pytest.approx(p_yes)


def test_score_takes_no_items(url: str) -> None:
    assert post(url + SCORE, {"query": "a", "items": []}).json()["scores"] == []


REFUSED = [
    (CLASSIFY, {"input": []}, "Input cannot be empty"),
    (CLASSIFY, {"input": ""}, "Input cannot be empty"),
    (CLASSIFY, {"input": " "}, "Input cannot be empty or whitespace only"),
    (CLASSIFY, {"input": ["ok", " "]}, "Input at index 1 cannot be empty or whitespace only"),
    (CLASSIFY, {"input": [-1]}, "Token ID at index 0 must be non-negative"),
    (
        CLASSIFY,
        {"input": [1] * 8193},
        "The input (8193 tokens) is longer than the model's context length (8192 tokens).",
    ),
    (SCORE, {"query": "a"}, "items must be provided"),
    (SCORE, {"query": [1], "items": ["a"]}, "Invalid combination of query/items types for score_request."),
]


@pytest.mark.parametrize(("path", "body", "message"), REFUSED)
def test_refuses_in_sglangs_words(url: str, path: str, body: object, message: str) -> None:
    answer = post(url + path, body)
    assert answer.status_code == 400
    assert answer.json() == {
        "object": "error",
        "message": message,
        "type": "BadRequestError",
        "param": None,
        "code": 400,
    }


MALFORMED = [
    (CLASSIFY, {"model": "x"}),
    (CLASSIFY, {"input": None}),
    (CLASSIFY, {"input": 5}),
    (CLASSIFY, {"input": ["a", 5]}),
    (CLASSIFY, {"input": [[1], [2]]}),
    (CLASSIFY, {"input": "\ud800"}),
    (CLASSIFY, [1]),
    (SCORE, {"query": 5, "items": ["a"]}),
    (SCORE, {"query": "a", "items": [5]}),
    (TOKENIZE, {}),
    (TOKENIZE, {"prompt": 5}),
    (TOKENIZE, {"prompt": ["a", 5]}),
]


@pytest.mark.parametrize(("path", "body"), MALFORMED)
def test_refuses_a_wrong_shape(url: str, path: str, body: object) -> None:
    answer = post(url + path, body)
    assert (answer.status_code, answer.json()["type"]) == (400, "Bad Request")


@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
def test_refuses_what_is_no_json(url: str, content_type: str) -> None:
    data = '{"input":' if content_type == "application/json" else '{"input": "a"}'
    answer = requests.post(url + CLASSIFY, data=data, headers={"content-type": content_type}, timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (400, 400)


@pytest.mark.parametrize("body", [{"query": "", "items": [""]}, {"query": [10**6], "items": [[1]]}])
def test_what_would_take_sglang_down_is_refused(url: str, body: object) -> None:
    assert post(url + SCORE, body).status_code == 400
    assert requests.get(url + "/health", timeout=30).status_code == 200


def test_tokenize(url: str) -> None:
    one = post(url + TOKENIZE, {"prompt": "hello world"}).json()
    assert (one["count"], one["max_model_len"]) == (len(one["tokens"]), 8192)
    many = post(url + TOKENIZE, {"prompt": ["hello world", ""]}).json()
    assert (many["tokens"], many["count"]) == ([one["tokens"], []], [one["count"], 0])


def test_says_what_it_serves(url: str, converted_toy: Path) -> None:
    [card] = requests.get(url + "/v1/models", timeout=30).json()["data"]
    assert (card["id"], card["max_model_len"]) == (str(converted_toy), 8192)
    info = requests.get(url + "/model_info", timeout=30).json()
    assert info["architectures"] == ["Qwen3ForSequenceClassification"]
    assert info["is_generation"] is False


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), (CLASSIFY, 405)])
def test_other_routes(url: str, path: str, status: int) -> None:
    assert requests.get(url + path, timeout=30).status_code == status


def test_many_at_once_get_their_own_scores(url: str) -> None:
    texts = [f"text {'word ' * n}" for n in range(16)]
    expected = [probs(url, {"input": text})[0] for text in texts]
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda text: probs(url, {"input": text})[0], texts))
    for pair, other in zip(got, expected, strict=True):
        assert pair == pytest.approx(other, abs=1e-4)


def test_key_guards_all_but_health(converted_toy: Path) -> None:
    with local.run_in_thread(converted_toy, api_key="made-up") as url:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic made-up"}):
            answer = post(url + CLASSIFY, {"input": "a"}, **headers)
            assert (answer.status_code, answer.json()) == (401, {"error": "Unauthorized"})
        assert requests.get(url + "/v1/models", timeout=30).status_code == 401
        assert requests.get(url + "/health", timeout=30).status_code == 200
        for scheme in ("Bearer", "bearer"):
            answer = post(url + CLASSIFY, {"input": "a"}, authorization=f"{scheme} made-up")
            assert answer.status_code == 200


def test_stops_on_exit(converted_toy: Path) -> None:
    with local.run_in_thread(converted_toy) as url:
        assert requests.get(url + "/health", timeout=30).status_code == 200
    with pytest.raises(requests.ConnectionError):
        requests.get(url + "/health", timeout=5)


def test_a_taken_port_is_raised(converted_toy: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):  # noqa: SIM117 - the port is taken first
        with local.run_in_thread(converted_toy, port=taken.getsockname()[1]):
            pass


def test_an_unconverted_model_is_raised(causal_toy: Path) -> None:
    with pytest.raises(ConversionError), local.run_in_thread(causal_toy):
        pass


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.com", ""])  # noqa: S104 - that it is refused is the test
def test_an_open_address_needs_a_key(converted_toy: Path, host: str) -> None:
    with pytest.raises(InvalidInputError, match="api_key"):
        local.serve(converted_toy, host=host)


def test_a_blank_key_is_no_key(converted_toy: Path) -> None:
    with pytest.raises(InvalidInputError, match="api_key"):
        local.serve(converted_toy, api_key=" ")


def test_without_torch_the_extra_is_named(converted_toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("server", "engine"):
        monkeypatch.delitem(sys.modules, f"qwen3_sglang.local.{name}", raising=False)
    monkeypatch.delattr(local, "server", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"torch.*qwen3-sglang\[local\]"):
        local.serve(converted_toy)
