"""Fine-tunes as people have them, made with transformers from a small random language model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from qwen3_sglang.convert.vocabulary import find_tokens


def classifier(
    source: Path,
    out: Path,
    *,
    labels: int,
    weight: torch.Tensor | None = None,
    bias: list[float] | None = None,
    **config: Any,
) -> Path:
    """`source` as transformers saves a fine-tune of `labels` labels; the head is random unless `weight` is given."""
    torch.manual_seed(11)
    model: Any = AutoModelForSequenceClassification.from_pretrained(source, num_labels=labels, dtype=torch.bfloat16)
    with torch.no_grad():
        model.score.weight.copy_(torch.randn(labels, model.config.hidden_size) / 4 if weight is None else weight)
    model.save_pretrained(out)
    for path in source.glob("tokenizer*"):
        shutil.copyfile(path, out / path.name)
    if bias is not None:
        path = out / "model.safetensors"
        save_file(load_file(path) | {"score.bias": torch.tensor(bias).bfloat16()}, path, {"format": "pt"})
    path = out / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    return out


def token_rows(source: Path) -> torch.Tensor:
    """[2, hidden]: the embeddings of "no" and "yes", which a tied model scores with."""
    tokens = find_tokens(source)
    rows: torch.Tensor = load_file(source / "model.safetensors")["model.embed_tokens.weight"]
    return rows[[tokens.no, tokens.yes]].float()
