"""Fine-tunes with a classifier's head, converted and served by real SGLang: P(yes) is what transformers makes of them.

The model is random: the toy's hand-written weights don't survive a server's bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qwen3_sglang import RerankClient
from qwen3_sglang.convert import convert
from qwen3_sglang.prompts.template import build_prompts
from real_sglang import needs_sglang, real_sglang

QUERY = "What is the capital of China?"
DOCUMENTS = [
    "The capital of China is Beijing.",
    "China is a country in East Asia.",
    "Gravity is a force that attracts two bodies towards each other.",
    "The import statement finds a module, loads it and binds it to a name.",
    "Lists are mutable sequences, typically used to store collections of similar items.",
]
BIAS = -1.375  # exact in bfloat16
# labels, the server's type, what that rounds
CASES = {"one label": (1, "bfloat16", 0.03), "two labels": (2, "bfloat16", 0.03), "exactly": (1, "float32", 1e-4)}


def fine_tune(causal_toy: Path, folder: Path, labels: int) -> Path:
    """A random classifier as transformers saves it; of one label it has a bias too, which transformers leaves out."""
    import torch  # noqa: PLC0415 - slow to import
    from safetensors.torch import load_file, save_file  # noqa: PLC0415 - the same
    from transformers import AutoTokenizer, Qwen3Config, Qwen3ForSequenceClassification  # noqa: PLC0415 - the same

    torch.manual_seed(labels)
    config: Any = Qwen3Config.from_pretrained(causal_toy, num_labels=labels)
    config.tie_word_embeddings, config.rope_theta, config.initializer_range = True, 1_000_000, 0.1
    make: Any = Qwen3ForSequenceClassification
    model = make(config)
    model.to(torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(causal_toy).save_pretrained(folder)
    if labels == 1:
        path = folder / "model.safetensors"
        save_file(load_file(path) | {"score.bias": torch.tensor([BIAS]).bfloat16()}, path, {"format": "pt"})
    return folder


def by_transformers(folder: Path, labels: int) -> list[float]:
    """P(yes) of the source in float32: the sigmoid of its only label and the bias, or the second of its two."""
    import torch  # noqa: PLC0415 - slow to import
    from transformers import AutoModelForSequenceClassification, AutoTokenizer  # noqa: PLC0415 - the same

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    scores = []
    for prompt in build_prompts(QUERY, DOCUMENTS):
        with torch.no_grad():
            logits = model(torch.tensor([tokenizer.encode(prompt, add_special_tokens=False)])).logits[0]
        scores.append(float((logits + BIAS).sigmoid()[0] if labels == 1 else logits.softmax(-1)[1]))
    return scores


@pytest.mark.parametrize("case", CASES)
def test_a_converted_fine_tune_scores_as_its_source(
    start: Callable[..., str], causal_toy: Path, tmp_path: Path, case: str
) -> None:
    """Within what the server's type rounds."""
    needs_sglang()
    labels, dtype, noise = CASES[case]
    start.stop_real()  # type: ignore[attr-defined]
    source = fine_tune(causal_toy, tmp_path / "source", labels)
    expected = by_transformers(source, labels)
    assert max(expected) - min(expected) > 4 * noise, expected
    target = convert(source, tmp_path / "converted", verify=True)
    with real_sglang(target, tmp_path / "log", "--dtype", dtype) as url, RerankClient(url) as client:
        scores = [client.score(QUERY, [document])[0] for document in DOCUMENTS]
    assert scores == pytest.approx(expected, abs=noise)
