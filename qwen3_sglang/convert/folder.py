"""The folders around a conversion: where the source is, whether the target may be written, what is copied."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from qwen3_sglang.convert.checkpoint import INDEX, SINGLE, open_shards, read_json
from qwen3_sglang.convert.provenance import KNOWN, MARK, UNKNOWN
from qwen3_sglang.errors import ConversionError, InvalidInputError
from qwen3_sglang.names import LABELS, PAD, SOURCE_CLASS, TARGET_CLASS

HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
COPIED = [
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "LICENSE*",
]


def resolve(source: str | Path, download: Callable[[str], Path]) -> Path:
    """The local folder of `source`; `download` is asked for a hub name that isn't one.

    Raises:
        InvalidInputError: `source` is blank.
        ConversionError: `source` is neither a folder nor a hub name, or `download` found none.
        MissingDependencyError: as `download`.
    """
    folder = _named("source", source)
    if folder.is_dir():
        return folder
    if not isinstance(source, str) or not HUB_NAME.fullmatch(source) or folder.exists():
        raise ConversionError(f"{source}: not a folder; name a checkpoint's folder or a hub model (owner/name)")
    return download(source)


def target_of(target: str | Path) -> Path:
    """The folder that `target` names.

    Raises:
        InvalidInputError: it is blank.
        ConversionError: a part of the path is a file.
    """
    goal = _named("target", target)
    above = next((path for path in goal.absolute().parents if path.exists()), None)
    if above is not None and not above.is_dir():
        raise ConversionError(f"{goal}: {above.name} is a file; name a folder that may hold another")
    return goal


def _named(field: str, path: str | Path) -> Path:
    if isinstance(path, str) and not path.strip():  # an unset variable of a shell's, and no way to write "here"
        raise InvalidInputError(field, path, "name a folder; this is blank")
    return Path(path).expanduser()


def check_target(goal: Path, *, force: bool) -> None:
    """Raise ConversionError when `goal` exists, unless it is a checkpoint and `force` is set."""
    if not os.path.lexists(goal):
        return
    if not force:
        raise ConversionError(f"{goal}: exists already; name another folder, or use force to replace it")
    # force deletes what was there, and a mistyped path must not cost anybody a folder of something else
    if not goal.is_dir() or (any(goal.iterdir()) and not (goal / "config.json").is_file()):
        raise ConversionError(f"{goal}: isn't a checkpoint folder, so force won't replace it; name another")


def check_apart(folder: Path, goal: Path) -> None:
    """Raise ConversionError when one of the two folders is the other, or inside it."""
    source, target = folder.resolve(), goal.resolve()
    if source == target or source in target.parents or target in source.parents:
        raise ConversionError(f"{goal}: is the source {folder}, or one is inside the other; name another folder")


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a language model or a classifier, as far as that file tells.

    Raises:
        ConversionError: there is none, or it is that of something else.
    """
    path, adapter = folder / "config.json", folder / "adapter_config.json"
    if adapter.is_file():
        merged = "; if the weights here are merged already, remove that file" if path.is_file() else ""
        raise ConversionError(
            f"{adapter}: a LoRA adapter; merge it into its base model first "
            f"(peft: merge_and_unload, then save_pretrained) and convert the merged folder{merged}"
        )
    if not path.is_file():
        if not (folder / SINGLE).is_file() and not (folder / INDEX).is_file():
            open_shards(folder)  # says what the folder holds instead, GGUF or pickles
        raise ConversionError(
            f"{path}: missing; name the folder of a Qwen3-Reranker checkpoint, downloaded or saved with save_pretrained"
        )
    config = read_json(path)
    _check_architecture(path, config.get("architectures"))
    return config


def _check_architecture(path: Path, architectures: object) -> None:
    if architectures in ([SOURCE_CLASS], [TARGET_CLASS]):
        return
    said = f"{path}: architectures is {architectures!r:.200}"
    if "Qwen3VL" in str(architectures):
        raise ConversionError(f"{said}: a model for images and text; use Qwen3-Reranker, which is for text")
    raise ConversionError(
        f"{said}, so it is no reranker that SGLang serves; only {SOURCE_CLASS} and {TARGET_CLASS} can be converted: "
        "use a Qwen3-Reranker checkpoint"
    )


def quantized_by(config: Mapping[str, Any]) -> str:
    """The key of a config that says its weights are quantized; empty where none does."""
    return next((key for key in ("quantization_config", "compression_config") if config.get(key)), "")


def classifier_config(source: Mapping[str, Any], pad: int | None, template: bool | None) -> dict[str, Any]:
    """The config of the converted checkpoint; `pad` is the tokenizer's padding token.

    `template` says whether the model was trained with Qwen's, as far as is known; None where nobody has to note it.

    Raises:
        ConversionError: neither config nor tokenizer has a padding token.
    """
    new = {key: value for key, value in source.items() if key != "num_labels"}  # id2label says it
    new["architectures"] = [TARGET_CLASS]
    new["id2label"] = {str(number): label for number, label in enumerate(LABELS)}
    new["label2id"] = {label: number for number, label in enumerate(LABELS)}
    if template is not None:
        new[MARK] = KNOWN if template else UNKNOWN
    if new.get("pad_token_id") is None:
        if pad is None:
            raise ConversionError(f"config.json has no pad_token_id, and the tokenizer no {PAD}; set pad_token_id")
        new["pad_token_id"] = pad
    return new


def small_files(folder: Path) -> list[Path]:
    """The tokenizer's and the other files that the converted checkpoint keeps."""
    return [path for pattern in COPIED for path in folder.glob(pattern) if path.is_file()]
