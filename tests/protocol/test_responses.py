"""Every check on what came back, without a server."""

from __future__ import annotations

import json

import pytest

from qwen3_sglang import errors
from qwen3_sglang.names import API_KEY_VARIABLE
from qwen3_sglang.protocol.responses import (
    MOST_OF_A_FAILURE,
    Response,
    failure_of,
    is_success,
    read_json,
    received,
    server_words,
    short,
)


def answer(*rows: object, status: int = 200) -> Response:
    """A whole answer."""
    return Response("http://server/v1/classify", status, json.dumps({"data": rows}).encode())


def ok(body: bytes = b"{}", limit: int = 9, status: int = 200, **headers: str) -> Response:
    """As it came."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return received("u", status, named, body, limit=limit, now=0)


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


WHOSE = "; the environment names the proxy box:3128: is that right? NO_PROXY lists hosts that need none"


@pytest.mark.parametrize("status", [200, 302, 403, 404, 407, 502, 503])
@pytest.mark.parametrize("proxy", [None, "box:3128"])
def test_a_proxy_that_may_have_refused_is_named(status: int, proxy: str | None) -> None:
    """Where the words aren't JSON: a proxy doesn't reach this machine's servers, and has a page of its own for that."""
    with pytest.raises(errors.ServerError) as caught:
        read_json(Response("u", status, b"<html>Forbidden", proxy=proxy), "answer")
    assert caught.value.message.count("proxy") == caught.value.message.count(WHOSE) == (proxy is not None)
    with pytest.raises(errors.ServerError) as caught:
        read_json(Response("u", status, b'{"data"', proxy=proxy), "answer")
    assert WHOSE not in caught.value.message


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


@pytest.mark.parametrize("location", ["http://\udce9.example/", "http://é.example/", "http://密.example/"])
def test_a_redirect_can_be_printed(location: str) -> None:
    """aiohttp reads bytes that aren't UTF-8 as lone surrogates, which no terminal and no log file takes."""
    response = received("u", 302, {"Location": location}, b"", limit=9, now=0)
    assert ".example" in str(failure_of(response))
    str(failure_of(response)).encode()


@pytest.mark.parametrize("status", [199, 200, 299, 300])
def test_which_statuses_succeed(status: int) -> None:
    """200 to 299."""
    assert is_success(status) is (status in {200, 299})


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (300, b"", errors.NotSGLangError, "redirects to /there; use that as base_url"),
        (399, b"", errors.NotSGLangError, "redirects to /there"),
        (199, b"x", errors.ServerFailureError, r"HTTP 199 \(x\): see the server's log"),
        (418, b"x", errors.ServerFailureError, "see the server's log"),
        (400, b"x", errors.RequestRejectedError, "the server refuses what was sent"),
        (422, b"x", errors.RequestRejectedError, "the server refuses what was sent"),
        (413, b"x", errors.RequestRejectedError, "lower batch_size="),
        (401, b"x", errors.AuthenticationError, f"api_key=, or set {API_KEY_VARIABLE}"),
        (403, b"x", errors.AuthenticationError, "api_key="),
        (404, b"Not Found", errors.NotSGLangError, "the wrong path in base_url"),
        (404, b"Model x", errors.ModelNotFoundError, r"no such model \(Model x\); leave out model="),
        (405, b"model", errors.NotSGLangError, "the wrong path in base_url"),
        (501, b"x", errors.NotSGLangError, "the wrong path in base_url"),
        (429, b"x", errors.ServerOverloadedError, "max_concurrency="),
        (503, b"x", errors.ServerOverloadedError, "max_concurrency="),
    ],
)
def test_each_failure_says_what_to_do(status: int, body: bytes, error: type[errors.ServerError], words: str) -> None:
    """With its status and, where the server asked for one, the wait."""
    with pytest.raises(error, match=words) as caught:
        read_json(Response("u", status, body, location="/there", retry_after=7.0), "answer")
    assert type(caught.value) is error
    assert (caught.value.url, caught.value.status) == ("u", status)
    if words.startswith("max_c"):
        assert caught.value.retry_after == 7.0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"detail":"from FastAPI"}', "from FastAPI"),
        (b'{"error":"error","message":"the words"}', "the words"),
        (b'{"error":{"message":{"detail":"deep"}}}', "deep"),
        (b'{"message":["a","b"]}', "['a', 'b']"),
        (b"[1]", "[1]"),
        (b'"' + b"x" * 300 + b'"', "x" * 300),
        (b'"' + b"x" * 301 + b'"', "x" * 300 + "\u2026"),
        (b"x" * 120, "x" * 120),
        (b"x" * 121, "x" * 119 + "\u2026"),
        (b" a \n\t b ", "a b"),
        (b"\xff!", "\ufffd!"),
    ],
)
def test_words_are_short_and_on_one_line(body: bytes, words: str) -> None:
    """The innermost message, cut where it is long."""
    assert server_words(body) == words


def test_what_is_nested_too_deeply_is_named() -> None:
    """Python can't print it."""
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert short(deep) == "a deeply nested list"
    while deep:  # else freeing it would recurse as deeply
        [deep] = deep  # type: ignore[assignment]


def test_a_body_may_be_as_long_as_its_limit() -> None:
    """And no longer; of a failure only the start counts."""
    assert ok(b"123456789").body == b"123456789"
    with pytest.raises(errors.ProtocolError, match=r"more than 9 bytes.*is this an SGLang server\?"):
        ok(b"1234567890")
    assert ok(b"1234567890", status=500).body == b"123456789"
    assert MOST_OF_A_FAILURE == 16 * 1024


@pytest.mark.parametrize("coding", ["identity", "Identity", " identity , identity", ""])
def test_what_is_not_compressed(coding: str) -> None:
    """However it is said."""
    assert ok(Content_Encoding=coding).body == b"{}"


@pytest.mark.parametrize("coding", ["gzip", "identity, br", "x, identity"])
def test_what_is_compressed(coding: str) -> None:
    """An error names the coding; of a failure's body nothing is shown."""
    named = coding.replace("identity, ", "").replace(", identity", "")
    with pytest.raises(errors.ProtocolError, match=rf"compressed \({named}\).*turn that off"):
        ok(Content_Encoding=coding)
    assert ok(b"\x1f\x8b", 99, 500, Content_Encoding=coding).body == f"compressed ({named})".encode()


def test_headers_of_a_response() -> None:
    """Where it points, and how long to wait; nothing where they are missing."""
    found = ok(status=302, Location="/there", Retry_After="7")
    assert (found.location, found.retry_after, found.fresh) == ("/there", 7.0, False)
    assert (ok(status=302).location, ok(status=302).retry_after) == (None, None)
    assert ok(status=302, Location="").location == ""


def test_headers_of_a_success() -> None:
    """There is nothing to wait for."""
    found = ok(Location="/there", Retry_After="7")
    assert (found.status, found.body, found.location, found.retry_after) == (200, b"{}", None, None)
