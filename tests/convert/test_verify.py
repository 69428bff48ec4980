"""verify(): a converted folder that was damaged is found out, whatever the damage."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qwen3_sglang.convert import convert
from qwen3_sglang.convert.checkpoint import INDEX, read_json
from qwen3_sglang.convert.inspect import judge
from qwen3_sglang.convert.plan import Plan
from qwen3_sglang.convert.verify import verify
from qwen3_sglang.errors import ConversionError


def flip_last_byte(folder: Path, shard: int) -> None:
    """Damage the data of one file; its size stays."""
    path = sorted(folder.glob("*.safetensors"))[shard]
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))


def drop_from_index(folder: Path) -> None:
    """Forget score.bias, as a server that trusts the index would."""
    index = read_json(folder / INDEX)
    del index["weight_map"]["score.bias"]
    (folder / INDEX).write_text(json.dumps(index))


def forget_a_shard(folder: Path) -> None:
    """Leave the model's own weights out of the index."""
    index = read_json(folder / INDEX)
    kept = {name: file for name, file in index["weight_map"].items() if name.startswith("score")}
    (folder / INDEX).write_text(json.dumps({"weight_map": kept}))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "contents": (lambda f: flip_last_byte(f, 0), r"model-00001-of-00002\.safetensors isn't what"),
    "head": (lambda f: flip_last_byte(f, -1), "isn't what was written"),
    "size": (lambda f: os.truncate(min(f.glob("*.safetensors")), 100_000), "the file has"),
    "index": (drop_from_index, "doesn't match the shards"),
    "tensors": (forget_a_shard, "missing, left over"),
    "config": (lambda f: (f / "config.json").write_text("{}"), r"config\.json isn't"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_found(toy: Path, tmp_path: Path, case: str) -> None:
    """An intact folder passes; each damage is refused and named."""
    target = convert(toy, tmp_path / "out", verify=False)
    plan = Plan(judge(toy).convertible(), linking=False, skipped="")
    verify(target, plan)
    damage, message = DAMAGE[case]
    damage(target)
    with pytest.raises(ConversionError, match=message):
        verify(target, plan)


def test_a_linked_shard_is_the_same_file(sharded: Path, tmp_path: Path) -> None:
    """A copy in its place, byte for byte the same, is found out."""
    target = convert(sharded, tmp_path / "out", link=True, verify=False)
    plan = Plan(judge(sharded).convertible(), linking=True, skipped="")
    verify(target, plan)
    linked = next(path for path in target.glob("*.safetensors") if path.stat().st_nlink > 1)
    raw = linked.read_bytes()
    linked.unlink()
    linked.write_bytes(raw)
    with pytest.raises(ConversionError, match=f"{linked.name} isn't the file"):
        verify(target, plan)
