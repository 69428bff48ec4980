"""Scores from a converted checkpoint, computed with transformers: no SGLang, no GPU needed.

Everything runs in float32, so that the numbers are a reference for what a server answers in bfloat16.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError, safe_open
from transformers import AutoModel, AutoTokenizer

from qwen3_sglang.errors import ConversionError, InvalidInputError
from qwen3_sglang.names import BIAS, TARGET_CLASS, WEIGHT

LABELS = 2
# Tokens in one forward pass, padding included: they bound the memory, not the list. On a CPU more isn't faster: after a
# pass of 8192 tokens malloc gives its memory back to the system, and the page faults of the next take a fifth of it.
CPU_TOKENS, GPU_TOKENS = 2048, 8192
PADDING = 1.25  # padded tokens, at most, for each real one


class Engine:
    """A converted reranker in memory.

    Attributes:
        model_dir: where it was loaded from.
        labels: the names of label 0 and label 1, as the checkpoint says.
        max_length: the longest prompt in tokens.
        vocab_size: token ids lie below it.
    """

    def __init__(self, model_dir: str | Path, *, threads: int | None = None) -> None:
        """Load `model_dir`.

        Args:
            model_dir: a folder that `qwen3-sglang convert` wrote.
            threads: CPU threads of torch (the whole process); None leaves torch's own choice.

        Raises:
            ConversionError: the folder is no converted two-label checkpoint.
        """
        self.model_dir = Path(model_dir)
        config = _read_config(self.model_dir)
        self.labels = _labels(config, self.model_dir)
        self.max_length = int(config["max_position_embeddings"])
        self.vocab_size = int(config["vocab_size"])
        if threads is not None:
            _set_threads(threads)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._budget = GPU_TOKENS if self._device.type == "cuda" else CPU_TOKENS
        weight, bias = _read_head(self.model_dir)
        self._weight, self._bias = weight.to(self._device), bias.to(self._device)
        self._tokenizer, self._model = _load(self.model_dir, self._device)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, nothing added, nothing cut."""
        return list(self._tokenizer.encode(text))

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """Text of token ids."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens))

    def score(self, prompts: Sequence[Sequence[int]]) -> list[tuple[float, float]]:
        """Raw logits (no, yes) of each prompt, in the order given.

        Raises:
            InvalidInputError: a prompt is empty, too long, or holds an id outside the vocabulary.
        """
        for index, prompt in enumerate(prompts):
            self._check(index, prompt)
        logits: list[tuple[float, float]] = [(0.0, 0.0)] * len(prompts)
        for batch in plan_batches([len(prompt) for prompt in prompts], self._budget):
            scores = self._forward([prompts[index] for index in batch])
            for index, pair in zip(batch, scores, strict=True):
                logits[index] = pair
        return logits

    def _check(self, index: int, prompt: Sequence[int]) -> None:
        if not 0 < len(prompt) <= self.max_length:
            raise InvalidInputError(f"prompts[{index}]", len(prompt), f"pass 1 to {self.max_length} tokens")
        if min(prompt) < 0 or max(prompt) >= self.vocab_size:
            raise InvalidInputError(f"prompts[{index}]", prompt, f"token ids lie below {self.vocab_size}")

    def _forward(self, prompts: list[Sequence[int]]) -> list[tuple[float, float]]:
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=self._device)
        ids = torch.zeros(len(prompts), int(lengths.max()), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)] = torch.tensor(prompt)
        with torch.inference_mode():
            # No mask: attention is causal and padding is on the right, so no real token ever sees it.
            hidden = self._model(input_ids=ids.to(self._device), use_cache=False).last_hidden_state
            # By index, not by looking for the pad id: a prompt may hold that id as a real token.
            last = hidden[torch.arange(len(prompts), device=self._device), lengths - 1]
            logits = last @ self._weight.T + self._bias
        return [(float(no), float(yes)) for no, yes in logits.tolist()]


def plan_batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indexes grouped by length: none is padded beyond `budget` tokens, nor beyond `PADDING` times its real ones.

    A prompt longer than `budget` is alone. Few short ones aren't spared a second pass: it costs less than their
    padding from 120 to 200 tokens on, and saves or costs a few milliseconds below.
    """
    batch: list[int] = []
    real = 0
    # Longest first: the first of a batch sets its width, and running out of memory shows at once.
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        padded = lengths[batch[0]] * (len(batch) + 1) if batch else 0
        if padded > min(budget, PADDING * (real + lengths[index])):
            yield batch
            batch, real = [], 0
        batch.append(index)
        real += lengths[index]
    if batch:
        yield batch


def _set_threads(threads: int) -> None:
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise InvalidInputError("threads", threads, "pass a number of CPU threads, 1 or more")
    torch.set_num_threads(threads)


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConversionError(f"{path}: not a checkpoint's config ({error}). {_remedy(folder)}") from error
    architectures = config.get("architectures") if isinstance(config, dict) else None
    if architectures != [TARGET_CLASS]:
        message = f"{folder} is not converted: its architecture is {architectures}, not {TARGET_CLASS}."
        raise ConversionError(f"{message} {_remedy(folder)}")
    return dict(config)


def _labels(config: dict[str, Any], folder: Path) -> tuple[str, str]:
    names = config.get("id2label")
    if names is None:  # transformers leaves the default pair out of the file
        names = {"0": "LABEL_0", "1": "LABEL_1"}
    if len(names) != LABELS:
        message = f"{folder} has {len(names)} label(s), and a softmax over one is 1.0 for every document."
        raise ConversionError(f"{message} {_remedy(folder, original=True)}")
    return str(names["0"]), str(names["1"])


def _remedy(folder: Path, *, original: bool = False) -> str:
    source = "<the original Qwen3-Reranker>" if original else str(folder)
    return f"Convert it first: qwen3-sglang convert {source} <target>"


def _read_head(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """`score.weight` and `score.bias` in float32; no bias in the file means zeros."""
    weight = _read_tensor(folder, WEIGHT)
    if weight is None or weight.dim() != LABELS or weight.shape[0] != LABELS:
        shape = None if weight is None else tuple(weight.shape)
        message = f"{folder}: {WEIGHT} has shape {shape}, not two rows."
        raise ConversionError(f"{message} {_remedy(folder, original=True)}")
    bias = _read_tensor(folder, BIAS)
    return weight, torch.zeros(LABELS) if bias is None else bias


def _read_tensor(folder: Path, name: str) -> torch.Tensor | None:
    try:
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, framework="pt") as file:
                if name in file.keys():  # noqa: SIM118 - the handle is no mapping
                    return torch.as_tensor(file.get_tensor(name)).float()
    except (OSError, SafetensorError) as error:
        raise ConversionError(f"{folder}: can't read {name} ({error}). Convert it again.") from error
    return None


def _load(folder: Path, device: torch.device) -> tuple[Any, Any]:
    """The tokenizer and the model without its head, which transformers can't load with a bias."""
    logs: Any = transformers.utils.logging
    verbosity, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()  # it would warn that the two tensors of the head are unexpected
    logs.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModel.from_pretrained(folder, dtype=torch.float32)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ConversionError(f"{folder}: transformers can't load it ({error}). Convert it again.") from error
    finally:
        logs.set_verbosity(verbosity)
        if bars:
            logs.enable_progress_bar()
    return tokenizer, model.to(device).eval()
