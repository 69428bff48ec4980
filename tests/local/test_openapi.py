"""The embedded server does what its own description says, whatever is thrown at it; never a 500."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Config, GenerationMode
from schemathesis.checks import positive_data_acceptance

from qwen3_sglang import local
from qwen3_sglang.local.openapi import OPERATIONS, describe

POSTS = [path for path, operation in OPERATIONS.items() if operation.body is not None]
KEY = "made-up-key-0123456789"


@pytest.fixture(scope="module")
def url(converted_toy: Path) -> Iterator[str]:
    """The toy behind the embedded server."""
    with local.run_in_thread(converted_toy, device="cpu", dtype="float32") as base_url:
        yield base_url


REFUSED = {"checks": {"negative_data_rejection": {"expected-statuses": [400, 413]}}}
API = schemathesis.openapi.from_dict(describe("test", with_key=False), config=Config.from_dict(REFUSED))


CASES = [(path, GenerationMode.POSITIVE) for path in OPERATIONS] + [(path, GenerationMode.NEGATIVE) for path in POSTS]


@pytest.mark.parametrize(("path", "mode"), CASES)
def test_keeps_to_its_description(url: str, path: str, mode: GenerationMode) -> None:
    """No 5xx, only described statuses, types and bodies; what breaks the schema is refused.

    Not everything that the schema allows is accepted: SGLang refuses blank, long and unknown input in its own words.
    """

    @settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=API[path][OPERATIONS[path].method].as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        said = case.call_and_validate(base_url=url, excluded_checks=[positive_data_acceptance])
        statuses.append(said.status_code)

    statuses: list[int] = []
    check()
    assert statuses
    assert all(400 <= status < 500 for status in statuses) or mode is GenerationMode.POSITIVE


HOSTILE = [
    b"",
    b"\x00",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"input": ' + b"[" * 100_000,
    b'{"input": "a", "model": NaN}',
    b'{"input": "a", "model": "\\ud800"}',
    b'{"query": "a", "items": ["b"], "model": "\\ud800"}',
    b'{"query": "a", "items": ["b"], "model": NaN, "apply_softmax": 1}',
    b'{"input": [' + b"9" * 4000 + b"]}",
    b'{"input": [' + b"9" * 5000 + b"]}",
    b'{"tokens": [-1]}',
    b'{"tokens": [4294967296]}',
    b'{"tokens": [[4294967295, 0]]}',
    b'{"tokens": [' + b"9" * 4000 + b"]}",
    b'{"prompt": ["\\u0000", "\\uffff", "\\udbff\\udfff"]}',
    b'{"input": "\\u0000"}',
    b'{"input": [true]}',
    b'{"input": [1.0]}',
    b'{"input": [1e999]}',
    b'{"query": [0], "items": [[0]], "item_first": NaN}',
    b'{"query": null, "items": [[], [1]]}',
    b'{"query": "<|im_end|>", "items": ["<|im_start|>"]}',
]


@pytest.mark.parametrize("path", POSTS)
def test_hostile_bodies(url: str, path: str) -> None:
    """What a schema can't say: broken JSON, broken text, numbers without end."""
    for body in HOSTILE:
        answer = requests.post(url + path, data=body, headers={"content-type": "application/json"}, timeout=30)
        assert answer.status_code in {200, 400}, (body[:40], answer.status_code, answer.text)
        assert answer.json()


ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=20)  # lone surrogates too
NUMBER = st.one_of(st.integers(), st.floats(), st.booleans(), st.none())
ANY_JSON = st.recursive(
    st.one_of(NUMBER, ANY_TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(ANY_TEXT, inner, max_size=3)),
    max_leaves=8,
)
FIELDS = ("input", "query", "items", "prompt", "tokens", "model", "apply_softmax", "item_first", "skip_special_tokens")


@pytest.mark.parametrize("path", POSTS)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=st.dictionaries(st.sampled_from(FIELDS), st.one_of(ANY_TEXT, st.lists(ANY_TEXT, max_size=3), ANY_JSON)))
def test_no_body_fails(url: str, path: str, body: dict[str, Any]) -> None:
    """Any text, number and shape in any field: answered, or refused with a reason."""
    data = json.dumps(body)
    answer = requests.post(url + path, data=data, headers={"content-type": "application/json"}, timeout=60)
    assert answer.status_code in {200, 400}, (data, answer.text)
    assert answer.json()


def test_every_route_is_described_and_guarded(converted_toy: Path) -> None:
    """All but /health ask for the key, and say so."""
    with local.run_in_thread(converted_toy, device="cpu", dtype="float32", api_key=KEY) as url:
        described = requests.get(f"{url}/openapi.json", headers={"authorization": f"Bearer {KEY}"}, timeout=30).json()
        assert set(described["paths"]) == set(OPERATIONS)
        for path, operations in described["paths"].items():
            [(method, operation)] = operations.items()
            status = requests.request(method, url + path, timeout=30).status_code
            assert (status == 401) is ("401" in operation["responses"]) is (path != "/health")
        assert KEY not in str(described)
