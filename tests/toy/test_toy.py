"""The toy: it ranks by shared words through the real template, and it says what it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.prompts.template import build_prompts
from qwen3_sglang.toy import build_toy

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import qwen3_sglang.toy
try:
    qwen3_sglang.toy.build_toy(sys.argv[1])
except ImportError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def toy(causal_toy: Path) -> Path:
    """The one that all tests share."""
    return causal_toy


def test_more_shared_words_score_higher(toy: Path) -> None:
    """All, half and none of the query's words."""
    tokenizer: Any = AutoTokenizer.from_pretrained(toy)
    model: Any = AutoModelForCausalLM.from_pretrained(toy, dtype=torch.float32)
    yes, no = tokenizer.convert_tokens_to_ids(["yes", "no"])
    documents = ["The import system finds a module.", "The import statement.", "Lists are mutable sequences."]
    logits = []
    for document in documents:
        [text] = build_prompts("import module", [document])
        with torch.no_grad():
            last = model(**tokenizer(text, return_tensors="pt")).logits[0, -1]
        logits.append((last[yes] - last[no]).item())
    assert logits[0] > 0 > logits[2]
    assert logits == sorted(logits, reverse=True)


def test_it_is_the_same_every_time(toy: Path, tmp_path: Path) -> None:
    """Written by hand: no byte of the weights depends on chance, nor does the caller's chance on it."""
    before = torch.random.get_rng_state()
    again = build_toy(str(tmp_path / "again"))
    for name in ("model.safetensors", "tokenizer.json"):
        assert (again / name).read_bytes() == (toy / name).read_bytes()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_building_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """No progress bar, no warning."""
    build_toy(tmp_path / "toy", ["The import statement finds a module.", "Lists are mutable sequences."])
    assert capfd.readouterr() == ("", "")


def test_it_is_small(toy: Path) -> None:
    """Under 10 MB, whatever it is built for."""
    assert sum(path.stat().st_size for path in toy.iterdir()) < 10e6


@pytest.mark.parametrize("texts", ["one string", [], [" "], ["a", 3]])
def test_texts_that_are_none(tmp_path: Path, texts: Any) -> None:
    """Said before anything is built."""
    with pytest.raises(InvalidInputError, match="texts"):
        build_toy(tmp_path / "toy", texts)
    assert not (tmp_path / "toy").exists()


def test_without_torch_only_building_fails(tmp_path: Path) -> None:
    """Importing the module is free; building names the extra to install."""
    command = [sys.executable, "-c", WITHOUT_TORCH, str(tmp_path / "toy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MissingDependencyError")
    assert "qwen3-sglang[local]" in done.stdout
