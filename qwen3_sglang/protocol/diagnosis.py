"""A refusal explained by what the server says of itself. No I/O."""

from __future__ import annotations

from qwen3_sglang import errors
from qwen3_sglang.protocol.answers import CONVERT_REMEDY, Response, read_json
from qwen3_sglang.protocol.endpoints import DEFAULT_ENDPOINT
from qwen3_sglang.protocol.exchange import Request, Steps

MODELS, MODEL_INFO = "/v1/models", "/model_info"
CAUSAL_ARCHITECTURE = "Qwen3ForCausalLM"
CONVERTED_ARCHITECTURE = "Qwen3ForSequenceClassification"
_TOO_LARGE = 413
_VLLMS = "classify"  # SGLang has a path of that name too, which refuses what vLLM's takes


def explained(failure: errors.ServerError, endpoint: str) -> Steps[errors.ServerError]:
    """The failure, or a better one by what the server says of itself.

    Asked are only refusals and answers that don't fit the protocol, once, and with no retry: an overloaded server
    must not be asked more questions.
    """
    if isinstance(failure, errors.NotSGLangError):
        return _other_endpoint(failure, (yield Request(MODELS)), endpoint) or failure
    refused = isinstance(failure, (errors.RequestRejectedError, errors.ProtocolError))
    if not refused or failure.status == _TOO_LARGE:
        return failure
    if endpoint == _VLLMS:
        models = yield Request(MODELS)
        better = _other_endpoint(failure, models, endpoint) if _owner(models) == "sglang" else None
        return better or failure
    return _other_model(failure, (yield Request(MODEL_INFO))) or failure


def _other_endpoint(failure: errors.ServerError, models: object, endpoint: str) -> errors.ServerError | None:
    """The path isn't there: which one is, by who answers."""
    right = _VLLMS if _owner(models) == "vllm" else DEFAULT_ENDPOINT
    if _read(models, "data") is None or right == endpoint:
        return None
    message = f'not served there: pass endpoint="{right}" ({failure.message})'
    return errors.NotSGLangError(failure.url, message, status=failure.status)


def _owner(models: object) -> object:
    """Which software serves, as the model list says it."""
    rows = _read(models, "data")
    return rows[0].get("owned_by") if isinstance(rows, list) and rows and isinstance(rows[0], dict) else None


def _other_model(failure: errors.ServerError, info: object) -> errors.ServerError | None:
    names = _read(info, "architectures")
    architecture = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None
    if architecture is None or architecture == CONVERTED_ARCHITECTURE:
        return None
    if architecture == CAUSAL_ARCHITECTURE:
        message = f"the server runs the original causal checkpoint ({architecture}): {CONVERT_REMEDY}"
        return errors.UnconvertedModelError(failure.url, message, status=failure.status)
    message = f"the server runs {architecture}, not a reranker: {CONVERT_REMEDY}"
    return errors.ModelMismatchError(failure.url, message, status=failure.status)


def _read(reply: object, key: str) -> object:
    """That field of the answer; None where there is no usable one."""
    try:
        return read_json(reply, key).get(key) if isinstance(reply, Response) else None
    except errors.ServerError:
        return None
