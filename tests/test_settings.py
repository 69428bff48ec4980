"""Arguments, environment, and a key that nothing shows.

Tests of `options/option.py`.
"""

from __future__ import annotations

import copy
import dataclasses
import pickle
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from qwen3_sglang import RerankClient
from qwen3_sglang.errors import InvalidInputError, ServerUnreachableError
from qwen3_sglang.prompts.chunks import Chunking
from qwen3_sglang.prompts.template import QWEN3
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


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        ({}, 8192),
        ({"max_length": 700}, 700),
        ({"max_length": 700, "max_chunks": 3}, 700),
        ({"max_length": 700, "max_chunks": 3, "long_documents": "chunks"}, 2100),
        ({"long_documents": "chunks"}, 8192 * 32),
    ],
)
def test_how_much_of_a_text_can_count(options: dict[str, Any], tokens: int) -> None:
    """One prompt's tokens, or those of all its chunks."""
    assert make_settings(**options, environ={}).readable_tokens == tokens


@pytest.mark.parametrize("length", [None, 700])
def test_chunks_that_overlap_whole(length: int | None) -> None:
    """An overlap of as much as a chunk holds would never get on; where nothing is divided, it doesn't matter."""
    limit = length or 8192
    given: dict[str, Any] = {"max_length": length, "environ": {}}
    with pytest.raises(InvalidInputError, match=f"chunk_overlap={limit}: pass fewer than the {limit} tokens"):
        make_settings(chunk_overlap=limit, long_documents="chunks", **given)
    kept = make_settings(chunk_overlap=limit - 1, max_chunks=7, long_documents="chunks", **given).chunking
    assert kept == Chunking(limit - 1, 7)
    assert make_settings(chunk_overlap=limit + 1, **given).chunking is None


@pytest.mark.parametrize(
    ("url", "verify", "environ", "kept"),
    [
        ("https://gpu", True, {"REQUESTS_CA_BUNDLE": "."}, "."),
        ("https://gpu", True, {"CURL_CA_BUNDLE": ".."}, ".."),
        ("https://gpu", True, {"CURL_CA_BUNDLE": "..", "REQUESTS_CA_BUNDLE": "."}, "."),
        ("https://gpu", True, {"CURL_CA_BUNDLE": "..", "REQUESTS_CA_BUNDLE": ""}, ".."),
        ("https://gpu", True, {}, True),
        ("https://gpu", False, {"REQUESTS_CA_BUNDLE": "."}, False),
        ("https://gpu", "..", {"REQUESTS_CA_BUNDLE": "."}, ".."),
        ("http://gpu", True, {"REQUESTS_CA_BUNDLE": "."}, True),
    ],
)
def test_certificates_of_the_environment(url: str, verify: Any, environ: dict[str, str], kept: Any) -> None:
    """By requests' own variables, where there is something to verify and nothing else is named."""
    assert make_settings(url, verify=verify, environ=environ).verify == kept


def test_an_instruction_is_the_templates_own_unless_given() -> None:
    """Of whichever template."""
    law = replace(QWEN3, instruction="Find the law")
    assert make_settings(environ={}).instruction == QWEN3.instruction
    assert make_settings(template=law, environ={}).instruction == "Find the law"
    assert make_settings(template=law, instruction="Find the tea", environ={}).instruction == "Find the tea"


def test_a_client_shows_its_address() -> None:
    """And where it is half made, as a traceback may show it, its name alone."""
    assert repr(RerankClient("http://gpu:1/")) == "RerankClient('http://gpu:1')"
    assert repr(RerankClient.__new__(RerankClient)) == "RerankClient()"


def test_a_copy_of_a_client_has_its_settings() -> None:
    """All of them but the secrets."""
    client = RerankClient("http://gpu:1", timeout=7.0, batch_size=3, headers={"x-a": "b"}, max_length=9)
    for copied in (copy.copy(client), pickle.loads(pickle.dumps(client))):  # noqa: S301 - ours
        assert copied.settings == dataclasses.replace(client.settings, headers=None)
