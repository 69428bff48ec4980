"""Read a converted checkpoint back from disk and compare it with what was meant, before anybody sees it.

Headers, index, config and head are compared whole; of every tensor in a copied shard, the first, middle and last
bytes (comparing all would mean to read the model twice more); of a linked shard, that it is the same file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from qwen3_sglang.convert.checkpoint import INDEX, Entry, Shard, open_shards, read_json, read_tensor
from qwen3_sglang.convert.head import Head
from qwen3_sglang.convert.plan import DROPPED, Plan
from qwen3_sglang.errors import ConversionError
from qwen3_sglang.names import BIAS, WEIGHT

SAMPLE = 4096  # bytes at each of the three places of a tensor
Signature = dict[str, tuple[str, tuple[int, ...], int]]  # tensor -> type, shape, bytes


def verify(folder: Path, plan: Plan) -> None:
    """Raise ConversionError unless `folder` holds what `plan` says: the source's tensors, the head and the config."""
    source = plan.source
    shards = open_shards(folder)  # parses every header and compares it with its file's size
    _check_tensors(folder, _signature(shards), _expected(source.shards, source.head))
    _check_index(folder, shards)
    for name, meant in ((WEIGHT, source.head.weight), (BIAS, source.head.bias)):
        if read_tensor(shards, name)[1] != meant:
            raise _failure(folder, f"{name} isn't what was written")
    _check_contents(folder, plan, shards)
    if read_json(folder / "config.json") != source.config:
        raise _failure(folder, "config.json isn't what was written")


def _signature(shards: Iterable[Shard]) -> Signature:
    return {
        name: (entry.dtype, entry.shape, entry.end - entry.begin)
        for shard in shards
        for name, entry in shard.tensors.items()
    }


def _expected(source: Sequence[Shard], head: Head) -> Signature:
    tensors = {name: kind for name, kind in _signature(source).items() if name not in DROPPED}
    tensors[WEIGHT] = (head.dtype, (2, head.hidden), len(head.weight))
    tensors[BIAS] = (head.dtype, (2,), len(head.bias))
    return tensors


def _check_tensors(folder: Path, found: Signature, meant: Signature) -> None:
    wrong = sorted(name for name in found.keys() | meant.keys() if found.get(name) != meant.get(name))
    if wrong:
        raise _failure(folder, f"these tensors are missing, left over or of another shape: {', '.join(wrong[:5])}")


def _check_index(folder: Path, shards: Sequence[Shard]) -> None:
    weight_map = {name: shard.path.name for shard in shards for name in shard.tensors}
    if read_json(folder / INDEX).get("weight_map") != weight_map:
        raise _failure(folder, f"{INDEX} doesn't match the shards")


def _check_contents(folder: Path, plan: Plan, shards: Sequence[Shard]) -> None:
    homes = {name: shard for shard in shards for name in shard.tensors}
    for old in plan.kept:
        kept = old.tensors.keys() - DROPPED
        for new in {homes[name].path: homes[name] for name in kept}.values():
            if plan.links(old):
                if not new.path.samefile(old.path):
                    raise _failure(folder, f"{new.path.name} isn't the file {old.path}")
            else:
                _check_samples(folder, old, new)


def _check_samples(folder: Path, old: Shard, new: Shard) -> None:
    with old.path.open("rb") as a, new.path.open("rb") as b:
        for name in (old.tensors.keys() & new.tensors.keys()) - DROPPED:
            before, after = old.tensors[name], new.tensors[name]
            for offset, length in _samples(before):
                meant = os.pread(a.fileno(), length, old.data_start + before.begin + offset)
                if os.pread(b.fileno(), length, new.data_start + after.begin + offset) != meant:
                    raise _failure(folder, f"{name} in {new.path.name} isn't what {old.path} has")


def _samples(entry: Entry) -> Iterator[tuple[int, int]]:
    size = entry.end - entry.begin
    length = min(SAMPLE, size)
    for offset in sorted({0, (size - length) // 2, size - length}):
        yield offset, length


def _failure(folder: Path, reason: str) -> ConversionError:
    return ConversionError(f"{folder}: verification failed, {reason}; check the disk and convert again")
