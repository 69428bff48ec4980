"""What is read of a config, as transformers 4 and transformers 5 write it; and how the engine's speed is told.

Tests of `local/batcher.py`, `local/warm_up.py`, `local/device.py`, `local/probe.py`, `local/forward.py`,
`local/engine.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import torch

from qwen3_sglang.local import batcher, device, warm_up
from qwen3_sglang.local.batcher import Batcher
from qwen3_sglang.local.body import Attention, Body, Rotary, head_size, is_plain, rope
from qwen3_sglang.local.engine import HELD_BYTES
from qwen3_sglang.local.forward import per_token
from qwen3_sglang.local.probe import PROBES, SAMPLE_WORDS, sample
from stand_in import seen_by

CONFIG: dict[str, Any] = {
    "vocab_size": 11,
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 6,
    "rms_norm_eps": 1e-6,
}


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({}, ("default", 10_000.0)),
        ({"rope_theta": 1_000_000}, ("default", 1_000_000.0)),
        ({"rope_theta": 5, "rope_scaling": None}, ("default", 5.0)),
        ({"rope_theta": 5, "rope_scaling": {"type": "yarn"}}, ("yarn", 5.0)),
        ({"rope_theta": 5, "rope_scaling": {"rope_type": "linear", "type": "yarn"}}, ("linear", 5.0)),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 7}, "rope_theta": 5}, ("default", 7.0)),
    ],
)
def test_the_rotary_embedding_of_a_config(config: dict[str, Any], found: tuple[str, float]) -> None:
    """Its type and its base."""
    assert rope(config) == dict(zip(("rope_type", "rope_theta"), found, strict=True))


@pytest.mark.parametrize(
    ("config", "plain"),
    [
        ({}, True),
        ({"hidden_act": "silu", "quantization_config": None}, True),
        ({"hidden_act": "gelu"}, False),
        ({"quantization_config": {}}, False),
        ({"rope_scaling": {"type": "yarn"}}, False),
    ],
)
def test_what_is_computed_here(config: dict[str, Any], plain: bool) -> None:
    """Anything else is transformers' to load."""
    assert is_plain(config) is plain


def test_the_size_of_a_head() -> None:
    """As the config says, or the hidden size's share."""
    assert head_size(CONFIG) == 6
    assert head_size({**CONFIG, "head_dim": None}) == 4
    assert head_size({"hidden_size": 9, "num_attention_heads": 2}) == 4


@pytest.mark.parametrize(("more", "biased", "shared"), [({}, False, 6), ({"attention_bias": True}, True, 6),
                                                      ({"num_key_value_heads": None}, False, 12)])  # fmt: skip
def test_the_shapes_of_attention(more: dict[str, Any], biased: bool, shared: int) -> None:
    """Queries by all heads, keys and values by the shared ones; biases only where the config says so."""
    made = Attention({**CONFIG, **more}, 2)
    assert made.q_proj.weight.shape == (12, 8)
    assert made.k_proj.weight.shape == made.v_proj.weight.shape == (shared, 8)
    assert made.o_proj.weight.shape == (8, 12)
    assert {one.bias is not None for one in (made.q_proj, made.k_proj, made.v_proj, made.o_proj)} == {biased}
    assert made.q_norm.weight.shape == made.k_norm.weight.shape == (6,)
    assert (made.layer_idx, made.head_dim, made.scaling) == (2, 6, pytest.approx(6**-0.5))


def test_the_names_are_a_checkpoints() -> None:
    """Every weight that transformers writes, and no other; none is trained."""
    body = Body(CONFIG)
    names = {
        name.replace("layers.0.", "") for name in body.state_dict() if "layers.1" not in name and "layers.2" not in name
    }
    projections = {f"self_attn.{one}_proj.weight" for one in "qkvo"} | {
        f"mlp.{one}_proj.weight" for one in ("gate", "up", "down")
    }
    norms = {
        "self_attn.q_norm.weight",
        "self_attn.k_norm.weight",
        "input_layernorm.weight",
        "post_attention_layernorm.weight",
    }
    assert names == projections | norms | {"embed_tokens.weight", "norm.weight"}
    assert len(body.layers) == 3
    assert body.embed_tokens.weight.shape == (11, 8)
    assert body.layers[0].mlp.up_proj.weight.shape == (12, 8)
    assert not body.embed_tokens.weight.requires_grad


def test_the_angles_of_positions() -> None:
    """The first pair of dimensions turns by a radian per token, the others more slowly, by the base."""
    cos, sin = Rotary({**CONFIG, "rope_theta": 64})(torch.zeros(1), torch.tensor([[0, 3]]))
    assert cos.shape == sin.shape == (1, 2, 6)
    assert torch.equal(cos[0, 0], torch.ones(6))
    slower = torch.tensor([3.0, 3 / 64 ** (1 / 3), 3 / 64 ** (2 / 3)])
    assert torch.allclose(sin[0, 1], torch.cat((slower, slower)).sin(), atol=1e-6)


def test_the_memory_of_a_token() -> None:
    """Keys and values, of every layer, in that precision."""
    assert per_token(Body(CONFIG), torch.float32) == 2 * 3 * 6 * 4
    assert per_token(Body(CONFIG), torch.bfloat16) == 2 * 3 * 6 * 2


def test_how_much_of_a_prefix_is_held() -> None:
    """Of Qwen3-Reranker-0.6B in float32, the keys and values of 2,340 shared tokens."""
    sizes = {"hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8}
    with torch.device("meta"):
        model = Body({**CONFIG, **sizes, "head_dim": 128})
    assert HELD_BYTES // per_token(model, torch.float32) == 2340


def test_documents_to_measure_by() -> None:
    """So many words each, no two alike; the probes are of both queries, and one is long."""
    prompts = sample(4)
    assert len(set(prompts)) == 4
    documents = [prompt.partition("<Document>: ")[2].partition("<|im_end|>")[0].split() for prompt in prompts]
    assert [len(words) for words in documents] == [SAMPLE_WORDS] * 4
    assert documents[1][:-1] == documents[0][1:]
    assert len(PROBES) == 12
    assert len(max(PROBES, key=len)) > 1000


class Passes:
    """Work of a known number of tokens, two passes of half of it each."""

    def __init__(self, tokens: int) -> None:
        self.tokens, self._half = tokens, tokens // 2

    def step(self, wanted: Callable[[int], bool]) -> dict[int, tuple[float, float]] | None:
        if not self.tokens:
            return None
        self.tokens -= self._half
        return {} if self.tokens else {0: (0.0, 1.0)}


async def test_the_speed_is_a_moving_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the passes that gave scores, the newest counting for three tenths; it begins with the first."""
    clock = iter(range(0, 1000, 2))  # each look two seconds after the one before
    seen_by(monkeypatch, batcher, "time", perf_counter=lambda: next(clock))
    served = Batcher(lambda prompts: Passes(100 * len(prompts)))
    assert served.seconds(100) is None
    await served.start()
    assert await served.score([[1]]) == [(0.0, 1.0)]
    assert served.speed == 25  # 50 tokens in 2 seconds
    assert served.seconds(100) == 4
    served.speed = 125
    await served.score([[1]])
    assert served.speed == pytest.approx(0.3 * 25 + 0.7 * 125)
    await served.stop()


class Engine:
    """An engine that takes a known time."""

    device, dtype, drift, max_length = torch.device("cpu"), torch.bfloat16, 0.0125, 100

    def encode(self, text: str) -> list[int]:
        return [1] * len(text)

    def begin(self, prompts: list[list[int]]) -> Any:
        assert {len(prompt) for prompt in prompts} == {100}
        return Passes(sum(map(len, prompts)))

    def score(self, prompts: list[list[int]]) -> None:
        """Takes what the clock says."""


def test_what_is_said_before_the_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was picked, and the fastest of three rounds: documents and tokens per second."""
    clock = iter((0, 9, 10, 12, 20, 25))
    seen_by(monkeypatch, warm_up, "time", perf_counter=lambda: next(clock))
    said: list[str] = []
    engine: Any = Engine()
    assert warm_up.warm_up(engine, said.append) == 200
    picked, speed = said
    assert picked.startswith("computing on cpu (")
    assert picked.endswith(
        "threads) in bfloat16, which moves the log-odds of the probes by 0.013 (allowed: 0.25); warming up"
    )
    assert speed == "about 2 documents of 60 words per second, 200 tokens per second"
    engine.dtype = torch.float32
    assert warm_up.picked(engine).endswith("in float32, since 16 bits move the log-odds by 0.013, more than 0.25")
    engine.drift = None
    assert warm_up.picked(engine).endswith(" in float32")


@pytest.mark.parametrize(("generation", "fast"), [(7, torch.float32), (8, torch.bfloat16), (9, torch.bfloat16)])
def test_units_of_an_nvidia_gpu(monkeypatch: pytest.MonkeyPatch, generation: int, fast: torch.dtype) -> None:
    """From Ampere on."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (generation, 5))
    assert device.fast_dtype(torch.device("cuda")) is fast


@pytest.mark.parametrize(("name", "there"), [("cuda", True), ("cuda:1", True), ("cuda:2", False)])
def test_gpus_by_number(monkeypatch: pytest.MonkeyPatch, name: str, there: bool) -> None:
    """Of two, counted from 0."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device.pick_device(None).type == "cuda"
    if there:
        assert str(device.pick_device(name)) == name
    else:
        with pytest.raises(ValueError, match="torch doesn't find it"):
            device.pick_device(name)


def test_jobs_that_are_not_started_end() -> None:
    """A batcher that never ran can be stopped."""
    asyncio.run(Batcher(lambda prompts: Passes(1)).stop())
