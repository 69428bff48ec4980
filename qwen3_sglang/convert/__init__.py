"""Turn a Qwen3-Reranker checkpoint into the two-label classifier that SGLang can serve.

Two rows of the language model's head are read, everything else is copied byte for byte: no torch, and no more
memory for 8B parameters than for 0.6B.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qwen3_sglang.convert.checkpoint import (
    INDEX,
    Shard,
    copy_shard,
    open_shards,
    read_json,
    read_shard,
    write_shard,
)
from qwen3_sglang.convert.head import LM_HEAD, PAD, Head, build_head, find_tokens
from qwen3_sglang.convert.verify import verify
from qwen3_sglang.errors import ConversionError, MissingDependencyError, Qwen3SGLangError

__all__ = ["convert"]

SOURCE_CLASS, TARGET_CLASS = "Qwen3ForCausalLM", "Qwen3ForSequenceClassification"
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
Progress = Callable[[int, int], None]


def convert(source: str | Path, target: str | Path, *, force: bool = False, progress: Progress | None = None) -> Path:
    """Convert `source`, a folder or a name on the Hugging Face hub, into folder `target`; return its path.

    `progress(done, total)` is called with bytes copied. The target appears only once it is complete and
    verified; `force` replaces an earlier checkpoint there. Raises ConversionError, and leaves nothing behind,
    when anything is wrong; MissingDependencyError for a hub name without huggingface_hub.
    """
    goal = Path(target).expanduser()
    _check_target(goal, force=force)
    try:
        folder = _resolve(source, _download)
        _check_apart(folder, goal)
        return _convert_folder(folder, goal, progress)
    except OSError as error:
        if isinstance(error, Qwen3SGLangError):
            raise
        raise ConversionError(
            f"{source} -> {goal}: {error}; check the disk's space and the folders' permissions"
        ) from error


def _convert_folder(folder: Path, goal: Path, progress: Progress | None) -> Path:
    config = _read_config(folder)
    shards = open_shards(folder)
    tokens = find_tokens(folder)
    head = build_head(shards, config, tokens)
    new_config = _classifier_config(folder, config, tokens)
    goal.parent.mkdir(parents=True, exist_ok=True)
    temporary = goal.parent / f".{goal.name}.{uuid.uuid4().hex}.tmp"  # a sibling: renaming it is atomic
    try:
        temporary.mkdir()
        _write_weights(temporary, shards, head, progress)
        _write_json(temporary / "config.json", new_config)
        _copy_files(folder, temporary)
        verify(temporary, shards, head, new_config)
        _publish(temporary, goal)
    finally:  # KeyboardInterrupt included; after a success there is nothing to remove
        shutil.rmtree(temporary, ignore_errors=True)
    return goal


def _resolve(source: str | Path, download: Callable[[str], str]) -> Path:
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


def _download(name: str) -> str:
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError("huggingface_hub", "convert") from error
    return str(snapshot_download(name, allow_patterns=DOWNLOADED))


def _check_target(goal: Path, *, force: bool) -> None:
    if not os.path.lexists(goal):
        return
    if not force:
        raise ConversionError(f"{goal}: exists already; name another folder, or use force to replace it")
    # force deletes what was there, and a mistyped path must not cost anybody a folder of something else
    if not goal.is_dir() or (any(goal.iterdir()) and not (goal / "config.json").is_file()):
        raise ConversionError(f"{goal}: isn't a checkpoint folder, so force won't replace it; name another")


def _check_apart(folder: Path, goal: Path) -> None:
    source, target = folder.resolve(), goal.resolve()
    if source == target or source in target.parents or target in source.parents:
        raise ConversionError(f"{goal}: is the source {folder}, or one is inside the other; name another folder")


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise ConversionError(f"{path}: missing; name the folder of a Qwen3-Reranker checkpoint")
    config = read_json(path)
    architectures = config.get("architectures")
    if architectures == [TARGET_CLASS]:
        raise ConversionError(f"{path}: architectures is {architectures}: converted already, serve it as it is")
    if architectures != [SOURCE_CLASS]:
        raise ConversionError(f"{path}: architectures is {architectures}; only {SOURCE_CLASS} can be converted")
    if config.get("quantization_config"):
        raise ConversionError(
            f"{path}: quantization_config is set; convert the unquantized checkpoint, quantize afterwards"
        )
    return config


def _classifier_config(folder: Path, config: dict[str, Any], tokens: dict[str, int]) -> dict[str, Any]:
    new = {key: value for key, value in config.items() if key != "num_labels"}  # id2label says it
    new["architectures"] = [TARGET_CLASS]
    new["id2label"] = {"0": "no", "1": "yes"}
    new["label2id"] = {"no": 0, "yes": 1}
    if new.get("pad_token_id") is None:
        if PAD not in tokens:
            raise ConversionError(
                f"{folder / 'config.json'}: no pad_token_id, and the tokenizer has no {PAD}; set pad_token_id"
            )
        new["pad_token_id"] = tokens[PAD]
    return new


def _write_weights(folder: Path, shards: Sequence[Shard], head: Head, progress: Progress | None) -> None:
    kept = [shard for shard in shards if shard.tensors.keys() - {LM_HEAD}]
    # transformers would load a file called model.safetensors alone, index or not; so all are renamed.
    paths = [folder / f"model-{i + 1:05d}-of-{len(kept) + 1:05d}.safetensors" for i in range(len(kept) + 1)]
    report = _reporter(kept, progress)
    for shard, path in zip(kept, paths[:-1], strict=True):
        copy_shard(shard, path, LM_HEAD, report)
    weight = ("score.weight", head.dtype, (2, head.hidden), head.weight)
    write_shard(paths[-1], [weight, ("score.bias", head.dtype, (2,), head.bias)])
    _write_index(folder, paths)


def _reporter(shards: Sequence[Shard], progress: Progress | None) -> Callable[[int], None]:
    total, done = sum(_copied_bytes(shard) for shard in shards), 0

    def report(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total)

    return report


def _copied_bytes(shard: Shard) -> int:
    """What copy_shard reports: the whole file, or the tensors that are kept of it."""
    size = shard.path.stat().st_size
    gone = shard.tensors.get(LM_HEAD)
    return size if gone is None else size - shard.data_start - (gone.end - gone.begin)


def _write_index(folder: Path, paths: Sequence[Path]) -> None:
    written = [read_shard(path) for path in paths]
    total = sum(entry.end - entry.begin for shard in written for entry in shard.tensors.values())
    weight_map = {name: shard.path.name for shard in written for name in shard.tensors}
    _write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _copy_files(folder: Path, target: Path) -> None:
    for pattern in COPIED:
        for path in folder.glob(pattern):
            if path.is_file():
                shutil.copyfile(path, target / path.name)


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
