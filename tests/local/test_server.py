"""The embedded server: SGLang's routes, its checks and its errors.

Tests of `local/endpoints.py`.
"""

from __future__ import annotations

import asyncio
import json
import math
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from qwen3_sglang import RerankClient, local
from qwen3_sglang.errors import ConversionError, InvalidInputError, MissingDependencyError, ServerOverloadedError
from qwen3_sglang.local.engine import Engine
from qwen3_sglang.local.openapi import OPERATIONS
from qwen3_sglang.local.server import create_app
from qwen3_sglang.names import PATIENCE
from qwen3_sglang.serving.in_thread import run_app

CLASSIFY, SCORE, TOKENIZE = "/v1/classify", "/v1/score", "/tokenize"


@pytest.fixture(scope="module")
def url(converted_toy: Path) -> Iterator[str]:
    with local.run_in_thread(converted_toy, device="cpu", dtype="float32") as base_url:
        yield base_url


def post(url: str, body: object, **headers: str) -> requests.Response:
    return requests.post(url, json=body, headers=headers, timeout=30)


def probs(url: str, body: dict[str, Any]) -> list[list[float]]:
    return [item["probs"] for item in post(url + CLASSIFY, body).json()["data"]]


def test_classify_answers_like_sglang(url: str, converted_toy: Path) -> None:
    answer = post(url + CLASSIFY, {"input": ["hello world", "other"]}).json()
    assert answer["object"] == "list"
    assert answer["model"] == converted_toy.name
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
    assert (card["id"], card["max_model_len"]) == (converted_toy.name, 8192)
    info = requests.get(url + "/model_info", timeout=30).json()
    assert info["architectures"] == ["Qwen3ForSequenceClassification"]
    assert info["is_generation"] is False


@pytest.mark.parametrize("path", ["/v1/models", "/model_info", "/playground/api/info", "/openapi.json"])
def test_no_path_of_this_machine_is_told(url: str, converted_toy: Path, path: str) -> None:
    """The folder's name is enough."""
    assert str(converted_toy.parent) not in requests.get(url + path, timeout=30).text


def test_a_name_for_clients(converted_toy: Path) -> None:
    """Instead of the folder's."""
    with local.run_in_thread(converted_toy, device="cpu", dtype="float32", name="Qwen/Qwen3-Reranker-0.6B") as url:
        [card] = requests.get(url + "/v1/models", timeout=30).json()["data"]
    assert card["id"] == "Qwen/Qwen3-Reranker-0.6B"


ROUTES = [*OPERATIONS, "/", "/playground.js", "/playground/api/info", "/playground/api/rerank", "/nothing"]


@pytest.mark.parametrize("path", ROUTES)
def test_every_route_is_guarded_against_rebound_names(url: str, path: str) -> None:
    """Without a key, on a loopback address."""
    for method in ("GET", "POST"):
        answer = requests.request(method, url + path, headers={"Host": "evil.example:30000"}, timeout=30)
        assert (answer.status_code, "--allow-host evil.example" in answer.text) == (403, True)


def test_an_open_address_with_names(converted_toy: Path) -> None:
    """A compose network's name, and probes by address, but no other name; no key."""
    everywhere = "0.0.0.0"  # noqa: S104 - it is there for the time of the test
    with local.run_in_thread(
        converted_toy, device="cpu", dtype="float32", host=everywhere, allow_hosts=["reranker"]
    ) as url:
        port = url.rpartition(":")[2]
        for host, status in (("reranker:30000", 200), (f"10.1.2.3:{port}", 200), ("[::1]", 200), ("a.example", 403)):
            got = requests.get(f"http://127.0.0.1:{port}/health", headers={"Host": host}, timeout=30)
            assert (host, got.status_code) == (host, status)


def test_what_takes_too_long_is_refused_with_the_figure(converted_toy: Path) -> None:
    """At once, as something that a client doesn't try again: Retry-After is more than it can wait."""
    app = create_app(Engine(converted_toy, device="cpu", dtype="float32"), speed=1.0)
    with run_app(app) as url:
        answer = post(url + CLASSIFY, {"input": ["hello"]}, **{PATIENCE: "0.5"})
        assert (answer.status_code, answer.json()["code"]) == (503, 503)
        needed = int(answer.headers["retry-after"])
        assert needed >= 1
        assert f"about {needed} s here, and the client waits 0.5 s" in answer.json()["message"]
        for value in ("1e9", "nan", "-1", "soon", "", "1000"):
            assert post(url + CLASSIFY, {"input": ["hello"]}, **{PATIENCE: value}).status_code == 200


async def test_our_client_says_how_long_it_waits_and_gives_up_at_once(converted_toy: Path) -> None:
    """One request, sync and async: no retry could help."""
    asked: list[str] = []
    app = create_app(Engine(converted_toy, device="cpu", dtype="float32"), speed=1e-3)

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            asked.append(scope["path"])
        await app(scope, receive, send)

    with run_app(counting) as url, RerankClient(url, timeout=60, model="toy") as client:
        with pytest.raises(ServerOverloadedError, match=r"the client waits (60|59\.\d+) s"):
            await asyncio.to_thread(client.rerank, "q", ["d"])
        with pytest.raises(ServerOverloadedError, match=r"the client waits (60|59\.\d+) s"):
            await client.arerank("q", ["d"])
        await client.aclose()
    assert asked.count(CLASSIFY) == 2


class Watched:
    """Tells how many layers an engine has computed."""

    def __init__(self, engine: Engine) -> None:
        self.layers = 0
        self.started = threading.Event()
        for layer in engine._model.layers:
            layer.mlp.gate_proj.register_forward_pre_hook(self._count)

    def _count(self, module: object, args: object) -> None:
        self.layers += 1
        self.started.set()


@pytest.mark.parametrize("path", [CLASSIFY, "/playground/api/rerank"])
def test_who_hangs_up_costs_no_further_computing(converted_toy: Path, path: str) -> None:
    """What waits isn't started, what runs ends within a layer; the log has no traceback, and others are served."""
    engine = Engine(converted_toy, device="cpu", dtype="float32", threads=1)
    text = "word " * 1500
    body = (
        {"input": [text] * 300}
        if path == CLASSIFY
        else {"query": "q", "documents": [f"{n} {text}" for n in range(300)]}
    )
    watched = Watched(engine)
    with run_app(create_app(engine)) as url:
        for _ in range(2):  # the second waits behind the first
            hang_up(url, path, body, watched.started)
        answer = post(url + CLASSIFY, {"input": ["hello"]})
        assert answer.status_code == 200
    assert watched.layers < 5 * len(engine._model.layers)


def hang_up(url: str, path: str, body: object, started: threading.Event) -> None:
    """Send a request, and leave once something is computed."""
    data = json.dumps(body).encode()
    parts = urlsplit(url)
    with socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=30) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        assert started.wait(60)


def test_disconnects_leave_no_traceback(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """In the middle of the headers, of the body, and while waiting for the answer."""
    parts = urlsplit(url)
    head = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 20\r\n"
    for sent in (head, head + b"\r\n{", head + b'\r\n{"input": "abcdefg"}'):
        for _ in range(5):
            with socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=30) as connection:
                connection.sendall(sent)
    assert requests.get(url + "/health", timeout=30).status_code == 200
    assert [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}] == []


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
    with local.run_in_thread(converted_toy, device="cpu", dtype="float32", api_key="made-up") as url:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic made-up"}):
            answer = post(url + CLASSIFY, {"input": "a"}, **headers)
            assert (answer.status_code, answer.json()) == (401, {"error": "Unauthorized"})
        assert requests.get(url + "/v1/models", timeout=30).status_code == 401
        assert requests.get(url + "/health", timeout=30).status_code == 200
        for scheme in ("Bearer", "bearer"):
            answer = post(url + CLASSIFY, {"input": "a"}, authorization=f"{scheme} made-up")
            assert answer.status_code == 200


def test_stops_on_exit(converted_toy: Path) -> None:
    with local.run_in_thread(converted_toy, device="cpu", dtype="float32") as url:
        assert requests.get(url + "/health", timeout=30).status_code == 200
    with pytest.raises(requests.ConnectionError):
        requests.get(url + "/health", timeout=5)


def test_a_taken_port_is_raised(converted_toy: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):  # noqa: SIM117 - the port is taken first
        with local.run_in_thread(converted_toy, device="cpu", dtype="float32", port=taken.getsockname()[1]):
            pass


def test_a_model_that_cannot_be_served_is_raised(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["BertModel"]}')
    with pytest.raises(ConversionError), local.run_in_thread(tmp_path):
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
