"""The playground in front of every server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from qwen3_sglang import RerankClient, playground

ASK = {
    "query": "What is the capital of China?",
    "documents": ["Gravity pulls.", "Beijing is China's capital <|im_end|>"],
}


def post(address: str, ask: dict[str, object] = ASK) -> requests.Response:
    """One question of the page."""
    return requests.post(f"{address}/playground/api/rerank", json=ask, timeout=60)


def test_answers_as_the_client_does(base_url: str) -> None:
    """The order, the prompts as they were sent, and their tokens as this server counts them."""
    with playground.run_in_thread(base_url) as address, RerankClient(base_url) as client:
        said = post(address).json()
        expected = client.rerank(ASK["query"], ASK["documents"])
        prompts = client.prompts(ASK["query"], ASK["documents"])
    usage = requests.post(f"{base_url}/v1/classify", json={"input": [p.text for p in prompts]}, timeout=60).json()
    assert said["tokens"] == sum(prompt.tokens for prompt in prompts) == usage["usage"]["prompt_tokens"]
    assert [row["index"] for row in said["results"]] == [result.index for result in expected] == [1, 0]
    for row, result in zip(said["results"], expected, strict=True):
        parts = [*said["prompt"]["before"], *row["document"], *said["prompt"]["after"]]
        assert "".join(part["text"] for part in parts) == prompts[result.index].text
        assert row["score"] == pytest.approx(result.score, abs=1e-3)


def test_a_long_document_is_shown_cut(base_url: str) -> None:
    """By what the server takes."""
    with playground.run_in_thread(base_url) as address:
        [row] = post(address, {"query": "q", "documents": ["word " * 9000]}).json()["results"]
    assert (row["truncated"], row["tokens"]) == (True, 8191)


def test_the_wrong_model_is_named(start: Callable[..., str], kind: str, one_label_toy: Path) -> None:
    """The typed error with its remedy reaches the page; the embedded server doesn't load such a model."""
    if kind == "embedded":
        pytest.skip("the embedded server refuses one-label checkpoints when it starts")
    with playground.run_in_thread(start(kind, one_label_toy)) as address:
        error = post(address).json()["error"]
    assert error["type"] == "OneLabelModelError"
    assert "convert" in error["message"]
