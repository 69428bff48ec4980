"""Reading a converted checkpoint: its labels, its head, its tokenizer and its model without the head."""

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
from qwen3_sglang.names import BIAS, TARGET_CLASS, WEIGHT

LABELS = 2


def read_config(folder: Path) -> dict[str, Any]:
    """The checkpoint's config.json.

    Raises:
        ConversionError: it can't be read, or the checkpoint isn't converted.
    """
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


def _read_tensor(folder: Path, name: str) -> torch.Tensor | None:
    try:
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, framework="pt") as file:
                if name in file.keys():  # noqa: SIM118 - the handle is no mapping
                    return torch.as_tensor(file.get_tensor(name)).float()
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
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ConversionError(f"{folder}: transformers can't load it ({error}). Convert it again.") from error
    finally:
        logs.set_verbosity(verbosity)
        if bars:
            logs.enable_progress_bar()
