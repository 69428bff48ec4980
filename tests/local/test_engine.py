from __future__ import annotations

import json
import math
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from qwen3_sglang.errors import ConversionError, InvalidInputError
from qwen3_sglang.local.engine import CPU_TOKENS, GPU_TOKENS, Engine, plan_batches

PROMPT = (
    "<|im_start|>system\nJudge<|im_end|>\n<|im_start|>user\n<Instruct>: Find\n<Query>: {query}\n"
    "<Document>: {document}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
)


@pytest.fixture(scope="module")
def engine(converted_toy: Path) -> Engine:
    return Engine(converted_toy)


@pytest.fixture(scope="module")
def prompts(engine: Engine) -> list[list[int]]:
    documents = ["The garbage collector frees memory.", "Bread.", "memory " * 40, "collector", ""]
    return [engine.encode(PROMPT.format(query="garbage collector", document=text)) for text in documents]


def edited(source: Path, target: Path, **changes: object) -> Path:
    """A copy of `source` with other values in its config; None removes a key."""
    shutil.copytree(source, target)
    config = json.loads((target / "config.json").read_text())
    config.update(changes)
    config = {key: value for key, value in config.items() if value is not None}
    (target / "config.json").write_text(json.dumps(config))
    return target


def test_order_and_padding_change_no_score(engine: Engine, prompts: list[list[int]]) -> None:
    together = engine.score(prompts)
    alone = [engine.score([prompt])[0] for prompt in prompts]
    for pair, expected in zip(together, alone, strict=True):
        assert pair == pytest.approx(expected, abs=1e-4)
    for pair, expected in zip(engine.score(prompts[::-1]), together[::-1], strict=True):
        assert pair == pytest.approx(expected, abs=1e-4)


def test_agrees_with_the_causal_model(engine: Engine, prompts: list[list[int]], causal_toy: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(causal_toy, dtype=torch.float32).eval()
    yes, no = engine.encode("yes"), engine.encode("no")
    for prompt, (got_no, got_yes) in zip(prompts, engine.score(prompts), strict=True):
        with torch.inference_mode():
            logits = model(torch.tensor([prompt])).logits[0, -1]
        expected = float(logits[yes[0]] - logits[no[0]])
        assert sigmoid(got_yes - got_no) == pytest.approx(sigmoid(expected), abs=5e-3)


def test_a_pad_id_inside_the_prompt_is_a_token(engine: Engine, prompts: list[list[int]]) -> None:
    prompt = [*prompts[0], 0]
    assert engine.score([prompt, prompts[2]])[0] == pytest.approx(engine.score([prompt])[0], abs=1e-4)
    assert engine.score([prompt])[0] != pytest.approx(engine.score([prompts[0]])[0], abs=1e-4)


def test_bias_is_applied(converted_toy: Path, tmp_path: Path, engine: Engine, prompts: list[list[int]]) -> None:
    folder = edited(converted_toy, tmp_path / "biased")
    path = next(p for p in folder.glob("*.safetensors") if "score.bias" in load_file(p))
    tensors = load_file(path)
    tensors["score.bias"] = torch.tensor([1.0, -2.0])
    save_file(tensors, path, metadata={"format": "pt"})
    [(no, yes)], [(plain_no, plain_yes)] = Engine(folder).score(prompts[:1]), engine.score(prompts[:1])
    assert (no - plain_no, yes - plain_yes) == pytest.approx((1.0, -2.0), abs=1e-4)


@pytest.mark.parametrize("ids", [[], [-1], [10**6], [1] * 8193])
def test_refuses_a_prompt_it_cannot_score(engine: Engine, ids: list[int]) -> None:
    with pytest.raises(InvalidInputError, match=r"prompts\[1\]"):
        engine.score([[1], ids])


def test_nothing_in_nothing_out(engine: Engine) -> None:
    assert engine.score([]) == []


def test_knows_its_labels_and_limit(engine: Engine) -> None:
    assert (engine.labels, engine.max_length) == (("no", "yes"), 8192)


def test_default_labels_work(converted_toy: Path, tmp_path: Path) -> None:
    folder = edited(converted_toy, tmp_path / "plain", id2label=None, label2id=None)
    assert Engine(folder).labels == ("LABEL_0", "LABEL_1")


def test_unconverted_names_the_command(causal_toy: Path) -> None:
    with pytest.raises(ConversionError, match=r"Qwen3ForCausalLM.*qwen3-sglang convert"):
        Engine(causal_toy)


def test_one_label_names_the_command(converted_toy: Path, tmp_path: Path) -> None:
    folder = edited(converted_toy, tmp_path / "one", id2label={"0": "yes"}, label2id={"yes": 0})
    with pytest.raises(ConversionError, match=r"1 label.*qwen3-sglang convert"):
        Engine(folder)


@pytest.mark.parametrize("config", [None, "{", "[]", "{}"])
def test_a_folder_that_is_no_checkpoint(tmp_path: Path, config: str | None) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(ConversionError, match="qwen3-sglang convert"):
        Engine(tmp_path)


@pytest.mark.parametrize("threads", [0, -1, True, 1.5])
def test_refuses_unusable_threads(converted_toy: Path, threads: object) -> None:
    with pytest.raises(InvalidInputError, match="threads"):
        Engine(converted_toy, threads=threads)  # type: ignore[arg-type]


def test_batches_cover_all_within_the_budget() -> None:
    lengths = [5, 900, 30, 31, 7, 2000, 29]
    batches = list(plan_batches(lengths, budget=1000))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(len(b) == 1 or len(b) * max(lengths[i] for i in b) <= 1000 for b in batches)
    assert batches[0] == [5]  # longer than the budget, so alone
    assert list(plan_batches([], CPU_TOKENS)) == []


LENGTHS = st.one_of(
    st.lists(st.integers(1, 2000), max_size=200),
    st.lists(st.integers(1, 60), max_size=200),  # short ones get no allowance
    st.lists(st.sampled_from([1, 90, 2047, 2048, 2049, 8192]), max_size=60),
)


@given(LENGTHS, st.sampled_from([1000, CPU_TOKENS, GPU_TOKENS]))
def test_padding_is_at_most_a_quarter(lengths: list[int], budget: int) -> None:
    batches = list(plan_batches(lengths, budget))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        real, padded = sum(lengths[i] for i in batch), max(lengths[i] for i in batch) * len(batch)
        assert padded <= budget or len(batch) == 1
        assert padded <= 1.25 * real


@given(st.lists(st.integers(1, 2000), min_size=2, max_size=200))
def test_no_batch_is_closed_before_it_must_be(lengths: list[int]) -> None:
    batches = list(plan_batches(lengths, CPU_TOKENS))
    for batch, following in pairwise(batches):
        longer = [lengths[i] for i in [*batch, following[0]]]
        padded = max(longer) * len(longer)
        assert padded > CPU_TOKENS or padded > 1.25 * sum(longer)


def test_what_the_model_is_given_is_planned(engine: Engine) -> None:
    """The bounds hold for the tensors, not only for the plan."""
    shapes: list[torch.Size] = []
    hook = engine._model.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(kwargs["input_ids"].shape), with_kwargs=True
    )
    lengths = [160 + 10 * (number % 5) for number in range(40)] + [20, 900]
    try:
        engine.score([[1] * length for length in lengths])
    finally:
        hook.remove()
    assert sum(rows for rows, _ in shapes) == len(lengths)
    assert all(rows * width <= CPU_TOKENS for rows, width in shapes)
    assert sum(rows * width for rows, width in shapes) <= 1.25 * sum(lengths)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))
