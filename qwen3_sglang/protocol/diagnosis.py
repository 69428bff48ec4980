"""A refusal explained by what the server says of itself. No I/O."""

from __future__ import annotations

from typing import Any

from qwen3_sglang import errors
from qwen3_sglang.names import SOURCE_CLASS, TARGET_CLASS
from qwen3_sglang.protocol.answers import CONVERT_REMEDY
from qwen3_sglang.protocol.endpoints import AUTO, DEFAULT_ENDPOINT, ENDPOINTS, endpoint_of
from qwen3_sglang.protocol.exchange import Request, Steps
from qwen3_sglang.protocol.responses import Response, read_json
from qwen3_sglang.protocol.ways import MODEL_INFO, REFUSED

MODELS = "/v1/models"
_TOO_LARGE = 413


def explained(failure: errors.ServerError, endpoint: str) -> Steps[errors.ServerError]:
    """The failure, or a more precise one from what the server says about itself.

    The server is asked once, without retry, and only after a refusal or an answer that breaks the protocol: an
    overloaded server must not get more requests.
    """
    if isinstance(failure, errors.NotSGLangError):
        return _other_endpoint(failure, (yield Request(MODELS)), endpoint) or failure
    refused = isinstance(failure, (errors.RequestRejectedError, errors.ProtocolError))
    if not refused or failure.status == _TOO_LARGE:
        return failure
    if "multi-item" in failure.message.lower() and ENDPOINTS[endpoint].path != "/v1/score":
        return errors.NotSGLangError(failure.url, f"{REFUSED} ({failure.message})", status=failure.status)
    if _owner_of(endpoint) == _owner_of(DEFAULT_ENDPOINT):
        return _other_model(failure, (yield Request(MODEL_INFO))) or failure
    # SGLang may have a path of the same name, which refuses what the other server's takes.
    models = yield Request(MODELS)
    if _owner(models) == _owner_of(DEFAULT_ENDPOINT):
        return _other_endpoint(failure, models, endpoint) or failure
    return failure


def _owner_of(endpoint: str) -> str:
    return ENDPOINTS[endpoint].owner


def _other_endpoint(failure: errors.ServerError, models: object, endpoint: str) -> errors.ServerError | None:
    """The endpoint that exists on this server, where the one that was asked doesn't."""
    right = endpoint_of(_owner(models))
    if _read(models, "data") is None or right == endpoint:
        return None
    message = f'not served there: pass endpoint="{right}" ({failure.message})'
    return errors.NotSGLangError(failure.url, message, status=failure.status)


def _owner(models: object) -> str | None:
    """Which software serves, as the model list says it."""
    rows = _read(models, "data")
    return owner_of(rows[0]) if isinstance(rows, list) and rows and isinstance(rows[0], dict) else None


def owner_of(row: dict[str, Any]) -> str | None:
    """Which software serves the model of that row of a model list."""
    owner = row.get("owned_by")
    return owner if isinstance(owner, str) else None


def _other_model(failure: errors.ServerError, info: object) -> errors.ServerError | None:
    names = _read(info, "architectures")
    architecture = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None
    if architecture is None or architecture == TARGET_CLASS:
        return None
    if architecture == SOURCE_CLASS:
        remedy = f'pass endpoint="{AUTO}", which asks it as it is, or {CONVERT_REMEDY}'
        message = f"the server runs the original causal checkpoint ({architecture}): {remedy}"
        return errors.UnconvertedModelError(failure.url, message, status=failure.status)
    message = f"the server runs {architecture}, not a reranker: {CONVERT_REMEDY}"
    return errors.ModelMismatchError(failure.url, message, status=failure.status)


def _read(reply: object, key: str) -> object:
    """That field of the answer; None where there is no usable one."""
    try:
        return read_json(reply, key).get(key) if isinstance(reply, Response) else None
    except errors.ServerError:
        return None
