"""Read a converted checkpoint back from disk and compare it with what was meant, before anybody sees it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from qwen3_sglang.convert.checkpoint import INDEX, Shard, open_shards, read_bytes, read_json
from qwen3_sglang.convert.head import LM_HEAD, Head
from qwen3_sglang.errors import ConversionError

Signature = dict[str, tuple[str, tuple[int, ...], int]]  # tensor -> type, shape, bytes


def verify(folder: Path, source: Sequence[Shard], head: Head, config: dict[str, Any]) -> None:
    """Raise ConversionError unless `folder` holds the source's tensors, the head and `config`."""
    shards = open_shards(folder)  # parses every header and compares it with its file's size
    _check_tensors(folder, _signature(shards), _expected(source, head))
    _check_index(folder, shards)
    for name, meant in (("score.weight", head.weight), ("score.bias", head.bias)):
        if _tensor_bytes(shards, name) != meant:
            raise _failure(folder, f"{name} isn't what was written")
    if read_json(folder / "config.json") != config:
        raise _failure(folder, "config.json isn't what was written")


def _signature(shards: Iterable[Shard]) -> Signature:
    return {
        name: (entry.dtype, entry.shape, entry.end - entry.begin)
        for shard in shards
        for name, entry in shard.tensors.items()
    }


def _expected(source: Sequence[Shard], head: Head) -> Signature:
    tensors = _signature(source)
    tensors.pop(LM_HEAD, None)
    tensors["score.weight"] = (head.dtype, (2, head.hidden), len(head.weight))
    tensors["score.bias"] = (head.dtype, (2,), len(head.bias))
    return tensors


def _check_tensors(folder: Path, found: Signature, meant: Signature) -> None:
    wrong = sorted(name for name in found.keys() | meant.keys() if found.get(name) != meant.get(name))
    if wrong:
        raise _failure(folder, f"these tensors are missing, left over or of another shape: {', '.join(wrong[:5])}")


def _check_index(folder: Path, shards: Sequence[Shard]) -> None:
    weight_map = {name: shard.path.name for shard in shards for name in shard.tensors}
    if read_json(folder / INDEX).get("weight_map") != weight_map:
        raise _failure(folder, f"{INDEX} doesn't match the shards")


def _tensor_bytes(shards: Iterable[Shard], name: str) -> bytes:
    shard = next(shard for shard in shards if name in shard.tensors)
    entry = shard.tensors[name]
    return read_bytes(shard, entry.begin, entry.end - entry.begin)


def _failure(folder: Path, reason: str) -> ConversionError:
    return ConversionError(f"{folder}: verification failed, {reason}; check the disk and convert again")
