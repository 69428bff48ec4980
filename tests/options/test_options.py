"""The table of options: whatever repeats it is written from it.

Tests of `connection.py`.
"""

from __future__ import annotations

import inspect
from dataclasses import fields

import pytest

import langchain_qwen3_sglang
import llama_index_qwen3_sglang
import write_options
from option_values import OPTIONS as VALUES
from qwen3_sglang import InvalidInputError, RerankClient
from qwen3_sglang.connection import Connection
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
