"""The model that precision.py measures, and its heads; precision.py says how they are made and why."""

from __future__ import annotations

import json
import os
import pydoc_data.topics
import random
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from qwen3_sglang.convert.checkpoint import write_shard
from qwen3_sglang.convert.head import encode, head_rows, round_to
from qwen3_sglang.prompts.template import build_prompts

SHAPES: dict[str, dict[str, int]] = {
    "tiny": {"num_hidden_layers": 2, "intermediate_size": 1024, "num_attention_heads": 8, "num_key_value_heads": 2},
    "small": {"num_hidden_layers": 4, "intermediate_size": 2048, "num_attention_heads": 8, "num_key_value_heads": 4},
    "0.6B": {"num_hidden_layers": 28, "intermediate_size": 3072, "num_attention_heads": 16, "num_key_value_heads": 8},
}
HIDDEN, HEAD_DIM = 1024, 128
SHARPNESS = 1.6  # of attention: random heads would average the document away, and all last states would be alike
COMMON, SPREAD = 20.0, 4.0
DIRECTIONS = 32  # the rows vary along the main directions of the last states, as trained ones do
CALIBRATION, DOCUMENTS_A_QUERY = 200, 50
USUAL, IDENTITY = "[w_no; w_yes], no bias: the usual recipe", "identity"

Array = np.ndarray[Any, np.dtype[np.float64]]
Rows = Sequence[Sequence[float]]


def make_queries(count: int, documents: int, seed: int) -> list[tuple[str, list[str]]]:
    """Queries with so many documents each; all are runs of words from Python's documentation."""
    words = re.sub(r"[^\w.,;:()' ]+", " ", " ".join(pydoc_data.topics.topics.values())).split()
    drawn = random.Random(seed)  # noqa: S311 - texts, not secrets

    def text(length: int) -> str:
        begin = drawn.randrange(len(words) - length)
        return " ".join(words[begin : begin + length])

    drawn_documents = [[text(drawn.randint(8, 40)) for _ in range(documents)] for _ in range(count)]
    return [(text(8) + "?", texts) for texts in drawn_documents]


def make_prompts(count: int, seed: int) -> list[str]:
    """Prompts with the real template, of make_queries' texts."""
    queries = make_queries(-(-count // DOCUMENTS_A_QUERY), DOCUMENTS_A_QUERY, seed)
    return [p for query, documents in queries for p in build_prompts(query, documents)][:count]


def make_model(shape: str, tokenizer: Any) -> Any:
    """A random causal Qwen3 in bfloat16."""
    torch.manual_seed(0)
    make_config: Any = Qwen3Config
    config = make_config(
        vocab_size=-(-len(tokenizer) // 64) * 64,
        hidden_size=HIDDEN,
        head_dim=HEAD_DIM,
        max_position_embeddings=8192,
        rope_theta=1_000_000,
        tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **SHAPES[shape],
    )
    model: Any = Qwen3ForCausalLM(config)
    for name, weight in model.named_parameters():
        if name.endswith(("q_norm.weight", "k_norm.weight")):
            weight.data.fill_(SHARPNESS)
    return model.to(torch.bfloat16)


@torch.no_grad()
def last_states(model: Any, tokenizer: Any, prompts: Sequence[str]) -> Array:
    """[prompts, hidden]: what the head reads, one prompt at a time, so that nothing is padded."""
    states = []
    for prompt in prompts:
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids.to(model.device)
        states.append(model.model(ids).last_hidden_state[0, -1].double().cpu().numpy())
    return np.stack(states)


def make_rows(states: Array) -> Array:
    """[2, hidden], bfloat16 values: rows of "no" and "yes" with the logits that the module's docstring promises."""
    mean = states.mean(axis=0)
    directions = np.linalg.svd(states - mean, full_matrices=False)[2][:DIRECTIONS]
    drawn = np.random.default_rng(0).standard_normal((2, len(directions))) @ directions
    drawn -= np.outer(drawn @ mean, mean) / (mean @ mean)  # what the mean state yields is set below, by itself
    common, difference = drawn * (SPREAD / (states @ drawn.T).std(axis=0))[:, None]
    common += COMMON * mean / (mean @ mean)
    rows = [[round_to(float(x), "BF16") for x in common + sign * difference / 2] for sign in (-1, 1)]
    return np.array(rows)


def variants(w_no: Sequence[float], w_yes: Sequence[float]) -> dict[str, Rows]:
    """Rows of "no" and "yes" by name: in exact arithmetic and unrounded, all give the same P(yes)."""
    difference = [yes - no for no, yes in zip(w_no, w_yes, strict=True)]

    def split(share: float) -> Rows:
        row1 = [round_to(share * d, "BF16") for d in difference]
        return [round_to(one - d, "BF16") for one, d in zip(row1, difference, strict=True)], row1

    return {
        USUAL: (w_no, w_yes),
        "[w_no; w_yes], bias 0": (w_no, w_yes),
        "[0; d]": ([0.0] * len(difference), [round_to(d, "BF16") for d in difference]),
        "[-0.4 d; 0.6 d]": split(0.6),
        "[-d/3; 2d/3]": split(2 / 3),
        "[rest of d; d], the converter": head_rows(w_no, w_yes, "BF16"),
        IDENTITY: np.eye(HIDDEN).tolist(),
    }


def write_variant(converted: Path, folder: Path, rows: Rows, *, bias: bool) -> Path:
    """The converted checkpoint with another head; only the head's shard and the labels are written anew."""
    shutil.copytree(converted, folder, copy_function=os.link)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    shard, config = folder / index["weight_map"]["score.weight"], folder / "config.json"
    labels = {str(i): f"LABEL_{i}" for i in range(len(rows))}
    new = json.loads(config.read_text()) | {"id2label": labels, "label2id": {v: int(k) for k, v in labels.items()}}
    shard.unlink()  # a hard link: writing to it would change the converted checkpoint too
    config.unlink()
    config.write_text(json.dumps(new))
    weight = b"".join(encode(row, "BF16") for row in rows)
    tensors = [("score.weight", "BF16", (len(rows), HIDDEN), weight)]
    zeros = ("score.bias", "BF16", (len(rows),), bytes(2 * len(rows)))
    write_shard(shard, [*tensors, zeros] if bias else tensors)
    if not bias:
        del index["weight_map"]["score.bias"]
        listed = folder / "model.safetensors.index.json"
        listed.unlink()
        listed.write_text(json.dumps(index))
    return folder
