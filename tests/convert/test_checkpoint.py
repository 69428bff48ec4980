"""Safetensors files, read and written here, checked against the safetensors library."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from qwen3_sglang.convert.checkpoint import copy_shard, open_shards, read_shard, write_shard
from qwen3_sglang.errors import ConversionError


@pytest.mark.parametrize("dropped", ["a", "b", "c", "none of them"])
def test_copy_without_one_tensor(tmp_path: Path, dropped: str) -> None:
    """First, middle, last or no tensor left out: the library reads the rest unchanged."""
    shapes = {"a": 3, "b": 5, "c": 2}
    tensors = {name: torch.randn(n, 4).to(torch.bfloat16) for name, n in shapes.items()}
    save_file(tensors, tmp_path / "in.safetensors", metadata={"format": "pt"})
    counts: list[int] = []
    copy_shard(read_shard(tmp_path / "in.safetensors"), tmp_path / "out.safetensors", {dropped}, counts.append)
    copied = load_file(tmp_path / "out.safetensors")
    assert copied.keys() == tensors.keys() - {dropped}
    assert all(torch.equal(copied[name], tensors[name]) for name in copied)
    assert sum(counts) > 0


def test_a_written_file_is_read_by_the_library(tmp_path: Path) -> None:
    """Names, shapes, types and values survive."""
    path = tmp_path / "new.safetensors"
    write_shard(path, [("x", "BF16", (2, 1), b"\x80\x3f\x00\x40"), ("y", "BF16", (1,), b"\x00\x00")])
    loaded = load_file(path)
    assert loaded["x"].tolist() == [[1.0], [2.0]]
    assert loaded["y"].dtype == torch.bfloat16
    assert (int.from_bytes(path.read_bytes()[:8], "little") + 8) % 8 == 0


def test_an_index_must_not_lead_out_of_its_folder(tmp_path: Path) -> None:
    """A shard's name is a name, not a path."""
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"x": "../x.safetensors"}}')
    with pytest.raises(ConversionError, match="isn't a file name"):
        open_shards(tmp_path)


def test_a_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    """Which of them counts would be chance."""
    for name in ("1.safetensors", "2.safetensors"):
        save_file({"x": torch.ones(2)}, tmp_path / name)
    (tmp_path / "model.safetensors.index.json").write_text(
        '{"weight_map": {"x": "1.safetensors", "y": "2.safetensors"}}'
    )
    with pytest.raises(ConversionError, match="x is also in"):
        open_shards(tmp_path)


def test_overlapping_tensors_are_refused(tmp_path: Path) -> None:
    """Byte ranges must follow each other without gap or overlap."""
    raw = b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'
    (tmp_path / "gap.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(8))
    with pytest.raises(ConversionError, match="byte range of x"):
        read_shard(tmp_path / "gap.safetensors")
