"""Arguments, environment, and a key that nothing shows.

Tests of `options/option.py`.
"""

from __future__ import annotations

import copy
import dataclasses
import pickle
import traceback
from collections.abc import Callable

import pytest

from qwen3_sglang import RerankClient
from qwen3_sglang.errors import InvalidInputError, ServerUnreachableError
from qwen3_sglang.protocol.retry import Backoff
from qwen3_sglang.secret import Bearer, SecretStr
from qwen3_sglang.settings import make_settings

KEY = "sk-very-secret-4711"


def test_defaults_and_environment() -> None:
    """An argument wins over the environment, the environment over the default."""
    environ = {"QWEN3_SGLANG_BASE_URL": "http://gpu:30000/", "QWEN3_SGLANG_API_KEY": KEY}
    assert make_settings(environ={}).base_url == "http://127.0.0.1:30000"
    assert make_settings(environ=environ).base_url == "http://gpu:30000"
    assert make_settings("http://other:1", environ=environ).base_url == "http://other:1"
    key = make_settings(environ=environ).api_key
    assert key is not None
    assert key.get_secret_value() == KEY


def test_settings_are_frozen() -> None:
    """Nobody changes them behind a client's back."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_settings(environ={}).timeout = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"base_url": "localhost:30000"}, "base_url"),
        ({"endpoint": "v1/rerank"}, "endpoint"),
        ({"endpoint": None}, "endpoint"),
        ({"cache_size": -1}, "cache_size"),
        ({"max_length": 0}, "max_length"),
        ({"tokenizer": 7}, "tokenizer"),
        ({"tokenizer": " "}, "tokenizer"),
        ({"escape_special_tokens": "no"}, "escape_special_tokens"),
        ({"base_url": "ftp://x"}, "base_url"),
        ({"base_url": "http://"}, "base_url"),
        ({"base_url": "http://x:port"}, "base_url"),
        ({"base_url": "http://x:1/v1"}, "base_url"),
        ({"base_url": "http://u:pw@x:1"}, "base_url"),
        ({"base_url": 5}, "base_url"),
        ({"api_key": "two\nlines"}, "api_key"),
        ({"api_key": 5}, "api_key"),
        ({"model": " "}, "model"),
        ({"instruction": ""}, "instruction"),
        ({"batch_size": 0}, "batch_size"),
        ({"max_concurrency": True}, "max_concurrency"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": 10**400}, "timeout"),
        ({"timeout": 1e10}, "timeout"),  # locks and sockets take no such number
        ({"connect_timeout": 1e7}, "connect_timeout"),
        ({"backoff": "slow"}, "backoff"),
        ({"backoff": Backoff(-1, 8)}, "backoff.base"),
        ({"backoff": Backoff(1, float("nan"))}, "backoff.cap"),
        ({"timeout": float("inf")}, "timeout"),
        ({"connect_timeout": 0}, "connect_timeout"),
        ({"connect_timeout": None}, "connect_timeout"),
        ({"read_timeout": -1}, "read_timeout"),
        ({"read_timeout": "soon"}, "read_timeout"),
        ({"max_retries": -1}, "max_retries"),
        ({"max_retries": 1.5}, "max_retries"),
        ({"on_error": "ignore"}, "on_error"),
        ({"on_error": None}, "on_error"),
    ],
)
def test_unusable_values_are_named(options: dict[str, object], field: str) -> None:
    """At construction, before any request."""
    with pytest.raises(InvalidInputError) as caught:
        make_settings(**options, environ={})  # type: ignore[arg-type]
    assert caught.value.field == field
    assert "pw" not in str(caught.value)


def test_key_is_never_shown() -> None:
    """Not in a repr, a dump, a pickle or a traceback with its locals."""
    client = RerankClient("http://127.0.0.1:9", api_key=KEY)  # the discard port: nothing listens there
    shown = [repr(client), str(client.settings), repr(vars(client)), str(dataclasses.asdict(client.settings))]
    shown.append(str(pickle.dumps(client)))
    assert copy.copy(client).settings.api_key is None
    with pytest.raises(ServerUnreachableError) as caught:
        client.score("q", ["d"])
    failure = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    shown.append("".join(failure.format()))
    assert KEY not in "".join(shown)
    assert "base_url right" in shown[-1]


@pytest.mark.parametrize("kind", [SecretStr, lambda key: Bearer(SecretStr(key))], ids=["key", "header"])
def test_a_secret_is_copied_but_never_pickled(kind: Callable[[str], object]) -> None:
    """Recorders and tracers copy requests, headers and all; a pickle says where to set the key instead."""
    secret = kind(KEY)
    assert copy.copy(secret) is secret
    assert copy.deepcopy({"Authorization": secret})["Authorization"] is secret
    with pytest.raises(TypeError, match="QWEN3_SGLANG_API_KEY"):
        pickle.dumps(secret)
