"""What a server's answer means: checked scores, or a typed error. No I/O."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from qwen3_sglang import errors
from qwen3_sglang.names import API_KEY_VARIABLE, NO, YES
from qwen3_sglang.protocol.retry import retry_after_seconds
from qwen3_sglang.ranking import Score, Scores, score_of

MOST_OF_A_FAILURE = 2**14  # bytes that are read of an unsuccessful answer: some words of it are quoted
SUM_TOLERANCE = 1e-2  # a server that computes in bf16 is this far from 1 at the most
CONVERT_REMEDY = "convert the checkpoint with `qwen3-sglang convert SRC DST` and serve DST"
_MOST_WORDS = 300  # characters of what a server says
_NUMBERS = (float, int)
_TWO = (2, None)  # a server need not say how many
_YES, _NO = ((word, word.title(), word.upper()) for word in (YES, NO))


@dataclass(frozen=True, slots=True)
class Response:
    """What came back, whole.

    Attributes:
        url: the address that was asked.
        status: the HTTP status.
        body: the content.
        location: where a redirect points.
        retry_after: seconds that the server asks to wait.
        fresh: whether a connection was opened for it.
    """

    url: str
    status: int
    body: bytes = field(repr=False)  # a server may repeat the key in it
    location: str | None = None
    retry_after: float | None = None
    fresh: bool = False


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
    if is_success(status) and coding:
        message = f"the answer is compressed ({coding}) though that wasn't asked for"
        raise errors.ProtocolError(url, f"{message}; turn that off in the proxy or gateway in front of the server")
    if is_success(status) and len(body) > limit:
        message = f"an answer of more than {limit} bytes, longer than any that fits the request"
        raise errors.ProtocolError(url, f"{message}; is this an SGLang server?")
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


class Names:
    """The model name in one client's answers; a gateway may use another name than the one in the request."""

    def __init__(self) -> None:
        self._first: str | None = None
        self._lock = threading.Lock()

    def confirm(self, url: str, *names: object) -> None:
        """Check that one of `names` is the first name that was seen. Without names nothing is checked.

        Raises:
            ModelReplacedError: another model answers now.
        """
        said = [name for name in names if isinstance(name, str) and name]
        if not said:
            return
        with self._lock:
            first = self._first = self._first or said[0]
        if first not in said:
            message = f'the server answered as "{short(first)}" before and as "{short(said[0])}" now: call again'
            raise errors.ModelReplacedError(url, message)


def parse_classes(response: Response, count: int, names: Names | None = None) -> Sequence[Score]:
    """Scores of SGLang's /v1/classify, every check passed.

    Raises:
        ServerError: one of its subclasses, by status; ProtocolError where the body of a 200 breaks a check;
            ModelReplacedError where another model than before gave it.
    """
    return _class_scores(response.url, _rows(response, "data", count, names))


def parse_vllm_classes(response: Response, count: int, names: Names | None = None) -> Sequence[Score]:
    """Scores of vLLM's /classify: as `parse_classes`, but a model with one label answers with its sigmoid.

    Raises:
        ServerError: as `parse_classes`.
    """
    rows = _rows(response, "data", count, names)
    return [
        _sigmoid_score(response.url, index, row) if _has_one(row) else _class_score(response.url, index, row)
        for index, row in enumerate(rows)
    ]


def parse_items(response: Response, count: int, names: Names | None = None) -> Sequence[Score]:
    """Scores of SGLang's /v1/score with apply_softmax: [P(no), P(yes)] per item.

    Raises:
        ServerError: as `parse_classes`.
    """
    rows = _rows(response, "scores", count, names)
    whole = [{"index": index, "probs": row, "label": None, "num_classes": None} for index, row in enumerate(rows)]
    return _class_scores(response.url, whole)


def _rows(response: Response, key: str, count: int, names: Names | None = None) -> list[Any]:
    answer = read_json(response, "answer")
    if names is not None:
        names.confirm(response.url, answer.get("model"))
    rows = answer.get(key)
    if not isinstance(rows, list) or len(rows) != count:
        got = len(rows) if isinstance(rows, list) else "no"
        raise errors.ProtocolError(response.url, f"{count} documents sent, {got} rows came back")
    return rows


def _class_scores(url: str, rows: list[Any]) -> Sequence[Score]:
    """One pass over the rows, in which a right one costs no call; where any isn't plainly right, a detailed one.

    The detailed one says what is wrong, or that nothing is.
    """
    try:
        pairs = [
            pair
            for index, row in enumerate(rows)
            for pair in (row["probs"],)
            for p_no, p_yes in (pair,)
            if row["index"] == index
            and row["num_classes"] in _TWO
            and row["label"] not in (_YES if p_no > p_yes else _NO)  # the name of the less likely one
            and type(p_no) is type(p_yes) is float
            and 0 <= p_no <= 1
            and 0 <= p_yes <= 1
            and -SUM_TOLERANCE <= p_no + p_yes - 1 <= SUM_TOLERANCE
        ]
    except (KeyError, TypeError, ValueError):
        pairs = []
    if len(pairs) == len(rows):
        return Scores(pairs)
    return [_class_score(url, index, row) for index, row in enumerate(rows)]


def _class_score(url: str, index: int, row: object) -> Score:
    if not isinstance(row, dict) or row.get("index") != index:
        raise errors.ProtocolError(url, f"row {index} is out of place: {short(row)}")
    return _pair_score(url, index, row.get("probs"), row.get("label"), row.get("num_classes"))


def _sigmoid_score(url: str, index: int, row: dict[str, Any]) -> Score:
    [p_yes] = row["probs"]
    if row.get("index") != index or type(p_yes) not in _NUMBERS or not 0 <= p_yes <= 1:
        raise errors.ProtocolError(url, f"row {index} has no usable probability: {short(row)}")
    return score_of(1 - p_yes, p_yes)


def _has_one(row: object) -> bool:
    return isinstance(row, dict) and isinstance(row.get("probs"), list) and len(row["probs"]) == 1


def _pair_score(url: str, index: int, probs: object, label: object, classes: object) -> Score:
    if not isinstance(probs, list):
        raise errors.ProtocolError(url, f"row {index} has no probabilities: {short(probs)}")
    if len(probs) != 2 or classes not in _TWO:  # noqa: PLR2004 - "no" and "yes"
        raise _wrong_classes(url, index, probs, label)
    p_no, p_yes = probs
    # Inside 0 to 1 excludes NaN, and the types exclude bool.
    if not (type(p_no) in _NUMBERS and type(p_yes) in _NUMBERS and 0 <= p_no <= 1 and 0 <= p_yes <= 1):
        raise errors.ProtocolError(url, f"row {index} has no usable probabilities: {short(probs)}")
    if (label in _YES and p_no > p_yes) or (label in _NO and p_yes > p_no):
        raise errors.SwappedLabelsError(url, f'label 0 is "yes", scores would be upside down: {CONVERT_REMEDY}')
    if abs(p_no + p_yes - 1) > SUM_TOLERANCE:
        raise errors.ProtocolError(url, f"the probabilities of row {index} don't add up to 1: {probs}")
    return score_of(p_no, p_yes)


def _wrong_classes(url: str, index: int, probs: list[Any], label: object) -> errors.ServerError:
    if len(probs) != 1:
        many = f"; {len(probs)} numbers may also be an embedding: then start SGLang without --is-embedding"
        more = many if len(probs) > 2 else ""  # noqa: PLR2004 - "no" and "yes"
        return errors.ModelMismatchError(url, f"labels {short(probs)} where a reranker has two: {CONVERT_REMEDY}{more}")
    if label == "Default":  # what SGLang writes when it fails on an item after the forward pass
        return errors.ServerFailureError(url, f"the server failed on row {index} and filled in a default; see its log")
    return errors.OneLabelModelError(url, f"the model has one label, every document scores 1.0: {CONVERT_REMEDY}")


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
    raise errors.NotSGLangError(response.url, message)


def failure_of(response: Response) -> errors.ServerError:
    """The typed error of an unsuccessful status; the server's own words are in its message."""
    said = server_words(response.body)
    url, status = response.url, response.status
    if 300 <= status < 400:  # noqa: PLR2004 - redirects; following one could carry the key elsewhere
        message = f"redirects to {response.location}; use that as base_url if you trust it"
        return errors.NotSGLangError(url, message, status=status)
    if status == 404 and "model" in said.lower():  # noqa: PLR2004 - a name would say no more
        message = f"no such model ({said}); leave out model= to use the one served"
        return errors.ModelNotFoundError(url, message, status=status)
    kind, remedy = _BY_STATUS.get(status, _OTHERWISE)
    return kind(url, f"HTTP {status} ({said}): {remedy}", status=status, retry_after=response.retry_after)


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
