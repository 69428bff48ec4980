"""The HTTP exchange without the HTTP: payloads out, checked scores in. No I/O.

`score_documents` is a generator of decisions: it yields a Request, is sent the Response to it, and returns the
scores. The client's sync and async shells only carry the two back and forth.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from logging import getLogger
from typing import Any, TypeVar

import orjson

from qwen3_sglang import errors, truncate
from qwen3_sglang.answers import CONVERT_REMEDY, Response, read_json, short
from qwen3_sglang.endpoints import DEFAULT_ENDPOINT, ENDPOINTS
from qwen3_sglang.prompt import SUFFIX, Prompt
from qwen3_sglang.ranking import Score

T = TypeVar("T")
MODELS, MODEL_INFO = "/v1/models", "/model_info"
TOKENIZE, DETOKENIZE = "/tokenize", "/detokenize"
CAUSAL_ARCHITECTURE = "Qwen3ForCausalLM"
CONVERTED_ARCHITECTURE = "Qwen3ForSequenceClassification"

_log = getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """What to send: GET where there is no body."""

    path: str
    body: bytes | None = None


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
        endpoint: which of ENDPOINTS is asked.
    """

    model: str
    head: str
    max_length: int
    tokenizer: truncate.Tokenizer | None = None
    endpoint: str = DEFAULT_ENDPOINT


def ask_served() -> Steps[Served]:
    """The name of the model that is served, and its limit."""
    response = yield Request(MODELS)
    data = read_json(response, "model list").get("data")
    row = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else {}
    name, context = row.get("id"), row.get("max_model_len")
    if not isinstance(name, str):
        raise errors.NotSGLangError(response.url, "the model list names no model; is this an SGLang server?")
    # SGLang refuses a prompt of exactly its context length: a token has to come after it.
    return Served(name, context - 1 if isinstance(context, int) and context > 1 else None)


def score_documents(call: Call, documents: Sequence[str]) -> Steps[list[Score]]:
    """One score a document, in order; a refusal is explained by asking what is served."""
    fitted = yield from _fit(call, documents)
    endpoint = ENDPOINTS[call.endpoint]
    body = endpoint.payload(call.model, call.head, [document.text for document in fitted])
    response = yield Request(endpoint.path, orjson.dumps(body))
    try:
        scores = endpoint.parse(response, len(fitted))
    except (errors.AuthenticationError, errors.ModelMismatchError, errors.ModelNotFoundError):
        raise
    except errors.ServerError as error:
        failure = error
    else:
        return [s._replace(truncated=True) if f.truncated else s for s, f in zip(scores, fitted, strict=True)]
    raise (yield from _explained(failure, call.endpoint))


def describe_prompts(call: Call, documents: Sequence[str]) -> Steps[list[Prompt]]:
    """The prompts that `score_documents` sends, in order, with their tokens counted where that is possible."""
    fitted = yield from _fit(call, documents)
    texts = [f"{call.head}{document.text}{SUFFIX}" for document in fitted]
    counts = yield from _count(call, texts)
    return [Prompt(text, n, f.truncated) for text, n, f in zip(texts, counts, fitted, strict=True)]


def _count(call: Call, texts: list[str]) -> Steps[list[int] | list[None]]:
    if call.tokenizer is not None:
        return [len(ids) for ids in call.tokenizer.encode(texts)]
    asked = truncate.Encode(texts)
    response = yield _tokenizing(call.model, asked)
    if response.status in _NO_TOKENIZER | _NO_LISTS:
        return [None] * len(texts)
    return [len(ids) for ids in _tokenized(response, asked)]


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
_NO_LISTS = {400, 422}  # vLLM's takes one text at a time
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
    rows = read_json(response, "tokenizer's answer").get("tokens" if encoding else "text")
    count = len(asked.texts) if isinstance(asked, truncate.Encode) else len(asked.ids)
    if (
        not isinstance(rows, list)
        or len(rows) != count
        or not all(isinstance(r, list if encoding else str) for r in rows)
    ):
        raise errors.ProtocolError(response.url, f"{count} lists asked for, {short(rows)} came back; pass tokenizer=")
    return rows


def _explained(failure: errors.ServerError, endpoint: str) -> Steps[errors.ServerError]:
    """The failure, or a better one by what the server says of itself."""
    if isinstance(failure, errors.NotSGLangError):
        models = yield Request(MODELS)
        return _other_endpoint(failure, models, endpoint) or failure
    info = yield Request(MODEL_INFO)
    return _other_model(failure, info) or failure


def _other_endpoint(failure: errors.ServerError, models: Response, endpoint: str) -> errors.ServerError | None:
    """The path isn't there: which one is, by who answers."""
    try:
        rows = read_json(models, "model list").get("data")
    except errors.ServerError:
        return None
    owner = rows[0].get("owned_by") if isinstance(rows, list) and rows and isinstance(rows[0], dict) else None
    right = "classify" if owner == "vllm" else DEFAULT_ENDPOINT
    if right == endpoint:
        return None
    return errors.NotSGLangError(failure.url, f'not served there: pass endpoint="{right}" ({failure.message})')


def _other_model(failure: errors.ServerError, info: Response) -> errors.ServerError | None:
    architecture = served_architecture(info)
    if architecture is None or architecture == CONVERTED_ARCHITECTURE:
        return None
    if architecture == CAUSAL_ARCHITECTURE:
        message = f"the server runs the original causal checkpoint ({architecture}): {CONVERT_REMEDY}"
        return errors.UnconvertedModelError(failure.url, message)
    return errors.ModelMismatchError(failure.url, f"the server runs {architecture}, not a reranker: {CONVERT_REMEDY}")


def served_architecture(response: Response) -> str | None:
    """The architecture that /model_info names; None where the server doesn't say."""
    try:
        names = read_json(response, "model info").get("architectures")
    except errors.ServerError:
        return None
    return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None
