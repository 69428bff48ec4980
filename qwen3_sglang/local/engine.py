"""Scores from a checkpoint, converted or original, computed with torch: no SGLang, no GPU needed.

In float32 its numbers are a reference for what a server answers in 16 bits.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.local.checkpoint import (
    is_original,
    load_model,
    load_tokenizer,
    read_answers,
    read_config,
    read_head,
    read_labels,
)
from qwen3_sglang.local.device import fast_dtype, pick_device, pick_dtype
from qwen3_sglang.local.forward import AbandonedError, Held, forward, per_token
from qwen3_sglang.local.probe import LOGIT_BOUND, PROBES
from qwen3_sglang.local.sharing import Pass, Plan, plan
from qwen3_sglang.names import LABELS

Logits = tuple[float, float]

# Tokens computed in one pass: they bound the memory, not the list. On a CPU more isn't faster: after a pass of 8192
# tokens malloc gives its memory back to the system, and the page faults of the next take a fifth of it.
CPU_TOKENS, GPU_TOKENS = 2048, 8192
HELD_BYTES = 512 * 2**20  # of the keys and values of shared tokens: 2,340 tokens of the 0.6B model in float32


class Engine:
    """A reranker in memory.

    Attributes:
        model_dir: where it was loaded from.
        labels: the names of label 0 and label 1, as the checkpoint says.
        answer_ids: the tokens of "no" and "yes" in an original checkpoint; None in a converted one, which has labels.
        max_length: the longest prompt in tokens.
        vocab_size: token ids lie below it.
        longest_token: characters of the tokenizer's longest token.
        device: where it computes.
        dtype: in which precision.
        drift: how far 16 bits moved the log-odds of the probes from float32; None where they weren't tried.
    """

    def __init__(
        self, model_dir: str | Path, *, threads: int | None = None, device: str | None = None, dtype: str | None = None
    ) -> None:
        """Load `model_dir`.

        Args:
            model_dir: a folder that `qwen3-sglang convert` wrote, or one that Qwen published.
            threads: CPU threads of torch (the whole process); None leaves torch's own choice.
            device: cpu, cuda, cuda:N or mps; None takes CUDA where it is there, else the CPU.
            dtype: float32, bfloat16 or float16; None takes bfloat16 where the device is faster with it and the
                log-odds of the probes stay within LOGIT_BOUND of float32, else float32.

        Raises:
            ConversionError: the folder is no two-label checkpoint, and no original one.
            InvalidInputError: an argument can't be used.
        """
        self.model_dir = Path(model_dir)
        config = read_config(self.model_dir)
        self.labels = LABELS if is_original(config) else read_labels(config, self.model_dir)
        self.max_length = int(config["max_position_embeddings"])
        self.vocab_size = int(config["vocab_size"])
        if threads is not None:
            _set_threads(threads)
        self.device, named = pick_device(device), pick_dtype(dtype)
        self._budget = CPU_TOKENS if self.device.type == "cpu" else GPU_TOKENS
        self._tokenizer = load_tokenizer(self.model_dir)
        self.answer_ids, weight, bias = self._read_head(config)
        self._weight, self._bias = weight.to(self.device), bias.to(self.device)
        self._model = load_model(self.model_dir, config)
        self.longest_token = max(map(len, self._tokenizer.get_vocab()))
        self.drift: float | None = None
        self.dtype = named or self._fast_enough(fast_dtype(self.device))
        self._model.to(self.device, self.dtype)
        self._most_shared = HELD_BYTES // per_token(self._model, self.dtype)

    def _read_head(self, config: dict[str, Any]) -> tuple[tuple[int, int] | None, torch.Tensor, torch.Tensor]:
        if not is_original(config):
            return (None, *read_head(self.model_dir))
        ids, rows = read_answers(self.model_dir, config, self._tokenizer)
        return ids, rows, torch.zeros(len(LABELS))

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, nothing added, nothing cut."""
        return list(self._tokenizer.encode(text))

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """Text of token ids."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens))

    def score(self, prompts: Sequence[Sequence[int]]) -> list[Logits]:
        """Raw logits (no, yes) of each prompt, in the order given.

        Raises:
            InvalidInputError: a prompt is empty, too long, or holds an id outside the vocabulary.
        """
        scoring = self.begin(prompts)
        found: dict[int, Logits] = {}
        while (more := scoring.step(lambda prompt: True)) is not None:
            found |= more
        return [found[index] for index in range(len(prompts))]

    def begin(self, prompts: Sequence[Sequence[int]]) -> Scoring:
        """The same, one pass at a time.

        Raises:
            InvalidInputError: as `score`.
        """
        for index, prompt in enumerate(prompts):
            self._check(index, prompt)
        return Scoring(self, plan(prompts, self._most_shared), self._budget)

    def run(
        self, work: Pass, held: Held, wanted: Callable[[], bool], layers: Iterable[Any], dtype: torch.dtype
    ) -> list[Logits]:
        """Raw logits of the leaves of one pass. Raises: AbandonedError where no prompt is wanted."""
        with torch.inference_mode():
            hidden = forward(self._model, layers, work, held, device=self.device, dtype=dtype, wanted=wanted)
            logits = hidden @ self._weight.T + self._bias
        return [(float(no), float(yes)) for no, yes in logits.tolist()]

    def run_loaded(self, work: Pass, held: Held, wanted: Callable[[], bool]) -> list[Logits]:
        """`run` with the model as it is loaded.

        Raises:
            AbandonedError: as `run`.
            InvalidInputError: logits are no numbers: too large for float16, or the weights aren't numbers.
        """
        logits = self.run(work, held, wanted, self._model.layers, self.dtype)
        if not all(math.isfinite(one) for pair in logits for one in pair):
            raise self._no_numbers()
        return logits

    def _no_numbers(self) -> InvalidInputError:
        if self.dtype is torch.float16:
            remedy = "this model's numbers are too large for it: use bfloat16 or float32 (--dtype)"
            return InvalidInputError("dtype", "float16", remedy)
        remedy = "its logits aren't numbers: are its weights? Download or convert it again"
        return InvalidInputError("model_dir", str(self.model_dir), remedy)

    def _check(self, index: int, prompt: Sequence[int]) -> None:
        if not 0 < len(prompt) <= self.max_length:
            raise InvalidInputError(f"prompts[{index}]", len(prompt), f"pass 1 to {self.max_length} tokens")
        if min(prompt) < 0 or max(prompt) >= self.vocab_size:
            raise InvalidInputError(f"prompts[{index}]", prompt, f"token ids lie below {self.vocab_size}")

    def _fast_enough(self, fast: torch.dtype) -> torch.dtype:
        """`fast` where its log-odds stay within LOGIT_BOUND of float32, else float32."""
        if fast is torch.float32:
            return fast
        self.drift = self._drift(fast)
        return fast if self.drift <= LOGIT_BOUND else torch.float32

    def _drift(self, dtype: torch.dtype) -> float:
        """The largest difference that `dtype` makes to the log-odds of a probe.

        Layer by layer from the loaded weights, so that the model needn't fit twice, nor in float32 at all.
        """
        whole = plan([self.encode(text)[: self.max_length] for text in PROBES], most_shared=self.max_length)
        work = whole.take(whole.tokens, lambda prompt: True) or Pass([], [])
        exact, near = (self.run(work, {}, lambda: True, self._copies(kind), kind) for kind in (torch.float32, dtype))
        moved = [abs((a[1] - a[0]) - (b[1] - b[0])) for a, b in zip(exact, near, strict=True)]
        return math.inf if any(map(math.isnan, moved)) else max(moved)  # NaN may be no maximum

    def _copies(self, dtype: torch.dtype) -> Iterator[Any]:
        for layer in self._model.layers:
            yield copy.deepcopy(layer).to(self.device, dtype)


class Scoring:
    """A list of prompts that is scored pass by pass."""

    def __init__(self, engine: Engine, work: Plan, budget: int) -> None:
        self._engine = engine
        self._plan = work
        self._budget = budget
        self._held: Held = {}

    @property
    def tokens(self) -> int:
        """How many are left to compute."""
        return self._plan.tokens

    def step(self, wanted: Callable[[int], bool]) -> dict[int, Logits] | None:
        """Compute the next pass: the raw logits of its prompts by index; None when all is done.

        Prompts that aren't `wanted` any more are left out. Where a pass has none left, it ends within one layer.
        """
        work = self._plan.take(self._budget, wanted)
        if work is None:
            return None
        prompts = [leaf.prompt for leaf in work.leaves if leaf.prompt is not None]
        try:
            logits = self._engine.run_loaded(work, self._held, lambda: any(map(wanted, prompts)))
        except AbandonedError:
            self._free(self._plan.forget(work))
            return {}
        self._free(self._plan.release(work))
        return dict(zip(prompts, logits, strict=True))

    def _free(self, nodes: Iterable[Any]) -> None:
        for node in nodes:
            self._held.pop(node, None)


def _set_threads(threads: int) -> None:
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise InvalidInputError("threads", threads, "pass a number of CPU threads, 1 or more")
    torch.set_num_threads(threads)
