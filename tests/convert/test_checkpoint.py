"""Safetensors files, read and written here, checked against the safetensors library."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from qwen3_sglang.convert import convert
from qwen3_sglang.convert.checkpoint import Shard, copy_shard, open_shards, read_shard, write_shard
from qwen3_sglang.convert.inspect import judge
from qwen3_sglang.convert.remarks import Verdict
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


@pytest.mark.parametrize("dropped", [{"a", "c"}, {"b", "d"}, {"a", "b"}, {"a", "b", "c", "d"}, {"b", "empty"}])
def test_copy_without_several_tensors(tmp_path: Path, dropped: set[str]) -> None:
    """Apart or side by side, and one of no bytes."""
    shapes = {"a": 3, "b": 5, "c": 2, "d": 4, "empty": 0}
    tensors = {name: torch.randn(n, 4).to(torch.bfloat16) for name, n in shapes.items()}
    save_file(tensors, tmp_path / "in.safetensors", metadata={"format": "pt"})
    copy_shard(read_shard(tmp_path / "in.safetensors"), tmp_path / "out.safetensors", dropped, lambda _: None)
    copied = load_file(tmp_path / "out.safetensors")
    assert copied.keys() == tensors.keys() - dropped
    assert all(torch.equal(copied[name], tensors[name]) for name in copied)


def x(**changes: Any) -> dict[str, Any]:
    """A header with one tensor of 8 bytes, changed."""
    return {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


HEADERS: dict[str, Any] = {
    "a list": [],
    "a number": 1,
    "NaN": float("nan"),
    "a tensor is a list": {"x": []},
    "no dtype": {"x": {"shape": [2], "data_offsets": [0, 8]}},
    "dtype is a number": x(dtype=5),
    "shape is a number": x(shape=2),
    "shape has a half": x(shape=[2.5]),
    "shape has a truth value": x(shape=[True]),
    "shape is negative": x(shape=[-2]),
    "shape is NaN": x(shape=[float("nan")]),
    "one offset": x(data_offsets=[8]),
    "three offsets": x(data_offsets=[0, 4, 8]),
    "offsets are text": x(data_offsets="08"),
    "offsets backwards": x(data_offsets=[8, 0]),
    "offsets are negative": x(data_offsets=[-8, 0]),
    "offsets are huge": x(data_offsets=[0, 10**30]),
    "offsets are infinite": x(data_offsets=[0, float("inf")]),
    "offsets beyond the end": x(data_offsets=[0, 16]),
    "a gap": x(data_offsets=[4, 8]),
    "an overlap": x() | {"y": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},
    "bytes that nobody has": x(data_offsets=[0, 4]),
    "metadata is a list": x() | {"__metadata__": [1]},
    "metadata has a number": x() | {"__metadata__": {"format": 1}},
    "a lone surrogate": {"\ud800": x()["x"]},
}


def with_header(folder: Path, raw: bytes, length: int | None = None) -> Path:
    """A file of this header and 8 bytes of data."""
    path = folder / "model.safetensors"
    path.write_bytes((len(raw) if length is None else length).to_bytes(8, "little") + raw + bytes(8))
    return path


@pytest.mark.parametrize("case", HEADERS)
def test_malformed_headers(tmp_path: Path, case: str) -> None:
    """A typed error that names the file."""
    path = with_header(tmp_path, json.dumps(HEADERS[case]).encode())
    with pytest.raises(ConversionError, match=r"model\.safetensors"):
        read_shard(path)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff" * 9, b"[" * 100_000, b'{"x":' * 100_000, b"1" * 5000, b"nul"])
def test_headers_that_are_no_json(tmp_path: Path, raw: bytes) -> None:
    """Cut, not UTF-8, nested beyond the parser's depth, a number of too many digits."""
    with pytest.raises(ConversionError, match=r"model\.safetensors"):
        read_shard(with_header(tmp_path, raw))


@pytest.mark.parametrize("length", [0, 1, 50, 2**27, 2**63, 2**64 - 1])
def test_wrong_header_lengths(tmp_path: Path, length: int) -> None:
    """Nothing is allocated for a length that the file doesn't have."""
    with pytest.raises(ConversionError, match=r"model\.safetensors"):
        read_shard(with_header(tmp_path, b"{}", length))


@given(st.data())
def test_any_damage_to_a_file_is_a_typed_error(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Cut anywhere, or with other bytes in its header: read, or refused."""
    folder = tmp_path_factory.mktemp("damaged")
    raw = bytearray(with_header(folder, json.dumps(x() | {"__metadata__": {"a": "b"}}).encode()).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 9))] = data.draw(st.integers(0, 255))
    path = folder / "model.safetensors"
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    try:
        found: Shard | None = read_shard(path)
    except ConversionError:
        found = None
    if found is not None:
        assert sum(entry.end - entry.begin for entry in found.tensors.values()) == 8


CONTENTS: dict[str, bytes] = {
    "empty": b"",
    "a list": b"[]",
    "a text": b'"x"',
    "null": b"null",
    "NaN": b"NaN",
    "cut": b'{"architectures": ["Qwen3',
    "not UTF-8": b'{"\xff\xfe": 1}',
    "deep": b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "digits": b'{"a": ' + b"9" * 10_000 + b"}",
    "empty object": b"{}",
}
NAMES = ["config.json", "tokenizer.json", "model.safetensors.index.json"]


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("name", NAMES)
def test_malformed_json(sharded: Path, tmp_path: Path, name: str, content: str) -> None:
    """In each file that is read: typed, with the file's name, and nothing is written."""
    source = Path(shutil.copytree(sharded, tmp_path / "source"))
    (source / name).write_bytes(CONTENTS[content])
    with pytest.raises(ConversionError, match=r"json"):
        convert(source, tmp_path / "out", verify=False)
    assert judge(source).verdict is Verdict.UNUSABLE
    assert os.listdir(tmp_path) == ["source"]


CONFIGS: dict[str, dict[str, Any]] = {
    "NaN": {"hidden_size": float("nan")},
    "infinite": {"num_hidden_layers": float("inf")},
    "half": {"hidden_size": 32.5},
    "negative": {"vocab_size": -1},
    "zero": {"num_attention_heads": 0},
    "truth value": {"num_hidden_layers": True},
    "text": {"intermediate_size": "64"},
    "huge": {"num_hidden_layers": 10**12},
    "more than huge": {"num_key_value_heads": 10**300},
    "a list": {"head_dim": [16]},
    "architectures in a list": {"architectures": [["Qwen3ForCausalLM"]]},
    "architectures as text": {"architectures": "Qwen3ForCausalLM"},
    "two architectures": {"architectures": ["Qwen3ForCausalLM", "Qwen3ForCausalLM"]},
}


@pytest.mark.parametrize("case", CONFIGS)
def test_configs_that_make_no_sense(tied: Path, tmp_path: Path, case: str) -> None:
    """At once, however large the number."""
    source = Path(shutil.copytree(tied, tmp_path / "source"))
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | CONFIGS[case]))
    with pytest.raises(ConversionError, match=next(iter(CONFIGS[case]))):
        convert(source, tmp_path / "out", verify=False)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors", "modules.json"])
def test_a_pipe_is_not_waited_for(tied: Path, tmp_path: Path, name: str) -> None:
    """In the place of a file."""
    source = Path(shutil.copytree(tied, tmp_path / "source"))
    (source / name).unlink(missing_ok=True)
    os.mkfifo(source / name)
    if name == "modules.json":
        assert convert(source, tmp_path / "out", verify=False).is_dir()
        return
    with pytest.raises(ConversionError):
        convert(source, tmp_path / "out", verify=False)


@pytest.mark.parametrize(
    ("files", "remedy"),
    [
        (["zero_to_fp32.py", "global_step10/x.pt"], "zero_to_fp32.py"),
        (["pytorch_model_fsdp_0/__0_0.distcp"], "accelerate merge-weights"),
        (["checkpoint-500/model.safetensors"], "name one of those"),
        (["pytorch_model.bin"], "again with save_pretrained"),
    ],
)
def test_what_a_training_run_leaves_instead_of_weights(
    tied: Path, tmp_path: Path, files: list[str], remedy: str
) -> None:
    """Named, with what to do."""
    source = Path(shutil.copytree(tied, tmp_path / "source"))
    (source / "model.safetensors").unlink()
    for name in files:
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).touch()
    with pytest.raises(ConversionError, match=remedy):
        convert(source, tmp_path / "out", verify=False)
