"""Documents cut and prompts counted by the server's tokenizer: in parts, again, or without it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from qwen3_sglang import errors
from qwen3_sglang.prompts.template import QWEN3
from qwen3_sglang.prompts.tokenizer import TokenizerFailedError
from qwen3_sglang.prompts.truncate import Fitted
from qwen3_sglang.protocol.exchange import Compute, Pause, Request, Run, Steps
from qwen3_sglang.protocol.responses import Response
from qwen3_sglang.protocol.tokenizing import PORTION, TokenCounter
from steps import PATIENCE, Letters

HEAD = QWEN3.head("q")
COUNTER = TokenCounter("toy", PATIENCE)


class Server:
    """A tokenizer with a token for each character, behind a proxy that takes `most` bytes per request."""

    def __init__(self, most: int = 2**20, faults: tuple[Response, ...] = ()) -> None:
        self.most, self.faults = most, list(faults)
        self.asked: list[list[Any]] = []
        self.sizes: list[int] = []

    def answer(self, request: Request) -> Response:
        """As SGLang answers it."""
        if self.faults:
            return self.faults.pop(0)
        body = request.body or b""
        asked = json.loads(body)
        assert asked["model"] == "toy"
        if len(body) > self.most:
            return Response("u", 413, b"<html>413 Request Entity Too Large</html>")
        self.sizes.append(len(body))
        if request.path == "/tokenize":
            assert asked["add_special_tokens"] is False
            self.asked.append(asked["prompt"])
            return Response("u", 200, json.dumps({"tokens": [list(map(ord, t)) for t in asked["prompt"]]}).encode())
        assert request.path == "/detokenize"
        assert asked["skip_special_tokens"] is False
        return Response("u", 200, json.dumps({"text": ["".join(map(chr, ids)) for ids in asked["tokens"]]}).encode())

    def run(self, steps: Steps[Any]) -> Any:
        """What the steps come to."""
        run = Run(steps)
        step = run.step()
        while step is not None:
            if isinstance(step, Compute):
                step = run.step(step.do())
            else:
                step = run.step(None if isinstance(step, Pause) else self.answer(step))
        return run.result


def room(limit: int) -> int:
    """Characters that a document may have: the space in front of it is a token too."""
    return limit - len(HEAD.text) - len(QWEN3.suffix)


LONG = [f"{number} " + "word " * 900 for number in range(6)]


def test_cut_where_the_server_says() -> None:
    """The first tokens that fit."""
    assert Server().run(COUNTER.fit(HEAD, ["short", LONG[0]], 2000)) == [
        Fitted("short"),
        Fitted(LONG[0][: room(2000)], truncated=True),
    ]


@pytest.mark.parametrize("most", [30_000, 14_000])
def test_413_makes_requests_smaller(most: int) -> None:
    """nginx takes 1 MiB unless told otherwise; every document is cut as it would be in one request."""
    whole, small = Server(), Server(most=most)
    assert small.run(COUNTER.fit(HEAD, LONG, 2000)) == whole.run(COUNTER.fit(HEAD, LONG, 2000))
    assert max(whole.sizes) > most >= max(small.sizes)
    assert small.run(COUNTER.count(HEAD.prompts(LONG))) == whole.run(COUNTER.count(HEAD.prompts(LONG)))


def test_what_is_too_large_alone_is_cut_by_bytes(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody counts its tokens; the documents before it are cut by tokens still."""
    documents = [LONG[0], "x" * PORTION]
    found = Server(most=50_000).run(COUNTER.fit(HEAD, documents, 8192 * 5))
    assert [(one.truncated, len(one.text)) for one in found] == [(False, len(LONG[0])), (True, room(8192 * 5))]
    assert "HTTP 413" in caplog.text
    assert "pass tokenizer=" in caplog.text
    assert Server(most=50_000).run(COUNTER.count(["x" * PORTION])) == [None]


def test_many_long_documents_go_in_portions() -> None:
    """So that neither a request nor what is computed at once grows with the list."""
    documents = ["x" * 40_000] * 40
    server = Server()
    found = server.run(COUNTER.fit(HEAD, documents, 8192))
    assert found == [Fitted("x" * room(8192), truncated=True)] * 40
    # Six documents of 40,000 characters are less than 256 Ki; with each portion go the head and the suffix.
    assert [len(texts) for texts in server.asked[::2]] == [6 + 2] * 6 + [4 + 2]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_passes_is_asked_again(status: int) -> None:
    """As a list of prompts is."""
    server = Server(faults=(Response("u", status, b"down"),) * 2)
    [found] = server.run(COUNTER.fit(HEAD, [LONG[0]], 2000))
    assert found.truncated
    with pytest.raises(errors.ServerError) as caught:
        Server(faults=(Response("u", status, b"down"),) * 9).run(COUNTER.fit(HEAD, [LONG[0]], 2000))
    assert caught.value.attempts == 3


@pytest.mark.parametrize("status", [404, 405, 501])
def test_without_a_tokenizer_bytes_decide(status: int, caplog: pytest.LogCaptureFixture) -> None:
    """A gateway doesn't route it."""
    server = Server(faults=(Response("u", status, b"{}"),) * 9)
    assert server.run(COUNTER.fit(HEAD, [LONG[0]], 2000)) == [Fitted(LONG[0][: room(2000)], truncated=True)]
    assert "pass tokenizer=" in caplog.text
    assert server.run(COUNTER.count(["a", "b"])) == [None, None]


@pytest.mark.parametrize("status", [400, 422])
def test_who_takes_no_lists_counts_none(status: int) -> None:
    """vLLM takes one text at a time."""
    refuse = Response("u", status, b'{"error": "prompt: a string, please"}')
    assert Server(faults=(refuse,) * 2).run(COUNTER.count(["a", "b"])) == [None, None]


def test_a_text_that_is_too_large_alone_is_not_sent_again() -> None:
    """It can't be halved."""
    server, sent = Server(most=50), 0
    steps: Run[Any] = Run(COUNTER.count(["x" * 100]))
    step = steps.step()
    while step is not None:
        assert isinstance(step, Request)
        sent += 1
        step = steps.step(server.answer(step))
    assert (sent, steps.result) == (1, [None])


@pytest.mark.parametrize("body", [b'{"tokens":[[1],[2]]}', b'{"tokens":[]}', b'{"tokens":["a"]}', b'{"tokens":"a"}'])
def test_as_many_rows_as_texts(body: bytes) -> None:
    """Else one text would get another's tokens."""
    with pytest.raises(errors.ProtocolError, match="1 lists asked for"):
        Server(faults=(Response("u", 200, body),)).run(COUNTER.count(["a"]))


def test_more_texts_than_small_numbers() -> None:
    """One row for each of them."""
    assert Server().run(COUNTER.count(["ab"] * 300)) == [2] * 300


class Broken(Letters):
    """A tokenizer whose library fails, or that has a mistake of its own."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def encode(self, texts: list[str]) -> list[list[int]]:
        raise self.error


def test_a_tokenizer_that_fails_counts_nothing() -> None:
    """Bytes decide then; what isn't its library's failure is raised."""
    assert Server().run(TokenCounter("toy", PATIENCE, Broken(TokenizerFailedError("odd"))).count(["a"])) == [None]
    with pytest.raises(ZeroDivisionError):
        Server().run(TokenCounter("toy", PATIENCE, Broken(ZeroDivisionError())).count(["a"]))


@pytest.mark.parametrize("status", [401, 403, 423])
def test_another_refusal_is_raised(status: int) -> None:
    """It is about more than lists."""
    with pytest.raises(errors.ServerError):
        Server(faults=(Response("u", status, b"{}"),) * 9).run(COUNTER.count(["a"]))


@pytest.mark.parametrize(
    "text", ["", "something else", "\ufffd" * 9, "a" * 10_000, " 0 word wor\ufffd\ufffd\ufffd\ufffd"]
)
def test_a_wrong_detokenize(text: str) -> None:
    """A prompt is never made of a text that isn't the document; the start of it is no wrong one."""

    class Wrong(Server):
        def answer(self, request: Request) -> Response:
            count = len(json.loads(request.body or b"{}").get("tokens", []))
            wrong = Response("u", 200, json.dumps({"text": [text] * count}).encode())
            return wrong if request.path == "/detokenize" else super().answer(request)

    if text == "":
        assert Wrong().run(COUNTER.fit(HEAD, [LONG[0]], 2000)) == [Fitted("", truncated=True)]
        return
    with pytest.raises(errors.ProtocolError, match="give back"):
        Wrong().run(COUNTER.fit(HEAD, [LONG[0]], 2000))


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "body",
    [
        b'{"tokens":[[1]]}',
        b'{"tokens":[1,2,3]}',
        b'{"tokens":null}',
        b"[]",
        b"",
        DEEP,
        b'{"tokens":' + b"[" * 1000 + b"]" * 1000 + b"}",
        b'{"tokens":[[1e999],[-1e999],[123456789012345678901234567890]]}',
        b'{"tokens":"' + b"x" * 10**7 + b'"}',
    ],
    ids=["too few", "flat", "none", "list", "empty", "deep", "deep inside", "out of range", "huge"],
)
def test_answers_that_make_no_sense(body: bytes) -> None:
    """A typed error, or documents that fit by what was said: nothing else comes out."""

    class Odd(Server):
        def answer(self, request: Request) -> Response:
            return Response("u", 200, body if request.path == "/tokenize" else b'{"text":[5]}')

    with suppress(errors.ServerError):
        Odd().run(COUNTER.fit(HEAD, [LONG[0]], 2000))


def test_only_computing_is_left_to_threads() -> None:
    """Requests and computing come one after the other, and what is short asks for neither."""
    kinds: list[Callable[..., object]] = []
    run, server = Run(COUNTER.fit(HEAD, [LONG[0]], 2000)), Server()
    step = run.step()
    while step is not None:
        kinds.append(type(step))
        step = run.step(step.do() if isinstance(step, Compute) else server.answer(step))  # type: ignore[arg-type]
    assert kinds == [Compute, Request] * 3 + [Compute]
    assert Run(COUNTER.fit(HEAD, ["short"] * 1000, 2000)).step() is None
