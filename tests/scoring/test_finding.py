"""Which way the server is asked: as the user says, or by what it says of itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from qwen3_sglang.errors import InvalidInputError, ModelReplacedError
from qwen3_sglang.prompts.template import QWEN3
from qwen3_sglang.protocol.endpoints import ENDPOINTS
from qwen3_sglang.protocol.exchange import Request, Run
from qwen3_sglang.protocol.responses import Response
from qwen3_sglang.protocol.served import Served
from qwen3_sglang.protocol.ways import Said, Way
from qwen3_sglang.scoring.finding import find_way
from qwen3_sglang.settings import make_settings
from steps import PATIENCE

CONVERTED = "Qwen3ForSequenceClassification"


def found(known: Way | None = None, *, multi_item: bool = False, **options: Any) -> tuple[Way, list[Request]]:
    """The way, and what was asked for it: of a server without a tokenizer."""
    served = Served("served", owner="sglang")
    running = Run(find_way(make_settings(environ={}, **options), known, served, PATIENCE, None))
    answers = {"/model_info": {"architectures": [CONVERTED]}, "/server_info": {"enable_mis": multi_item}}
    asked: list[Request] = []
    step = running.step()
    while step is not None:
        assert isinstance(step, Request)
        asked.append(step)
        answer = answers.get(step.path)
        body = json.dumps(answer).encode()
        step = running.step(Response("u", 404, b"{}") if answer is None else Response("u", 200, body))
    return running.result, asked


@pytest.mark.parametrize("endpoint", [name for name, row in ENDPOINTS.items() if not row.labels])
def test_a_named_endpoint_asks_nothing(endpoint: str) -> None:
    """The user knows."""
    assert found(endpoint=endpoint) == (Way(endpoint), [])


@pytest.mark.parametrize(("named", "model"), [({"model": "mine"}, "mine"), ({}, "served")])
def test_named_for_the_original_checkpoint(named: dict[str, str], model: str) -> None:
    """Only the tokens are asked for, of the model that is asked; other tokens would score silently."""
    way, [asked] = found(endpoint="v1/score-labels", **named)
    assert way == Way("v1/score-labels", (2152, 9693))
    assert (asked.path, json.loads(asked.body or b"")["model"]) == ("/tokenize", model)
    with pytest.raises(InvalidInputError, match=r"template\.answer_ids"):
        found(endpoint="v1/score-labels", template=replace(QWEN3, answer_ids=None))


@pytest.mark.parametrize("multi_item", [True, False])
@pytest.mark.parametrize("before", [None, "classify", "v1/classify", "v1/score", "v1/score-multi-item"])
def test_another_way_than_before(before: str | None, multi_item: bool) -> None:
    """Whatever was learned belongs to another server, which may be asked at any endpoint."""
    endpoint = "v1/score-multi-item" if multi_item else "v1/classify"
    known = None if before is None else Way(before)
    if before in {None, endpoint}:
        assert found(known, multi_item=multi_item)[0] == Way(endpoint, said=Said(multi_item, CONVERTED))
    else:
        with pytest.raises(ModelReplacedError, match=endpoint):
            found(known, multi_item=multi_item)
