"""Real small checkpoints, built once a session; a test that changes one copies it first."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM


@pytest.fixture(scope="session")
def toy(causal_toy: Path) -> Path:
    """The hand-wired toy: untied, a single file."""
    return causal_toy


def _random_model(toy: Path, out: Path, *, tied: bool, shard_size: str) -> Path:
    """A small random Qwen3 with the toy's tokenizer."""
    torch.manual_seed(7)
    make: Any = Qwen3Config
    config = make(
        vocab_size=Qwen3Config.from_pretrained(toy).vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        tie_word_embeddings=tied,
        pad_token_id=None,
        initializer_range=0.2,
    )
    model: Any = Qwen3ForCausalLM(config)
    model.to(torch.bfloat16).save_pretrained(out, max_shard_size=shard_size)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(toy / name, out / name)
    return out


@pytest.fixture(scope="session")
def tied(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """lm_head tied to the embeddings: no lm_head.weight in the file."""
    return _random_model(toy, tmp_path_factory.mktemp("sources") / "tied", tied=True, shard_size="5GB")


@pytest.fixture(scope="session")
def sharded(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untied, in several files with an index."""
    return _random_model(toy, tmp_path_factory.mktemp("sources") / "sharded", tied=False, shard_size="20KB")


@pytest.fixture
def source(toy: Path, tmp_path: Path) -> Path:
    """A copy of the toy that a test may break."""
    return Path(shutil.copytree(toy, tmp_path / "source"))
