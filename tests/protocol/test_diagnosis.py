"""Which failures are explained by asking the server what it serves, and which words of its answer count."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qwen3_sglang import errors
from qwen3_sglang.protocol.diagnosis import explained
from qwen3_sglang.protocol.exchange import Request, asks_for_less, queue_is_full
from qwen3_sglang.protocol.responses import Response

REFUSED = errors.RequestRejectedError("u", "no", status=400)
BROKEN = errors.ProtocolError("u", "odd rows")
MISSING = errors.NotSGLangError("u", "not found", status=404)


def diagnose(failure: errors.ServerError, endpoint: str, answer: object) -> tuple[str | None, errors.ServerError]:
    """(what was asked, what it is called now)."""
    steps = explained(failure, endpoint)
    try:
        asked: Any = next(steps)
    except StopIteration as stop:
        return None, stop.value
    with pytest.raises(StopIteration) as stopped:
        steps.send(
            answer if isinstance(answer, errors.ServerError) else Response("u", 200, json.dumps(answer).encode())
        )
    return asked.path, stopped.value.value


@pytest.mark.parametrize("endpoint", ["v1/classify", "v1/score", "classify"])
@pytest.mark.parametrize(
    "failure",
    [
        errors.RequestRejectedError("u", "too large", status=413),
        errors.AuthenticationError("u", "no", status=401),
        errors.ServerOverloadedError("u", "full", status=503),
        errors.ServerFailureError("u", "oops", status=500),
        errors.ServerUnreachableError("u", "gone"),
        errors.ModelMismatchError("u", "labels"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_what_needs_no_explaining(failure: errors.ServerError, endpoint: str) -> None:
    """Nothing is asked: an overloaded server must not get more requests."""
    assert diagnose(failure, endpoint, {}) == (None, failure)


@pytest.mark.parametrize("failure", [REFUSED, BROKEN], ids=["refused", "broken"])
@pytest.mark.parametrize("endpoint", ["v1/classify", "v1/score"])
@pytest.mark.parametrize(
    ("info", "kind", "words"),
    [
        ({"architectures": ["Qwen3ForCausalLM"]}, errors.UnconvertedModelError, "original causal checkpoint (Qwen3"),
        ({"architectures": ["Bert", "Qwen3ForCausalLM"]}, errors.ModelMismatchError, "runs Bert, not a reranker"),
        ({"architectures": ["Bert", None]}, errors.ModelMismatchError, "runs Bert, not a reranker"),
        ({"architectures": ["XLMRoberta"]}, errors.ModelMismatchError, "runs XLMRoberta, not a reranker"),
        ({"architectures": ["Qwen3ForSequenceClassification"]}, None, ""),
        ({"architectures": []}, None, ""),
        ({"architectures": [None]}, None, ""),
        ({"architectures": "Bert"}, None, ""),
        ({}, None, ""),
        ([], None, ""),
        (errors.ServerUnreachableError("u", "gone"), None, ""),
    ],
)
def test_another_model(
    failure: errors.ServerError, endpoint: str, info: object, kind: type[errors.ServerError] | None, words: str
) -> None:
    """Its architecture tells; where it isn't told, the failure stays as it is."""
    asked, found = diagnose(failure, endpoint, info)
    assert asked == "/model_info"
    if kind is None:
        assert found is failure
        return
    assert type(found) is kind
    assert words in found.message
    assert (found.url, found.status) == ("u", failure.status)


def owned_rows(by: object) -> list[dict[str, object]]:
    """The rows of a model list of that software."""
    return [{"id": "toy", "owned_by": by}]


def owned(by: object) -> dict[str, object]:
    """A model list of that software."""
    return {"data": owned_rows(by)}


@pytest.mark.parametrize(
    ("endpoint", "models", "right"),
    [
        ("v1/classify", owned("vllm"), "classify"),
        ("v1/score", owned("vllm"), "classify"),
        ("v1/classify", {"data": [*owned_rows("vllm"), *owned_rows("sglang")]}, "classify"),
        ("v1/classify", {"data": [*owned_rows("vllm"), "toy"]}, "classify"),
        ("classify", owned("sglang"), "v1/classify"),
        ("classify", owned("somebody"), "v1/classify"),
        ("classify", owned(None), "v1/classify"),
        ("classify", {"data": []}, "v1/classify"),
        ("classify", {"data": ["toy"]}, "v1/classify"),
        ("classify", {"data": "toy"}, "v1/classify"),
        ("v1/classify", owned("sglang"), None),
        ("classify", owned("vllm"), None),
        ("classify", {}, None),
        ("classify", errors.ServerTimeoutError("u", "slow"), None),
    ],
)
def test_a_path_that_is_missing(endpoint: str, models: object, right: str | None) -> None:
    """The one that this software has is named; the default's where it isn't known."""
    asked, found = diagnose(MISSING, endpoint, models)
    assert asked == "/v1/models"
    if right is None:
        assert found is MISSING
        return
    assert type(found) is errors.NotSGLangError
    assert found.message == f'not served there: pass endpoint="{right}" (not found)'
    assert (found.url, found.status) == ("u", 404)


@pytest.mark.parametrize(("owner", "explains"), [("sglang", True), ("vllm", False), ("somebody", False), (None, False)])
def test_a_path_of_the_same_name(owner: str | None, explains: bool) -> None:
    """SGLang has /classify too, and refuses what vLLM's takes."""
    asked, found = diagnose(REFUSED, "classify", owned(owner))
    assert asked == "/v1/models"
    assert (found is not REFUSED) is explains


@pytest.mark.parametrize(
    ("status", "attempts", "message", "less"),
    [
        (503, 1, "no workers", False),
        (503, 2, "no workers", True),
        (503, 3, "no workers", False),
        (503, 4, "no workers", True),
        (503, 1, "The Queue is FULL", True),
        (429, 2, "slow down", False),
        (502, 2, "no workers", False),
    ],
)
def test_what_asks_for_a_smaller_list(status: int, attempts: int, message: str, less: bool) -> None:
    """A full queue at once; every second 503 in a row, whatever it says."""
    failure = errors.ServerOverloadedError("u", message, status=status)
    failure.attempts = attempts
    assert asks_for_less(failure) is less


def test_a_full_queue_is_an_overload() -> None:
    """Other failures may speak of a queue as well."""
    assert not queue_is_full(errors.ServerFailureError("u", "queue is full", status=500))


def test_how_long_an_answer_may_be() -> None:
    """A mebibyte, and 32 bytes more for each that was sent."""
    assert [Request("/x").limit, Request("/x", b"").limit, Request("/x", b"ab").limit] == [2**20, 2**20, 2**20 + 64]
    assert Request("/x", bytes(2**16 - 1)).limit == 3 * 2**20 - 32
