"""Checkpoint folders and safetensors files, read and copied in byte ranges; nothing is ever loaded whole.

A safetensors file is an 8-byte little-endian length, a JSON header of that length, then the tensors' bytes
without gaps (https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen3_sglang.convert.copying import Report, copy_range, write_all
from qwen3_sglang.errors import ConversionError

WIDTH = {"BF16": 2, "F16": 2, "F32": 4}  # bytes of a number, for the types a head can be made of
MAX_HEADER = 100_000_000  # the safetensors library's own limit
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
MAX_JSON = 256 * 2**20  # bytes; a tokenizer.json has about 11 MB
REFETCH = "save the checkpoint again, or download it again"


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a file; `begin` and `end` count from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Shard:
    """One safetensors file: `data_start` is where its tensors begin."""

    path: Path
    data_start: int
    tensors: Mapping[str, Entry]
    metadata: Mapping[str, str]


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. Raises: as `read_any_json`, and ConversionError where it is no object."""
    data = read_any_json(path)
    if not isinstance(data, dict):
        raise ConversionError(f"{path}: a JSON object is expected; {REFETCH}")
    return data


def read_any_json(path: Path) -> Any:
    """What the JSON file `path` holds.

    Raises:
        ConversionError: it is missing, no ordinary file, over MAX_JSON bytes, or no JSON.
    """
    if not path.is_file():  # a pipe would be waited for
        raise ConversionError(f"{path}: can't be read as JSON (no such file); {REFETCH}")
    try:
        if path.stat().st_size <= MAX_JSON:
            return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConversionError(f"{path}: can't be read as JSON ({error}); {REFETCH}") from error
    except RecursionError:
        raise ConversionError(f"{path}: can't be read as JSON (nested too deeply); {REFETCH}") from None
    raise ConversionError(f"{path}: can't be read as JSON (more than {MAX_JSON} bytes); {REFETCH}")


def open_shards(folder: Path) -> list[Shard]:
    """The headers of all of the folder's weight files.

    Raises:
        ConversionError: there are none, one is missing or broken, two hold the same tensor, or one lacks a tensor that
            the index says it has.
    """
    names, promised = _shard_names(folder)
    shards = [read_shard(folder / name) for name in names]
    seen: dict[str, Path] = {}
    for shard in shards:
        for name in shard.tensors:
            if name in seen:
                raise ConversionError(f"{shard.path}: {name} is also in {seen[name].name}; {REFETCH}")
            seen[name] = shard.path
    for name, file in promised.items():
        if name not in seen or seen[name].name != file:
            raise ConversionError(f"{folder / file}: lacks {name}, which {INDEX} says it has; {REFETCH}")
    return shards


def _shard_names(folder: Path) -> tuple[list[str], dict[str, str]]:
    """The weight files, and which tensor an index says is in which of them."""
    if (folder / SINGLE).is_file():  # transformers prefers it to an index, so it is what the model was run with
        return [SINGLE], {}
    if (folder / INDEX).is_file():
        return _indexed_names(folder)
    raise ConversionError(f"{folder}: {_instead(folder)}")


def _instead(folder: Path) -> str:
    """What a folder without weights holds instead, and what to do."""

    def has(*patterns: str) -> bool:
        return any(any(folder.glob(pattern)) for pattern in patterns)

    if has("*.gguf"):
        return (
            "only GGUF weights, which are quantized for llama.cpp; "
            "use the original checkpoint, whose weights are safetensors files"
        )
    if has("zero_to_fp32.py", "global_step*", "pytorch_model_fsdp_*", "*.distcp"):
        return (
            "weights in the pieces of a training run (DeepSpeed or FSDP); put them together first "
            "(zero_to_fp32.py, or accelerate merge-weights) and save the model with save_pretrained"
        )
    if has("*.bin", "*.pt", "*.pth"):
        return (
            "only pickled weights, which are never loaded here (they can run code); use a revision of the checkpoint "
            "that has safetensors files, or save a model of your own again with save_pretrained"
        )
    if has("checkpoint-*/*.safetensors"):
        return "no weights, but checkpoint-* folders that have some; name one of those"
    return f"neither {SINGLE} nor {INDEX}; name a folder that holds the weights"


def _indexed_names(folder: Path) -> tuple[list[str], dict[str, str]]:
    weight_map = read_json(folder / INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ConversionError(f"{folder / INDEX}: no weight_map; {REFETCH}")
    promised = {str(tensor): str(name) for tensor, name in weight_map.items()}
    names = sorted(set(promised.values()))
    for name in names:
        if Path(name).name != name:  # an index must not lead out of its folder
            raise ConversionError(f"{folder / INDEX}: {name!r} isn't a file name; {REFETCH}")
        if not (folder / name).is_file():
            raise ConversionError(f"{folder / name}: the index names this shard, but it is missing; {REFETCH}")
    return names, promised


def read_shard(path: Path) -> Shard:
    """The header of one file, checked against the file's size.

    Raises:
        ConversionError: the header is damaged, or the two disagree.
        OSError: the file can't be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(MAX_HEADER, size - 8):  # noqa: PLR2004 - the length takes 8, an empty header 2
            raise ConversionError(f"{path}: truncated, or not a safetensors file; {REFETCH}")
        raw = file.read(length)
    try:
        header = json.loads(raw.decode("utf-8"))
        metadata = _metadata(header.pop("__metadata__", None))
        tensors = {name: _entry(name, item) for name, item in header.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConversionError(f"{path}: the safetensors header is corrupt ({error}); {REFETCH}") from error
    _check_layout(path, tensors, size - 8 - length)
    return Shard(path, 8 + length, tensors, metadata)


def _metadata(found: object) -> dict[str, str]:
    if found is None:
        return {}
    if isinstance(found, dict) and all(isinstance(value, str) for value in found.values()):
        return found
    raise ValueError("__metadata__ isn't a table of strings")


def _entry(name: str, item: Mapping[str, Any]) -> Entry:
    name.encode()  # a lone surrogate couldn't be written again
    dtype, shape, (begin, end) = item["dtype"], item["shape"], item["data_offsets"]
    if not isinstance(dtype, str) or not isinstance(shape, list):
        raise TypeError(f"{name}: dtype or shape")
    for number in (*shape, begin, end):
        if type(number) is not int or number < 0:  # neither 2.5 nor true
            raise ValueError(f"{name}: {number!r} is no size")
    return Entry(dtype, tuple(shape), begin, end)


def _check_layout(path: Path, tensors: Mapping[str, Entry], size: int) -> None:
    position = 0
    for name, entry in sorted(tensors.items(), key=lambda pair: (pair[1].begin, pair[1].end)):
        if entry.begin != position or entry.end < entry.begin:
            raise ConversionError(f"{path}: the byte range of {name} is wrong; {REFETCH}")
        position = entry.end
    if position != size:
        raise ConversionError(f"{path}: the header promises {position} bytes, the file has {size}; {REFETCH}")


def read_bytes(shard: Shard, begin: int, length: int) -> bytes:
    """`length` bytes of the data part, from byte `begin` of it.

    Raises:
        ConversionError: the file ends before.
    """
    with shard.path.open("rb") as file:
        file.seek(shard.data_start + begin)
        data = file.read(length)
    if len(data) != length:
        raise ConversionError(f"{shard.path}: ends too early; {REFETCH}")
    return data


def find_tensor(shards: Iterable[Shard], name: str) -> tuple[Shard, Entry]:
    """The shard that has the tensor `name`, and its entry; one of `shards` must have it."""
    shard = next(shard for shard in shards if name in shard.tensors)
    return shard, shard.tensors[name]


def read_tensor(shards: Iterable[Shard], name: str) -> tuple[Entry, bytes]:
    """The entry and the bytes of the tensor `name`; one of `shards` must have it. Raises: as `read_bytes`."""
    shard, entry = find_tensor(shards, name)
    return entry, read_bytes(shard, entry.begin, entry.end - entry.begin)


def copy_shard(shard: Shard, target: Path, dropped: Collection[str], report: Report) -> None:
    """Stream `shard` to `target`, without those of its tensors that are in `dropped`. Raises: as `copy_range`."""
    gone = sorted((entry.begin, entry.end) for name, entry in shard.tensors.items() if name in dropped)
    with shard.path.open("rb", buffering=0) as source, target.open("wb", buffering=0) as sink:
        size = os.fstat(source.fileno()).st_size
        if not gone:
            copy_range(source, sink, 0, size, report)
            return
        write_all(sink, encode_header(without(shard.tensors, dropped), shard.metadata))
        position = shard.data_start
        for begin, end in gone:
            copy_range(source, sink, position, shard.data_start + begin - position, report)
            position = shard.data_start + end
        copy_range(source, sink, position, size - position, report)


def without(tensors: Mapping[str, Entry], dropped: Collection[str]) -> dict[str, Entry]:
    """The entries of the other tensors, moved up to close the gaps."""
    gone = [entry for name, entry in tensors.items() if name in dropped]
    kept = {}
    for name, entry in tensors.items():
        if name in dropped:
            continue
        # An empty tensor can share a dropped one's `begin`; only what starts at its end or later moves.
        shift = sum(other.end - other.begin for other in gone if entry.begin >= other.end)
        kept[name] = Entry(entry.dtype, entry.shape, entry.begin - shift, entry.end - shift)
    return kept


def encode_header(tensors: Mapping[str, Entry], metadata: Mapping[str, str]) -> bytes:
    """Length and JSON of a header, padded so that the data starts at a multiple of 8."""
    header: dict[str, Any] = {"__metadata__": dict(metadata) or {"format": "pt"}}
    for name, entry in tensors.items():
        header[name] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [entry.begin, entry.end],
        }
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)
    return len(raw).to_bytes(8, "little") + raw


def write_shard(path: Path, tensors: Iterable[tuple[str, str, tuple[int, ...], bytes]]) -> None:
    """Write (name, dtype, shape, bytes) tensors as a new file."""
    entries: dict[str, Entry] = {}
    data = b""
    for name, dtype, shape, raw in tensors:
        entries[name] = Entry(dtype, shape, len(data), len(data) + len(raw))
        data += raw
    path.write_bytes(encode_header(entries, {"format": "pt"}) + data)
