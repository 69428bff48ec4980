"""A converted checkpoint scores the same at every start of real SGLang; one made by the usual recipe does not.

SGLang gives the head a bias, which that recipe's checkpoint lacks, so each start draws another one at random:
https://github.com/sgl-project/sglang/issues/38768. The converter writes a bias of zeros.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from qwen3_sglang import RerankClient
from qwen3_sglang.toy.wiring import WIDTH
from real_sglang import needs_sglang, real_sglang

QUERY = "What is the capital of China?"
DOCUMENTS = [
    "The capital of China is Beijing.",
    "China is a country in East Asia.",
    "Gravity is a force that attracts two bodies towards each other.",
]
ROUNDING = 0.25  # at most, of two logits under 32 to bfloat16 at either start


@pytest.fixture
def two_starts(start: Callable[..., str], tmp_path: Path) -> Callable[[Path], list[list[float]]]:
    """Each document's score, asked alone, at two starts of real SGLang on one checkpoint."""
    needs_sglang()
    start.stop_real()  # type: ignore[attr-defined]
    return lambda model: [_scores(model, tmp_path / f"start-{i}.log") for i in range(2)]


def _logit(score: float) -> float:
    return math.log(score / (1 - score))


def _scores(model: Path, log: Path) -> list[float]:
    with real_sglang(model, log) as url, RerankClient(url) as client:
        return [client.score(QUERY, [document])[0] for document in DOCUMENTS]


@pytest.fixture(scope="session")
def usual_toy(causal_toy: Path) -> Path:
    """The usual recipe: transformers' two-label class with the rows of "no" and "yes", saved."""
    import torch  # noqa: PLC0415 - slow to import
    from transformers import AutoTokenizer, Qwen3ForCausalLM, Qwen3ForSequenceClassification  # noqa: PLC0415 - the same

    tokenizer = AutoTokenizer.from_pretrained(causal_toy)
    causal = Qwen3ForCausalLM.from_pretrained(causal_toy, dtype=torch.bfloat16)
    model = Qwen3ForSequenceClassification.from_pretrained(causal_toy, num_labels=2, dtype=torch.bfloat16)
    rows = [tokenizer.convert_tokens_to_ids(word) for word in ("no", "yes")]
    with torch.no_grad():
        model.score.weight.copy_(causal.lm_head.weight[rows])
    folder = causal_toy.parent / "usual"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_converted_checkpoint_scores_the_same_at_every_start(
    two_starts: Callable[[Path], list[list[float]]], converted_toy: Path
) -> None:
    """Nothing in the head is left to chance."""
    first, second = two_starts(converted_toy)
    assert first == second
    assert len(set(first)) > 1


def test_the_usual_recipe_scores_differently_at_every_start(
    two_starts: Callable[[Path], list[list[float]]], usual_toy: Path
) -> None:
    """By no more than two random biases can; the day this is skipped, SGLang needs no bias in the checkpoint."""
    first, second = two_starts(usual_toy)
    if first == second:
        pytest.skip(f"SGLang initialises score.bias now: {first} at both starts of the usual recipe's checkpoint")
    shifts = [_logit(b) - _logit(a) for a, b in zip(first, second, strict=True)]
    assert max(map(abs, shifts)) < 4 / math.sqrt(WIDTH) + ROUNDING, (first, second)
