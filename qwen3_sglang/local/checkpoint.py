"""Reading a checkpoint: its labels, its head, its tokenizer and its model without the head."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError, safe_open
from transformers import AutoTokenizer

from qwen3_sglang.errors import ConversionError
from qwen3_sglang.local.body import is_plain, read_body
from qwen3_sglang.names import BIAS, EMBEDDINGS, LM_HEAD, NO, SOURCE_CLASS, TARGET_CLASS, WEIGHT, YES

LABELS = 2


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a converted checkpoint, or of an original one.

    Raises:
        ConversionError: it can't be read, or is another model's.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConversionError(f"{path}: not a checkpoint's config ({error}). {_remedy(folder)}") from error
    architectures = config.get("architectures") if isinstance(config, dict) else None
    if architectures not in ([TARGET_CLASS], [SOURCE_CLASS]):
        message = f"{folder} is no reranker: its architecture is {architectures}, not {TARGET_CLASS} or {SOURCE_CLASS}."
        raise ConversionError(f"{message} {_remedy(folder)}")
    return dict(config)


def read_labels(config: dict[str, Any], folder: Path) -> tuple[str, str]:
    """The names of labels 0 and 1.

    Raises:
        ConversionError: there aren't two labels.
    """
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


def read_head(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """`score.weight` (2, hidden) and `score.bias` (2) in float32; no bias in the file means zeros.

    Raises:
        ConversionError: there is no such weight, or it hasn't two rows.
    """
    weight = _read_tensor(folder, WEIGHT)
    if weight is None or weight.dim() != LABELS or weight.shape[0] != LABELS:
        shape = None if weight is None else tuple(weight.shape)
        message = f"{folder}: {WEIGHT} has shape {shape}, not two rows."
        raise ConversionError(f"{message} {_remedy(folder, original=True)}")
    bias = _read_tensor(folder, BIAS)
    return weight, torch.zeros(LABELS) if bias is None else bias


def is_original(config: dict[str, Any]) -> bool:
    """Whether the checkpoint is a language model, as Qwen publishes it."""
    return bool(config["architectures"] == [SOURCE_CLASS])


def read_answers(folder: Path, config: dict[str, Any], tokenizer: Any) -> tuple[tuple[int, int], torch.Tensor]:
    """The tokens of "no" and "yes" in an original checkpoint, and their rows (2, hidden) of its output in float32.

    Raises:
        ConversionError: one of them is no token of its own, or the rows can't be read.
    """
    ids = [tokenizer.encode(word) for word in (NO, YES)]
    if [len(found) for found in ids] != [1, 1]:
        raise ConversionError(f'{folder}: "{NO}" and "{YES}" are not one token each; is this a Qwen3-Reranker?')
    tokens = ids[0][0], ids[1][0]
    name = EMBEDDINGS if config.get("tie_word_embeddings") else LM_HEAD
    rows = [_read_tensor(folder, name, token) for token in tokens]
    if rows[0] is None or rows[1] is None:
        raise ConversionError(f"{folder}: {name} is missing; download the checkpoint again.")
    return tokens, torch.cat([row for row in rows if row is not None])


def _read_tensor(folder: Path, name: str, row: int | None = None) -> torch.Tensor | None:
    try:
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, framework="pt") as file:
                if name in file.keys():  # noqa: SIM118 - the handle is no mapping
                    found = file.get_tensor(name) if row is None else file.get_slice(name)[row : row + 1]
                    return torch.as_tensor(found).float()
    except (OSError, SafetensorError) as error:
        raise ConversionError(f"{folder}: can't read {name} ({error}). Convert it again.") from error
    return None


def load_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer, as transformers loads it.

    Raises:
        ConversionError: transformers can't load it.
    """
    return _quietly(folder, lambda: AutoTokenizer.from_pretrained(folder))


def load_model(folder: Path, config: Mapping[str, Any]) -> Any:
    """The model in memory, in the checkpoint's own precision, without its head: transformers can't load its bias.

    Raises:
        ConversionError: its weights can't be read, or aren't those that the config describes.
    """
    if not is_plain(config):
        from transformers import AutoModel  # noqa: PLC0415 - takes seconds to import

        return _quietly(folder, lambda: AutoModel.from_pretrained(folder, dtype="auto")).eval()
    try:
        return read_body(folder, config)
    except (LookupError, OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        reason = textwrap.shorten(str(error), 300, placeholder=" ...")  # torch names every tensor
        raise ConversionError(f"{folder}: its weights don't fit its config ({reason}). Convert it again.") from error


def _quietly(folder: Path, load: Callable[[], Any]) -> Any:
    logs: Any = transformers.utils.logging
    verbosity, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()  # it would warn that the two tensors of the head are unexpected
    logs.disable_progress_bar()
    try:
        return load()
    except Exception as error:  # whatever a config that it doesn't expect makes it raise
        reason = textwrap.shorten(str(error), 300, placeholder=" ...")
        raise ConversionError(f"{folder}: transformers can't load it ({reason}). Convert it again.") from error
    finally:
        logs.set_verbosity(verbosity)
        if bars:
            logs.enable_progress_bar()
