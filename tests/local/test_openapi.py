"""The embedded server does what its own description says, whatever is thrown at it; never a 500."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Config, GenerationMode
from schemathesis.checks import positive_data_acceptance

from qwen3_sglang import local
from qwen3_sglang.local.openapi import OPERATIONS, describe

POSTS = [path for path, operation in OPERATIONS.items() if operation.body is not None]
KEY = "made-up-key-0123456789"


@pytest.fixture(scope="module")
def url(converted_toy: Path) -> Iterator[str]:
    """The toy behind the embedded server."""
    with local.run_in_thread(converted_toy) as base_url:
        yield base_url


REFUSED = {"checks": {"negative_data_rejection": {"expected-statuses": [400, 413]}}}
API = schemathesis.openapi.from_dict(describe("test", with_key=False), config=Config.from_dict(REFUSED))


CASES = [(path, GenerationMode.POSITIVE) for path in OPERATIONS] + [(path, GenerationMode.NEGATIVE) for path in POSTS]


@pytest.mark.parametrize(("path", "mode"), CASES)
def test_keeps_to_its_description(url: str, path: str, mode: GenerationMode) -> None:
    """No 5xx, only described statuses, types and bodies; what breaks the schema is refused.

    Not everything that the schema allows is accepted: SGLang refuses blank, long and unknown input in its own words.
    """

    @settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
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


def test_every_route_is_described_and_guarded(converted_toy: Path) -> None:
    """All but /health ask for the key, and say so."""
    with local.run_in_thread(converted_toy, api_key=KEY) as url:
        described = requests.get(f"{url}/openapi.json", headers={"authorization": f"Bearer {KEY}"}, timeout=30).json()
        assert set(described["paths"]) == set(OPERATIONS)
        for path, operations in described["paths"].items():
            [(method, operation)] = operations.items()
            status = requests.request(method, url + path, timeout=30).status_code
            assert (status == 401) is ("401" in operation["responses"]) is (path != "/health")
        assert KEY not in str(described)
