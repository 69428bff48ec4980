"""The embedded engine: what it loads, what it computes, and how fast it says it is.

Tests of `local/body.py`, `local/checkpoint.py`, `local/warm_up.py`.
"""

from __future__ import annotations

import json
import math
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM

from qwen3_sglang import RerankClient, local
from qwen3_sglang.errors import ConversionError, InvalidInputError
from qwen3_sglang.local import engine as engines
from qwen3_sglang.local.engine import CPU_TOKENS, Engine
from qwen3_sglang.local.warm_up import picked

PROMPT = (
    "<|im_start|>system\nJudge<|im_end|>\n<|im_start|>user\n<Instruct>: Find\n<Query>: {query}\n"
    "<Document>: {document}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
)


@pytest.fixture(scope="module")
def engine(converted_toy: Path) -> Engine:
    return Engine(converted_toy, device="cpu", dtype="float32")


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


def test_another_model_names_the_command(converted_toy: Path, tmp_path: Path) -> None:
    folder = edited(converted_toy, tmp_path / "other", architectures=["BertModel"])
    with pytest.raises(ConversionError, match=r"BertModel.*qwen3-sglang convert"):
        Engine(folder)


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


@pytest.mark.parametrize("changes", [{"num_hidden_layers": 4}, {"head_dim": 64}, {"hidden_size": 64}])
def test_weights_that_do_not_fit_the_config(converted_toy: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(ConversionError, match=r"(?:don't fit its config|can't load it).*Convert it again"):
        Engine(edited(converted_toy, tmp_path / "odd", **changes), device="cpu", dtype="float32")


def test_a_scaled_rotary_embedding_is_computed_as_transformers_does(
    converted_toy: Path, tmp_path: Path, prompts: list[list[int]]
) -> None:
    """Also one that the engine doesn't compute itself; another base, as transformers 4 writes it, is its own work."""
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "rope_theta": 1e6}
    for name, changes in {
        "yarn": {"rope_parameters": yarn},
        "old": {"rope_parameters": None, "rope_theta": 1e6, "rope_scaling": None},
    }.items():
        engine = Engine(edited(converted_toy, tmp_path / name, **changes), device="cpu", dtype="float32")
        for prompt, (no, yes) in zip(prompts, engine.score(prompts), strict=True):
            assert sigmoid(yes - no) == pytest.approx(alone(engine, prompt), abs=1e-4)


@pytest.mark.parametrize("threads", [0, -1, True, 1.5])
def test_refuses_unusable_threads(converted_toy: Path, threads: object) -> None:
    with pytest.raises(InvalidInputError, match="threads"):
        Engine(converted_toy, threads=threads)  # type: ignore[arg-type]


PIECES = st.sampled_from(["memory ", "bread", "the garbage collector ", "\u5317\u4eac", "x " * 30, "query", "\n"])
TEXTS = st.lists(PIECES, min_size=1, max_size=12).map("".join)


@given(st.lists(st.tuples(TEXTS, st.lists(TEXTS, min_size=1, max_size=5)), min_size=1, max_size=4), st.data())
@settings(max_examples=20, suppress_health_check=list(HealthCheck))
def test_sharing_changes_no_score(engine: Engine, mixed: list[tuple[str, list[str]]], data: st.DataObject) -> None:
    """Any mix of queries and lengths: P(yes) is what transformers says of each prompt alone, within 1e-4."""
    prompts = [PROMPT.format(query=query, document=text) for query, texts in mixed for text in texts]
    ids = [engine.encode(prompt) for prompt in data.draw(st.permutations(prompts))]
    for prompt, (no, yes) in zip(ids, engine.score(ids), strict=True):
        assert sigmoid(yes - no) == pytest.approx(alone(engine, prompt), abs=1e-4)


@cache
def whole(folder: Path) -> Any:
    """The model as transformers loads it."""
    return AutoModel.from_pretrained(folder, dtype=torch.float32).eval()


def alone(engine: Engine, prompt: list[int]) -> float:
    """P(yes) by transformers' own forward pass."""
    with torch.inference_mode():
        hidden = whole(engine.model_dir)(torch.tensor([prompt]), use_cache=False).last_hidden_state[0, -1]
        no, yes = (hidden @ engine._weight.T + engine._bias).tolist()
    return sigmoid(yes - no)


def test_the_query_is_computed_once(engine: Engine) -> None:
    """However many passes its documents take: the tokens of the plan, and those that the layers see."""
    prompts = [engine.encode(PROMPT.format(query="collector", document=f"word{n} " * 60)) for n in range(60)]
    rows: list[int] = []
    hook = engine._model.layers[0].mlp.gate_proj.register_forward_pre_hook(
        lambda module, args: rows.append(len(args[0]))
    )
    try:
        planned = engine.begin(prompts).tokens
        engine.score(prompts)
    finally:
        hook.remove()
    head = len(engine.encode(PROMPT.format(query="collector", document="")).copy()) - 12
    assert sum(rows) == planned < sum(map(len, prompts)) - 50 * head
    assert len(rows) > 1
    assert max(rows) <= CPU_TOKENS


def test_a_prefix_that_takes_too_much_memory_is_shared_in_part(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scores stay the same."""
    prompts = [engine.encode(PROMPT.format(query="memory " * 80, document=text)) for text in ("bread", "memory")]
    expected = engine.score(prompts)
    whole = engine.begin(prompts).tokens
    monkeypatch.setattr(engine, "_most_shared", 40)
    assert engine.begin(prompts).tokens == sum(map(len, prompts)) - 40 > whole
    assert engine.score(prompts) == [pytest.approx(pair, abs=1e-4) for pair in expected]


def test_a_long_prompt_is_attended_to_in_parts(engine: Engine) -> None:
    """As exactly as a short one."""
    prompts = [engine.encode(PROMPT.format(query="memory", document="the bread " * n)) for n in (600, 700)]
    for prompt, (no, yes) in zip(prompts, engine.score(prompts), strict=True):
        assert sigmoid(yes - no) == pytest.approx(alone(engine, prompt), abs=1e-4)


def test_prompts_that_nobody_waits_for_are_left_out(engine: Engine) -> None:
    """The others' scores are there, though they share a head with those."""
    prompts = [engine.encode(PROMPT.format(query="memory", document=f"word{n} " * 90)) for n in range(20)]
    scoring, found = engine.begin(prompts), {}
    while (more := scoring.step(lambda index: index % 2 == 0)) is not None:
        found |= more
    assert sorted(found) == list(range(0, 20, 2))
    assert scoring.tokens == 0
    for index, pair in found.items():
        assert pair == pytest.approx(engine.score([prompts[index]])[0], abs=1e-4)


def test_a_pass_ends_within_a_layer_once_nobody_waits(engine: Engine) -> None:
    """And what it shared is computed again for those who still do."""
    prompts = [engine.encode(PROMPT.format(query="memory", document=f"word{n} " * 90)) for n in range(20)]
    seen: list[int] = []
    hook = engine._model.layers[0].mlp.gate_proj.register_forward_pre_hook(
        lambda module, args: seen.append(len(args[0]))
    )
    scoring = engine.begin(prompts)
    try:
        first = scoring.step(lambda index: not seen)  # everybody leaves while the first layer is computed
        assert (first, len(seen)) == ({}, 1)
        rest: dict[int, tuple[float, float]] = {}
        while (more := scoring.step(lambda index: True)) is not None:
            rest |= more
    finally:
        hook.remove()
    assert rest
    for index, pair in rest.items():
        assert pair == pytest.approx(engine.score([prompts[index]])[0], abs=1e-4)


def test_sixteen_bits_only_where_they_are_fast_and_close(
    converted_toy: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closer than the bound they are taken; farther off it stays in float32 and says why; --dtype overrides."""
    monkeypatch.setattr(engines, "fast_dtype", lambda device: torch.bfloat16)
    close = Engine(converted_toy)
    assert close.dtype is torch.bfloat16
    assert close.drift is not None
    assert 0 < close.drift <= engines.LOGIT_BOUND
    monkeypatch.setattr(engines, "LOGIT_BOUND", close.drift / 2)
    far = Engine(converted_toy)
    assert far.dtype is torch.float32
    assert "since 16 bits move the log-odds" in picked(far)
    assert Engine(converted_toy, dtype="bfloat16").dtype is torch.bfloat16


def tensors_of(folder: Path, name: str) -> tuple[Path, dict[str, torch.Tensor]]:
    """The file that holds that tensor, and all that it holds."""
    for path in sorted(folder.glob("*.safetensors")):
        tensors = load_file(path)
        if name in tensors:
            return path, tensors
    raise KeyError(name)


@pytest.fixture(scope="module")
def overflowing(converted_toy: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A model that computes one word beyond float16's largest number, and that word."""
    folder = tmp_path_factory.mktemp("overflowing") / "model"
    shutil.copytree(converted_toy, folder)
    path, tensors = tensors_of(folder, "model.embed_tokens.weight")
    word = " memory"
    for token in Engine(folder, dtype="float32").encode(word):
        tensors["model.embed_tokens.weight"][token] += 1e6
    save_file(tensors, path)
    return folder, word


def test_numbers_beyond_float16(overflowing: tuple[Path, str]) -> None:
    """A prompt whose logits are no numbers is refused with the remedy; what causes it is named."""
    folder, word = overflowing
    engine = Engine(folder, device="cpu", dtype="float16")
    plain, beyond = (engine.encode(PROMPT.format(query="collector", document=text)) for text in ("Bread.", word))
    assert all(map(math.isfinite, engine.score([plain])[0]))
    with pytest.raises(InvalidInputError, match=r"dtype.*float16.*bfloat16 or float32"):
        engine.score([plain, beyond])
    assert all(map(math.isfinite, Engine(folder, device="cpu", dtype="float32").score([beyond])[0]))


def test_a_refused_prompt_costs_the_others_nothing(overflowing: tuple[Path, str]) -> None:
    """A server in float16 scores what it can, and says why it can't score the rest."""
    folder, word = overflowing
    with (
        local.run_in_thread(folder, device="cpu", dtype="float16") as url,
        RerankClient(url, on_error="passthrough") as client,
    ):
        scored, refused = client.rerank("collector", ["Bread.", word * 2])
    assert (scored.index, scored.error, refused.index) == (0, None, 1)
    assert "--dtype" in str(refused.error)


def test_weights_that_are_no_numbers(converted_toy: Path, tmp_path: Path) -> None:
    """A damaged checkpoint is refused by its folder; 16 bits aren't to blame, nor picked."""
    folder = tmp_path / "model"
    shutil.copytree(converted_toy, folder)
    path, tensors = tensors_of(folder, "model.norm.weight")
    tensors["model.norm.weight"][:] = math.nan
    save_file(tensors, path)
    with pytest.raises(InvalidInputError, match="model_dir"):
        Engine(folder, device="cpu", dtype="float32").score([[1, 2, 3]])


def test_probes_that_are_no_numbers_in_sixteen_bits(
    overflowing: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are no reason to pick 16 bits, whichever probe it is."""
    folder, word = overflowing
    monkeypatch.setattr(engines, "fast_dtype", lambda device: torch.float16)
    monkeypatch.setattr(engines, "PROBES", ["Bread.", word, "Bread."])
    assert Engine(folder).dtype is torch.float32


def test_pinned_to_float32(converted_toy: Path, engine: Engine) -> None:
    """What tests and references ask for: nothing is tried."""
    pinned = Engine(converted_toy, device="cpu", dtype="float32")
    assert (pinned.dtype, pinned.device.type, pinned.drift) == (torch.float32, "cpu", None)
    assert picked(pinned).startswith("computing on cpu (")


@pytest.mark.parametrize(
    ("options", "field"),
    [({"device": "tpu"}, "device"), ({"device": "cuda:99"}, "device"), ({"dtype": "int8"}, "dtype")],
)
def test_refuses_what_torch_cannot_use(converted_toy: Path, options: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInputError, match=field):
        Engine(converted_toy, **options)  # type: ignore[arg-type]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize(("sizes", "first"), [((1024, 1024), {0, 1}), ((1024, 1025), {1})])
def test_how_many_tokens_a_pass_computes(engine: Engine, sizes: tuple[int, int], first: set[int]) -> None:
    """2,048 on a CPU; the longest prompts come first."""
    scoring = engine.begin([[place + 1] * size for place, size in enumerate(sizes)])
    assert scoring.tokens == sum(sizes)
    assert set(scoring.step(lambda prompt: True) or ()) == first
    assert scoring.tokens == sum(size for place, size in enumerate(sizes) if place not in first)
