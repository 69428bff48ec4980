"""What came back of a request: read whole within its limit, and the typed error of what is no success. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from qwen3_sglang import errors
from qwen3_sglang.names import API_KEY_VARIABLE
from qwen3_sglang.protocol.retry import retry_after_seconds

MOST_OF_A_FAILURE = 2**14  # bytes that are read of an unsuccessful answer: some words of it are quoted
_MOST_WORDS = 300  # characters of what a server says


@dataclass(slots=True)  # not frozen: made for each call, in a third of the time
class Response:
    """What came back, whole.

    Attributes:
        url: the address that was asked.
        status: the HTTP status.
        body: the content.
        location: where a redirect points.
        retry_after: seconds that a refusal asks to wait.
        fresh: whether a connection was opened for it.
        proxy: where it isn't plainly a server's answer, host and port of the proxy that may have given it.
    """

    url: str
    status: int
    body: bytes = field(repr=False)  # a server may repeat the key in it
    location: str | None = None
    retry_after: float | None = None
    fresh: bool = False
    proxy: str | None = None


def received(
    url: str, status: int, headers: Mapping[str, str], body: bytes, *, limit: int, now: float, fresh: bool = False
) -> Response:
    """The response, if it is one that was asked for.

    Args:
        url: the address that was asked.
        status: the HTTP status.
        headers: looked up by name in any case.
        body: the content, of which `limit` + 1 bytes are enough.
        limit: bytes that a successful answer may have.
        now: seconds since the epoch.
        fresh: whether a connection was opened for it.

    Raises:
        ProtocolError: a successful answer is longer, or compressed. Nothing compressed was asked for, so that a few
            bytes can't unfold into gigabytes.
    """
    coding = _coding(_header(headers, "Content-Encoding"))
    if is_success(status):
        if coding:
            message = f"the answer is compressed ({coding}) though that wasn't asked for"
            raise errors.ProtocolError(url, f"{message}; turn that off in the proxy or gateway in front of the server")
        if len(body) > limit:
            message = f"an answer of more than {limit} bytes, longer than any that fits the request"
            raise errors.ProtocolError(url, f"{message}; is this an SGLang server?")
        return Response(url, status, body, fresh=fresh)
    if coding:
        body = f"compressed ({coding})".encode()
    wait = retry_after_seconds(headers.get("Retry-After"), now)
    return Response(url, status, body[:limit], _header(headers, "Location"), wait, fresh)


def _header(headers: Mapping[str, str], name: str) -> str | None:
    """Its bytes as Latin-1, which any text can be: aiohttp leaves what isn't UTF-8 as lone surrogates."""
    value = headers.get(name)
    try:
        return value and value.encode("latin-1").decode("latin-1")
    except UnicodeEncodeError:
        return value and value.encode("utf-8", "surrogateescape").decode("latin-1")


def _coding(header: str | None) -> str:
    """How the content is compressed; "" where it isn't."""
    if not header:
        return ""
    codings = (coding.strip() for coding in header.split(","))
    return ", ".join(coding for coding in codings if coding.lower() not in {"", "identity"})


def is_success(status: int) -> bool:
    """Whether an HTTP status says that the request succeeded."""
    return 200 <= status < 300  # noqa: PLR2004 - the range that means success


def read_json(response: Response, what: str) -> dict[str, Any]:
    """The JSON object in a response's body; `what` names it in messages. Raises: as `failure_of`, or NotSGLangError."""
    if not is_success(response.status):
        raise failure_of(response)
    try:
        parsed = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        parsed = None
    if isinstance(parsed, dict):
        return parsed
    message = f"the {what} isn't a JSON object but {short(response.body)}; is this an SGLang server?"
    raise errors.NotSGLangError(response.url, message + _whose(response))


def failure_of(response: Response) -> errors.ServerError:
    """The typed error of an unsuccessful status; the server's own words are in its message."""
    said, whose = server_words(response.body), _whose(response)
    url, status = response.url, response.status
    if 300 <= status < 400:  # noqa: PLR2004 - redirects; following one could carry the key elsewhere
        message = f"redirects to {response.location}; use that as base_url if you trust it"
        return errors.NotSGLangError(url, message + whose, status=status)
    if status == 404 and "model" in said.lower():  # noqa: PLR2004 - a name would say no more
        message = f"no such model ({said}); leave out model= to use the one served"
        return errors.ModelNotFoundError(url, message, status=status)
    kind, remedy = _BY_STATUS.get(status, _OTHERWISE)
    return kind(url, f"HTTP {status} ({said}): {remedy}{whose}", status=status, retry_after=response.retry_after)


def _whose(response: Response) -> str:
    """What to look at besides, where the words aren't a server's."""
    return "" if response.proxy is None or is_servers(response.body) else f"; {proxy_remedy(response.proxy)}"


def is_servers(body: bytes) -> bool:
    """Whether a body begins as a server's: a proxy refuses in words of its own, often with a page, seldom in JSON."""
    return body[:1] == b"{"


def proxy_remedy(proxy: str) -> str:
    """What to do where the server isn't reached through the proxy that the environment names."""
    return f"the environment names the proxy {proxy}: is that right? NO_PROXY lists hosts that need none"


_FULL = "the server is full, starting or stopping; try again, or send less at once (max_concurrency=)"
_REFUSED = "the server refuses what was sent"
_NOT_THERE = "not an SGLang server, or the wrong path in base_url; check with `qwen3-sglang check URL`"
_KEY = f"no key, or the wrong one; pass the server's key as api_key=, or set {API_KEY_VARIABLE}"
_OTHERWISE: tuple[type[errors.ServerError], str] = (errors.ServerFailureError, "see the server's log")
_BY_STATUS: dict[int, tuple[type[errors.ServerError], str]] = {
    400: (errors.RequestRejectedError, _REFUSED),
    401: (errors.AuthenticationError, _KEY),
    403: (errors.AuthenticationError, _KEY),
    404: (errors.NotSGLangError, _NOT_THERE),
    405: (errors.NotSGLangError, _NOT_THERE),
    413: (errors.RequestRejectedError, "the list is too large for the server; lower batch_size="),
    422: (errors.RequestRejectedError, _REFUSED),
    429: (errors.ServerOverloadedError, _FULL),
    501: (errors.NotSGLangError, _NOT_THERE),
    503: (errors.ServerOverloadedError, _FULL),
}


def server_words(body: bytes) -> str:
    """The message in any of the three error shapes (SGLang, gateway, plain text), shortened."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return short(body)
    for key in ("error", "message", "detail"):
        if isinstance(parsed, dict) and key in parsed and parsed[key] != "error":
            parsed = parsed[key]
    if not isinstance(parsed, str):
        return short(parsed)
    return parsed if len(parsed) <= _MOST_WORDS else f"{parsed[:_MOST_WORDS]}…"


def short(value: object, limit: int = 120) -> str:
    """The start of a body, for a message."""
    try:
        text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    except RecursionError:  # JSON may be nested deeper than Python prints
        text = f"a deeply nested {type(value).__name__}"
    text = " ".join(text.split()) or "an empty body"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
