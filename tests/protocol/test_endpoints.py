"""What each endpoint's row promises, and which row is used with whose server."""

from __future__ import annotations

import json

import pytest

from qwen3_sglang.prompts.template import QWEN3
from qwen3_sglang.protocol.call import Call
from qwen3_sglang.protocol.endpoints import DEFAULT_ENDPOINT, ENDPOINT_HELP, ENDPOINTS, endpoint_of
from qwen3_sglang.protocol.lists import score_documents
from qwen3_sglang.protocol.responses import Response
from steps import PATIENCE, after, where

# name -> (documents per request, whether its answers say which model gave them, tokens of "no" and "yes", one sequence)
ROWS = {
    "v1/classify": (32, True, False, False),
    "v1/score": (32, False, False, False),
    "v1/score-labels": (32, False, True, False),
    "v1/score-multi-item": (100, False, False, True),
    "v1/score-labels-multi-item": (100, False, True, True),
    "classify": (32, True, False, False),
}


def test_the_rows() -> None:
    """How they differ; each has its help."""
    found = {name: (row.list_size, not row.echoes, row.labels, row.packs) for name, row in ENDPOINTS.items()}
    assert found == ROWS
    assert all(f"{name} (" in ENDPOINT_HELP for name in ENDPOINTS)
    assert ENDPOINT_HELP.startswith("auto (")


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("endpoint", ["v1/classify", "v1/score", "classify"])
def test_who_is_asked_which_model_answered(endpoint: str, fresh: bool) -> None:
    """The server, after an answer that doesn't say it, over a connection that was opened for it."""
    call = Call("m", QWEN3.head("q"), 8192, PATIENCE, endpoint=endpoint)
    steps = score_documents(call, ["d"], where)
    after(steps)
    row = {"index": 0, "label": "yes", "probs": [0.25, 0.75], "num_classes": 2}
    answer = Response("u", 200, json.dumps({"data": [row], "scores": [[0.25, 0.75]]}).encode(), fresh=fresh)
    if fresh and endpoint == "v1/score":
        asked = after(steps, answer)
        assert getattr(asked, "path", None) == "/v1/models"
        answer = Response("u", 200, b'{"data":[{"id":"m"}]}')
    with pytest.raises(StopIteration) as stop:
        after(steps, answer)
    [score] = stop.value.value
    assert score.p_yes == 0.75
    assert call.renewed.is_set() is fresh


@pytest.mark.parametrize(
    ("owner", "endpoint"),
    [("sglang", "v1/classify"), ("vllm", "classify"), ("somebody", DEFAULT_ENDPOINT), (None, DEFAULT_ENDPOINT)],
)
def test_whose_server_has_which(owner: str | None, endpoint: str) -> None:
    """The first of each owner's; the default where the owner isn't known."""
    assert endpoint_of(owner) == endpoint
