"""The original checkpoint, as Qwen publishes it, scores as the converted one does: nothing has to be converted.

Tests of `local/labels.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from qwen3_sglang import RerankClient
from qwen3_sglang.prompts.template import QWEN3

QUERY = "What is the capital of China?"
DOCUMENTS = [
    "Gravity is a force that attracts two bodies towards each other.",
    "The capital of China is Beijing.",
    "China is a country in East Asia.",
    "",
    "A capital letter starts a sentence. 大きな文字 🙂",
    "\n what follows white space",
]
EXACT, NOISE = 1e-5, 0.05  # of P(yes): in float32; where a server computes in bfloat16
Start = Callable[..., str]


def scored(url: str, endpoint: str = "auto") -> list[float]:
    """Sync; the same when async."""
    with RerankClient(url, endpoint=endpoint, timeout=300) as client:
        found = client.score(QUERY, DOCUMENTS)

    async def again() -> list[float]:
        async with RerankClient(url, endpoint=endpoint, timeout=300) as client:
            return await client.ascore(QUERY, DOCUMENTS)

    assert asyncio.run(again()) == pytest.approx(found, abs=NOISE)
    return found


def test_the_original_scores_as_the_converted_one(
    start: Start, kind: str, causal_toy: Path, converted_toy: Path
) -> None:
    """In float32 the same numbers, by the endpoint that the client chooses or by name; so the same one is first."""
    converted = scored(start(kind, converted_toy, exact=True))
    url = start(kind, causal_toy, exact=True)
    original = scored(url)
    assert original == pytest.approx(converted, abs=EXACT)
    assert scored(url, "v1/score-labels") == pytest.approx(converted, abs=EXACT)
    assert original.index(max(original)) == converted.index(max(converted)) == 1
    assert max(original) > 0.9


def test_within_the_noise_of_bfloat16(start: Start, kind: str, tied_sharded: Path) -> None:
    """As served by default: a random network with tied embeddings, so that nothing is saturated."""
    converted = scored(start(kind, tied_sharded))
    assert scored(start(kind, tied_sharded.parent / "tied")) == pytest.approx(converted, abs=NOISE)


@pytest.fixture
def original_url(start: Start, kind: str, causal_toy: Path) -> str:
    """The original checkpoint, in float32."""
    return start(kind, causal_toy, exact=True)


def test_what_the_client_goes_by(original_url: str) -> None:
    """What both servers say of themselves; the columns of the answer are in the order of the tokens asked for."""
    url = original_url
    said = requests.get(f"{url}/model_info", timeout=60).json()
    assert (said["is_generation"], said["architectures"]) == (True, ["Qwen3ForCausalLM"])
    assert requests.get(f"{url}/server_info", timeout=60).json()["enable_mis"] is False
    words = requests.post(f"{url}/tokenize", json={"model": "x", "prompt": list(QWEN3.answers)}, timeout=60).json()
    [[no], [yes]] = words["tokens"]
    head = QWEN3.head(QUERY)
    body = {"model": "x", "query": head.bare, "items": head.tails(DOCUMENTS[1:2]), "apply_softmax": True}
    rows = [
        requests.post(f"{url}/v1/score", json={**body, "label_token_ids": ids}, timeout=60).json()["scores"][0]
        for ids in ([no, yes], [yes, no])
    ]
    assert rows[0] == pytest.approx(rows[1][::-1], abs=EXACT)
    assert rows[0][1] > 0.9


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/classify", {"input": ["a"]}, "This model does not appear to be an embedding model by default."),
        ("/v1/score", {"query": "a", "items": ["b"]}, "label_token_ids is required for generation (CausalLM) models."),
        ("/v1/score", {"items": ["b"], "label_token_ids": []}, "label_token_ids must be a nonempty list"),
        ("/v1/score", {"items": ["b"], "label_token_ids": [-1]}, "label_token_ids must contain nonnegative integers"),
        ("/v1/score", {"items": ["b"], "label_token_ids": [1, 1]}, "label_token_ids must not contain duplicate tokens"),
        ("/v1/score", {"items": ["b"], "label_token_ids": [[1], [2]]}, "label_token_ids must have one list per item"),
        ("/v1/score", {"items": ["b"], "label_token_ids": "no"}, "label_token_ids"),
    ],
)
def test_refusals(original_url: str, path: str, body: dict[str, object], words: str) -> None:
    """The embedded server refuses what SGLang refuses, in its words."""
    answer = requests.post(f"{original_url}{path}", json={"model": "x", **body}, timeout=60)
    assert answer.status_code == 400
    assert words in answer.json()["message"]
