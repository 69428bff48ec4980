"""The first passes of an engine: they say what was picked, and how fast it is."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from qwen3_sglang.local.device import describe
from qwen3_sglang.local.engine import Engine
from qwen3_sglang.local.probe import LOGIT_BOUND, SAMPLE, SAMPLE_WORDS

_ROUNDS = 2  # the first allocates, and loads kernels


def warm_up(engine: Engine, say: Callable[[str], object]) -> float:
    """Score a sample; say what was picked and what to expect. Returns tokens per second."""
    say(f"{picked(engine)}; warming up")
    prompts = [engine.encode(text)[: engine.max_length] for text in SAMPLE]
    for _ in range(_ROUNDS):
        tokens, start = engine.begin(prompts).tokens, time.perf_counter()
        engine.score(prompts)
        seconds = max(time.perf_counter() - start, 1e-6)
    rate = len(prompts) / seconds
    say(f"about {rate:.3g} documents of {SAMPLE_WORDS} words per second, {tokens / seconds:,.0f} tokens per second")
    return tokens / seconds


def picked(engine: Engine) -> str:
    """Device and precision, and why."""
    said = f"computing on {describe(engine.device)} in {str(engine.dtype).removeprefix('torch.')}"
    if engine.drift is None:
        return said
    if engine.dtype is torch.float32:
        return f"{said}, since 16 bits move the log-odds by {engine.drift:.2g}, more than {LOGIT_BOUND}"
    return f"{said}, which moves the log-odds of the probes by {engine.drift:.2g} (allowed: {LOGIT_BOUND})"
