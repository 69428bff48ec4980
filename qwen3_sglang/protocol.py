"""The HTTP exchange without the HTTP: payloads out, checked scores in. No I/O.

`score_documents` is a generator of decisions: it yields a Request, is sent the Response to it, and returns the
scores. The client's sync and async shells only carry the two back and forth.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from logging import getLogger
from typing import Any, TypeVar

import orjson

from qwen3_sglang import errors, truncate
from qwen3_sglang.prompt import SUFFIX
from qwen3_sglang.ranking import Score, score_of

T = TypeVar("T")
CLASSIFY, MODELS, MODEL_INFO = "/v1/classify", "/v1/models", "/model_info"
TOKENIZE, DETOKENIZE = "/tokenize", "/detokenize"
CAUSAL_ARCHITECTURE = "Qwen3ForCausalLM"
CONVERTED_ARCHITECTURE = "Qwen3ForSequenceClassification"
SUM_TOLERANCE = 1e-2  # a server that computes in bf16 is this far from 1 at the most
CONVERT_REMEDY = "convert the checkpoint with `qwen3-sglang convert SRC DST` and serve DST"

_log = getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """What to send: GET where there is no body."""

    path: str
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """What came back, whole."""

    url: str
    status: int
    body: bytes
    location: str | None = None


Steps = Generator[Request, Response, T]


@dataclass(frozen=True, slots=True)
class Served:
    """What a server serves.

    Attributes:
        model: its name there.
        max_length: tokens that a prompt may have; None where the server doesn't say.
    """

    model: str
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """What all lists of one call share.

    Attributes:
        model: name the server knows the model by.
        head: the prompts' common start.
        max_length: tokens that a prompt may have.
        tokenizer: finds out how many it has; None asks the server.
    """

    model: str
    head: str
    max_length: int
    tokenizer: truncate.Tokenizer | None = None


def ask_served() -> Steps[Served]:
    """The name of the model that is served, and its limit."""
    response = yield Request(MODELS)
    data = _json(response, "model list").get("data")
    row = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else {}
    name, context = row.get("id"), row.get("max_model_len")
    if not isinstance(name, str):
        raise errors.NotSGLangError(response.url, "the model list names no model; is this an SGLang server?")
    # SGLang refuses a prompt of exactly its context length: a token has to come after it.
    return Served(name, context - 1 if isinstance(context, int) and context > 1 else None)


def score_documents(call: Call, documents: Sequence[str]) -> Steps[list[Score]]:
    """One score a document, in order; a refusal is explained by asking what is served."""
    fitted = yield from _fit(call, documents)
    prompts = [f"{call.head}{document.text}{SUFFIX}" for document in fitted]
    response = yield Request(CLASSIFY, orjson.dumps({"model": call.model, "input": prompts}))
    try:
        scores = parse_scores(response, len(prompts))
    except (errors.AuthenticationError, errors.ModelMismatchError, errors.ModelNotFoundError):
        raise
    except errors.ServerError as error:
        failure = error
    else:
        return [replace(s, truncated=True) if f.truncated else s for s, f in zip(scores, fitted, strict=True)]
    info = yield Request(MODEL_INFO)
    raise _explain(failure, info)


def _fit(call: Call, documents: Sequence[str]) -> Steps[list[truncate.Fitted]]:
    """The documents, cut where they are too long; the server counts where no tokenizer is at hand."""
    if call.tokenizer is not None:
        return truncate.fit_with(call.tokenizer, call.head, documents, call.max_length)
    steps = truncate.fit(call.head, documents, call.max_length)
    try:
        asked = next(steps)
        while True:
            response = yield _tokenizing(call.model, asked)
            if response.status in _NO_TOKENIZER:
                _log.warning(_CUT_BY_BYTES, response.url)
                return truncate.fit_bytes(call.head, documents, call.max_length)
            asked = steps.send(_tokenized(response, asked))
    except StopIteration as stop:
        fitted: list[truncate.Fitted] = stop.value
    return fitted


_NO_TOKENIZER = {404, 405, 501}  # gateways don't route it
_CUT_BY_BYTES = (
    "%s isn't there, so long documents are cut after max_length bytes, not tokens; "
    "pass tokenizer= (the served model's folder) to keep more of them"
)


def _tokenizing(model: str, asked: truncate.Encode | truncate.Decode) -> Request:
    if isinstance(asked, truncate.Encode):
        return Request(TOKENIZE, orjson.dumps({"model": model, "prompt": asked.texts, "add_special_tokens": False}))
    return Request(DETOKENIZE, orjson.dumps({"model": model, "tokens": asked.ids, "skip_special_tokens": False}))


def _tokenized(response: Response, asked: truncate.Encode | truncate.Decode) -> list[Any]:
    encoding = isinstance(asked, truncate.Encode)
    rows = _json(response, "tokenizer's answer").get("tokens" if encoding else "text")
    count = len(asked.texts) if isinstance(asked, truncate.Encode) else len(asked.ids)
    if (
        not isinstance(rows, list)
        or len(rows) != count
        or not all(isinstance(r, list if encoding else str) for r in rows)
    ):
        raise errors.ProtocolError(response.url, f"{count} lists asked for, {_short(rows)} came back; pass tokenizer=")
    return rows


def served_architecture(response: Response) -> str | None:
    """The architecture that /model_info names; None where the server doesn't say."""
    try:
        names = _json(response, "model info").get("architectures")
    except errors.ServerError:
        return None
    return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None


def parse_scores(response: Response, count: int) -> list[Score]:
    """Scores of a /v1/classify answer, every check passed.

    Raises:
        ServerError: one of its subclasses, by status; ProtocolError where the body of a 200 breaks a check.
    """
    rows = _json(response, "classification").get("data")
    if not isinstance(rows, list) or len(rows) != count:
        got = len(rows) if isinstance(rows, list) else "no"
        raise errors.ProtocolError(response.url, f"{count} prompts sent, {got} rows came back")
    return [_score(response.url, index, row) for index, row in enumerate(rows)]


def _score(url: str, index: int, row: object) -> Score:
    if not isinstance(row, dict) or row.get("index") != index:
        raise errors.ProtocolError(url, f"row {index} is out of place: {_short(row)}")
    probs = row.get("probs")
    if not isinstance(probs, list) or not all(_is_probability(p) for p in probs):
        raise errors.ProtocolError(url, f"row {index} has no usable probabilities: {_short(row)}")
    _check_labels(url, index, row, probs)
    if abs(sum(probs) - 1) > SUM_TOLERANCE:
        raise errors.ProtocolError(url, f"the probabilities of row {index} don't add up to 1: {probs}")
    return score_of(probs[0], probs[1])


def _check_labels(url: str, index: int, row: dict[str, Any], probs: list[float]) -> None:
    label = str(row.get("label"))
    if len(probs) == 1 and label == "Default":  # what SGLang writes when it fails on an item after the forward pass
        raise errors.ServerFailureError(url, f"the server failed on row {index} and filled in a default; see its log")
    if len(probs) == 1:
        raise errors.OneLabelModelError(url, f"the model has one label, every document scores 1.0: {CONVERT_REMEDY}")
    if len(probs) != 2 or row.get("num_classes") not in {2, None}:  # noqa: PLR2004 - "no" and "yes"
        raise errors.ModelMismatchError(url, f"{len(probs)} labels where a reranker has two: {CONVERT_REMEDY}")
    if (label.lower() == "yes" and probs[0] > probs[1]) or (label.lower() == "no" and probs[1] > probs[0]):
        raise errors.SwappedLabelsError(url, f'label 0 is "yes", scores would be upside down: {CONVERT_REMEDY}')


def _is_probability(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1 and math.isfinite(value)


def _json(response: Response, what: str) -> dict[str, Any]:
    if not 200 <= response.status < 300:  # noqa: PLR2004 - the range that means success
        raise failure_of(response)
    try:
        parsed = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        parsed = None
    if isinstance(parsed, dict):
        return parsed
    message = f"the {what} isn't a JSON object but {_short(response.body)}; is this an SGLang server?"
    raise errors.NotSGLangError(response.url, message)


def failure_of(response: Response) -> errors.ServerError:
    """The typed error of an unsuccessful status; the server's own words are in its message."""
    said = server_words(response.body)
    url, status = response.url, response.status
    if 300 <= status < 400:  # noqa: PLR2004 - redirects; following one could carry the key elsewhere
        return errors.NotSGLangError(url, f"redirects to {response.location}; use that as base_url if you trust it")
    if status == 404 and "model" in said.lower():  # noqa: PLR2004
        return errors.ModelNotFoundError(url, f"no such model ({said}); leave out model= to use the one served")
    kind, remedy = _BY_STATUS.get(status, _OTHERWISE)
    return kind(url, f"HTTP {status} ({said}): {remedy}")


_FULL = "the server is full, starting or stopping; try again, or send less at once (max_concurrency=)"
_REFUSED = "the server refuses what was sent"
_NOT_THERE = "not an SGLang server, or the wrong path in base_url; check with `qwen3-sglang check URL`"
_KEY = "pass the server's --api-key as api_key=, or set QWEN3_SGLANG_API_KEY"
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
        return _short(body)
    for key in ("error", "message", "detail"):
        if isinstance(parsed, dict) and key in parsed and parsed[key] != "error":
            parsed = parsed[key]
    return parsed[:300] if isinstance(parsed, str) else _short(parsed)


def _explain(failure: errors.ServerError, info: Response) -> errors.ServerError:
    architecture = served_architecture(info)
    if architecture is None or architecture == CONVERTED_ARCHITECTURE:
        return failure
    if architecture == CAUSAL_ARCHITECTURE:
        message = f"the server runs the original causal checkpoint ({architecture}): {CONVERT_REMEDY}"
        return errors.UnconvertedModelError(failure.url, message)
    return errors.ModelMismatchError(failure.url, f"the server runs {architecture}, not a reranker: {CONVERT_REMEDY}")


def _short(value: object, limit: int = 120) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    text = " ".join(text.split()) or "an empty body"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
