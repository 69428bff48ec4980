"""The first passes of an engine: they say what was picked, and how fast it is."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from qwen3_sglang.local.device import describe
from qwen3_sglang.local.engine import Engine
from qwen3_sglang.local.probe import LOGIT_BOUND, SAMPLE_WORDS, sample

_ROUNDS = 3  # the fastest counts: the first allocates, and loads kernels
_CPU_SAMPLE, _GPU_SAMPLE = 4, 100  # documents: 4 keep a CPU busy for seconds, and don't fill a GPU


def warm_up(engine: Engine, say: Callable[[str], object]) -> float:
    """Score a sample; report device, precision and expected speed. Returns tokens per second."""
    say(f"{picked(engine)}; warming up")
    documents = _CPU_SAMPLE if engine.device.type == "cpu" else _GPU_SAMPLE
    prompts = [engine.encode(text)[: engine.max_length] for text in sample(documents)]
    tokens = engine.begin(prompts).tokens
    seconds = max(1e-6, min(_timed(engine, prompts) for _ in range(_ROUNDS)))
    rate = len(prompts) / seconds
    say(f"about {rate:.3g} documents of {SAMPLE_WORDS} words per second, {tokens / seconds:,.0f} tokens per second")
    return tokens / seconds


def _timed(engine: Engine, prompts: list[list[int]]) -> float:
    start = time.perf_counter()
    engine.score(prompts)
    return time.perf_counter() - start


def picked(engine: Engine) -> str:
    """Device and precision, and why."""
    said = f"computing on {describe(engine.device)} in {str(engine.dtype).removeprefix('torch.')}"
    if engine.drift is None:
        return said
    if engine.dtype is torch.float32:
        return f"{said}, since 16 bits move the log-odds by {engine.drift:.2g}, more than {LOGIT_BOUND}"
    return f"{said}, which moves the log-odds of the probes by {engine.drift:.2g} (allowed: {LOGIT_BOUND})"
