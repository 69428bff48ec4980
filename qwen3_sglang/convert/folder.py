"""The folders around a conversion: where the source is, whether the target may be written, what is copied."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qwen3_sglang.convert.checkpoint import INDEX, SINGLE, open_shards, read_json
from qwen3_sglang.errors import ConversionError, MissingDependencyError, Qwen3SGLangError
from qwen3_sglang.names import LABELS, PAD, SOURCE_CLASS, TARGET_CLASS

HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
DOWNLOADED = ["*.safetensors", "*.json", "*.txt", "*.jinja", "LICENSE*"]
COPIED = [
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "generation_config.json",
    "LICENSE*",
]


def resolve(source: str | Path, download: Callable[[str], str]) -> Path:
    """The local folder of `source`; `download` is asked for a hub name that isn't one."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if not isinstance(source, str) or not HUB_NAME.fullmatch(source) or folder.exists():
        raise ConversionError(f"{source}: not a folder; name a checkpoint's folder or a hub model (owner/name)")
    try:
        return Path(download(source))
    except Qwen3SGLangError:
        raise
    except Exception as error:
        raise ConversionError(
            f"{source}: no such folder, and the hub gave none ({error}); "
            "check the name and the network, or download it and name the folder"
        ) from error


def download(name: str) -> str:
    """The folder of hub model `name` in the hub's cache; pickled weights are not fetched."""
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415 - only the extra brings it
    except ImportError as error:
        raise MissingDependencyError("huggingface_hub", "convert") from error
    return str(snapshot_download(name, allow_patterns=DOWNLOADED))


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
    """config.json of a checkpoint that can be converted, as far as that file tells."""
    if (folder / "adapter_config.json").is_file():
        raise ConversionError(
            f"{folder / 'adapter_config.json'}: a LoRA adapter; merge it into its base model first "
            "(peft: merge_and_unload, then save_pretrained) and convert the merged folder"
        )
    path = folder / "config.json"
    if not path.is_file():
        if not (folder / SINGLE).is_file() and not (folder / INDEX).is_file():
            open_shards(folder)  # says what the folder holds instead, GGUF or pickles
        raise ConversionError(f"{path}: missing; name the folder of a Qwen3-Reranker checkpoint")
    config = read_json(path)
    _check_architecture(path, config.get("architectures"))
    for key in ("quantization_config", "compression_config"):
        if config.get(key):
            raise ConversionError(f"{path}: {key} is set; convert the unquantized checkpoint, quantize afterwards")
    return config


def _check_architecture(path: Path, architectures: object) -> None:
    if architectures == [SOURCE_CLASS]:
        return
    said = f"{path}: architectures is {architectures}"
    if architectures == [TARGET_CLASS]:
        raise ConversionError(f"{said}: converted already, serve it as it is")
    if "Qwen3VL" in str(architectures):
        raise ConversionError(f"{said}: a model for images and text; use Qwen3-Reranker, which is for text")
    raise ConversionError(f"{said}; only {SOURCE_CLASS} can be converted: use a Qwen3-Reranker checkpoint")


def classifier_config(folder: Path, config: Mapping[str, Any], tokens: Mapping[str, int]) -> dict[str, Any]:
    """The config of the converted checkpoint."""
    new = {key: value for key, value in config.items() if key != "num_labels"}  # id2label says it
    new["architectures"] = [TARGET_CLASS]
    new["id2label"] = {str(number): label for number, label in enumerate(LABELS)}
    new["label2id"] = {label: number for number, label in enumerate(LABELS)}
    if new.get("pad_token_id") is None:
        if PAD not in tokens:
            raise ConversionError(
                f"{folder / 'config.json'}: no pad_token_id, and the tokenizer has no {PAD}; set pad_token_id"
            )
        new["pad_token_id"] = tokens[PAD]
    return new


def small_files(folder: Path) -> list[Path]:
    """The tokenizer's and the other files that the converted checkpoint keeps."""
    return [path for pattern in COPIED for path in folder.glob(pattern) if path.is_file()]


@contextmanager
def staged(goal: Path) -> Iterator[Path]:
    """A temporary folder that becomes `goal` when the block ends well, and is gone when it doesn't."""
    made = [path for path in goal.absolute().parents if not path.exists()]
    goal.parent.mkdir(parents=True, exist_ok=True)
    temporary = goal.parent / f".{goal.name}.{uuid.uuid4().hex}.tmp"  # a sibling: renaming it is atomic
    try:
        temporary.mkdir()
        yield temporary
        _publish(temporary, goal)
    except BaseException:  # KeyboardInterrupt included
        shutil.rmtree(temporary, ignore_errors=True)
        _remove_empty(made)
        raise


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:  # innermost first
        try:
            folder.rmdir()
        except OSError:  # somebody else has put something there
            return


def _publish(temporary: Path, goal: Path) -> None:
    """Rename into place; an earlier checkpoint is set aside first, and put back if that fails."""
    if not os.path.lexists(goal):
        temporary.rename(goal)
        return
    aside = temporary.with_suffix(".old")
    goal.rename(aside)
    try:
        temporary.rename(goal)
    except BaseException:
        aside.rename(goal)
        raise
    if aside.is_symlink():
        aside.unlink()
    else:
        shutil.rmtree(aside)
