"""The table of options: whatever repeats it is written from it.

Tests of `connection.py`, `settings.py`.
"""

from __future__ import annotations

import inspect
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import langchain_qwen3_sglang
import llama_index_qwen3_sglang
import write_options
from option_values import OPTIONS as VALUES
from qwen3_sglang import InvalidInputError, RerankClient
from qwen3_sglang.connection import Connection
from qwen3_sglang.protocol.retry import Backoff
from qwen3_sglang.settings import OPTIONS, Settings, make_settings

ADAPTERS = [
    langchain_qwen3_sglang.Qwen3SGLangRerank,
    langchain_qwen3_sglang.Qwen3SGLangCrossEncoder,
    llama_index_qwen3_sglang.Qwen3SGLangRerank,
]


@pytest.mark.parametrize("path", [write_options.CLIENT, write_options.FIELDS, write_options.PAGE], ids=lambda p: p.name)
def test_what_follows_from_the_table_is_up_to_date(path: write_options.Path) -> None:
    """After a change of the table: python tests/write_options.py."""
    assert path.read_text(encoding="utf-8") == write_options.written(path)


def test_writing_is_repeatable() -> None:
    """What stands between the written parts stays as it is, and a lost option comes back."""
    source = write_options.CLIENT.read_text(encoding="utf-8")
    spoilt = source.replace("        timeout: float = 60.0,\n", "")
    assert spoilt != source
    assert write_options.client_source(spoilt) == source
    fields_ = write_options.FIELDS.read_text(encoding="utf-8")
    assert write_options.fields_source(fields_.replace('    timeout: float = option("timeout")\n', "")) == fields_


def test_the_clients_signature_is_the_table() -> None:
    """Names, defaults and their order; all but the address by name."""
    _, *parameters = inspect.signature(RerankClient.__init__).parameters.values()
    assert [(one.name, one.default) for one in parameters] == [(name, one.default) for name, one in OPTIONS.items()]
    assert {one.name for one in parameters if one.kind is not one.KEYWORD_ONLY} == {"base_url"}
    assert [field.name for field in fields(Settings)] == list(OPTIONS)


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: f"{adapter.__module__}.{adapter.__name__}")
def test_the_adapters_fields_are_the_table(adapter: type[Connection]) -> None:
    """Names, defaults, help; frozen, but for what is sent with each call."""
    for name, one in OPTIONS.items():
        assert (name in adapter.model_fields) is one.adapters
        if one.adapters:
            field = adapter.model_fields[name]
            assert (field.default, field.description) == (one.default, one.help)
            assert bool(field.frozen) is not one.per_call


@pytest.mark.parametrize("name", OPTIONS)
def test_a_default_passes_its_own_check(name: str) -> None:
    """And says what it does in a sentence."""
    kept = getattr(make_settings(environ={}), name)
    OPTIONS[name].check(name, kept)
    assert OPTIONS[name].help.endswith(".")


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, (_, refused) in VALUES.items() if name in OPTIONS for value in refused],
)
def test_the_client_refuses_by_name(name: str, value: object) -> None:
    """The error's field is the option, whatever is wrong with the value."""
    with pytest.raises(InvalidInputError) as caught:
        make_settings(**{name: value}, environ={})
    assert caught.value.field == name


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"timeout": 1_000_000}, 1_000_000),
        ({"timeout": 1e-9}, 1e-9),
        ({"batch_size": 1}, 1),
        ({"cache_size": 0}, 0),
        ({"max_retries": 0}, 0),
        ({"max_retries": None}, None),
        ({"read_timeout": None}, None),
        ({"max_chunks": 1}, 1),
        ({"chunk_overlap": 0}, 0),
        ({"backoff": Backoff(0, 0)}, Backoff(0, 0)),
        ({"base_url": None}, "http://127.0.0.1:30000"),
        ({"base_url": "http://gpu//"}, "http://gpu"),
        ({"base_url": "https://gpu:65535/below/a/path/"}, "https://gpu:65535/below/a/path"),
        ({"base_url": "http://[::1]:1"}, "http://[::1]:1"),
        ({"base_url": "http://gpu/v1x"}, "http://gpu/v1x"),
        ({"base_url": "http://gpu/a@b"}, "http://gpu/a@b"),
        ({"api_key": ""}, None),
        ({"headers": {}}, None),
        ({"headers": "\n \n"}, None),
        ({"tokenizer": Path("a") / "b"}, os.path.join("a", "b")),
        ({"tokenizer": None}, None),
        ({"verify": True}, True),
        ({"verify": "."}, "."),
    ],
    ids=str,
)
def test_the_edges_of_what_is_taken(given: dict[str, Any], kept: object) -> None:
    """The least and the most that pass, and what is read of them."""
    [name] = given
    assert getattr(make_settings(**given, environ={}), name) == kept


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"timeout": 1_000_001}, "timeout=1000001: pass a number of seconds above 0, 1,000,000 at most"),
        ({"timeout": True}, "timeout=True: pass a number of seconds above 0"),
        ({"batch_size": 0}, "batch_size=0: pass an integer of at least 1"),
        ({"cache_size": -1}, "cache_size=-1: pass an integer of at least 0"),
        ({"on_error": "skip"}, """on_error='skip': pass "raise" or "passthrough\""""),
        ({"escape_special_tokens": 1}, "escape_special_tokens=1: pass True or False"),
        ({"tokenizer": ""}, "tokenizer='': pass a path, or None"),
        ({"backoff": 3}, "backoff=3: pass a qwen3_sglang.Backoff"),
        ({"backoff": Backoff(1, -1)}, "backoff.cap=-1: pass a number of seconds above 0"),
        ({"template": "qwen"}, "template='qwen': pass a qwen3_sglang.prompts.template.Template"),
        ({"api_key": 3}, "api_key=<class 'int'>: pass a string or a SecretStr"),
        ({"api_key": " sk-"}, "api_key='**********': pass printable ASCII without spaces or line ends around it"),
        ({"api_key": "schl\u00fcssel"}, "api_key='**********': pass printable ASCII"),
        ({"base_url": 3}, "base_url=3: pass a string such as http://127.0.0.1:30000"),
        ({"base_url": "http://gpu:0"}, "base_url='http://gpu:0': pass scheme, host and port, such as http://127.0.0.1"),
        ({"base_url": "http://gpu:9x"}, "base_url='…': pass scheme://host:port, such as http://127.0.0.1:30000"),
        ({"base_url": "http://[::1"}, "base_url='…': pass scheme://host:port"),
        ({"base_url": "http://a b"}, "base_url='http://a b': pass scheme, host and port"),
        ({"base_url": "http://gpu\n"}, "base_url='http://gpu\\n': pass scheme, host and port"),
        ({"base_url": "http://me:pw@gpu"}, "base_url='…@…': take the credentials out of the address; use QWEN3_SGLANG"),
        ({"base_url": "http://gpu?key=sk"}, "base_url='http://gpu': leave out what follows ? or #"),
        ({"base_url": "http://gpu#sk"}, "base_url='http://gpu': leave out what follows ? or #"),
        ({"base_url": "http://gpu/v1/"}, "base_url='http://gpu/v1': leave out the trailing /v1; it is added for you"),
    ],
    ids=str,
)
def test_what_an_error_says_and_shows(given: dict[str, Any], words: str) -> None:
    """The option, its value unless that may hold a secret, and the remedy."""
    with pytest.raises(InvalidInputError) as caught:
        make_settings(**given, environ={})
    assert str(caught.value).startswith(words)
