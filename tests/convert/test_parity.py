"""The full check: what it compares, when it is left out, and what it finds."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qwen3_sglang.convert import Parity, Probe, convert, parity
from qwen3_sglang.convert.checkpoint import open_shards, read_shard
from qwen3_sglang.convert.head import Rows, encode, read_values
from qwen3_sglang.convert.inspect import judge
from qwen3_sglang.convert.parity import check_parity, compare, memory_needed, obstacle
from qwen3_sglang.errors import ConversionError, MissingDependencyError
from qwen3_sglang.toy.wiring import WIDTH


@pytest.mark.parametrize("name", ["toy", "tied", "sharded"])
def test_the_figures(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Eight prompts and more, short and long, with scores that differ from each other and hardly from before."""
    found: list[Parity] = []
    convert(request.getfixturevalue(name), tmp_path / "out", verify=True, report=found.append)
    [report] = found
    assert len(report.probes) >= 8
    assert report.note == ""
    assert max(probe.tokens for probe in report.probes) > 2000
    assert len({round(probe.source, 3) for probe in report.probes}) > 2
    assert report.max_difference == max(probe.difference for probe in report.probes) < 1e-5


def rows_of(folder: Path) -> Rows:
    """Where the folder's P(yes) comes from."""
    return judge(folder).convertible().rows


def set_head(folder: Path, change: Callable[[list[float]], list[float]]) -> None:
    """Rewrite score.weight of a converted toy."""
    path = max(folder.glob("*.safetensors"))
    shard = read_shard(path)
    entry = shard.tensors["score.weight"]
    values = read_values([shard], "score.weight")
    raw = bytearray(path.read_bytes())
    raw[shard.data_start + entry.begin : shard.data_start + entry.end] = encode(change(values), entry.dtype)
    path.write_bytes(raw)


WRONG_HEADS: dict[str, Callable[[list[float]], list[float]]] = {
    "swapped": lambda values: values[len(values) // 2 :] + values[: len(values) // 2],
    "zero": lambda values: [0.0] * len(values),
    "a little off": lambda values: [value * 1.0078125 for value in values],
    "not a number": lambda values: [math.nan, *values[1:]],
}


@pytest.mark.parametrize("case", WRONG_HEADS)
def test_a_wrong_head_is_found(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    """Through the converted files on disk: whatever is wrong with the head's rows."""
    monkeypatch.setattr(parity, "LONG", 50)
    target = convert(toy, tmp_path / "out", verify=False)
    set_head(target, WRONG_HEADS[case])
    with pytest.raises(ConversionError, match=r"P\(yes\) of the prompt"):
        check_parity(compare(toy, target, rows_of(toy)), target)


def test_a_wrong_bias_and_a_wrong_body_are_found(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bias counts, which transformers' own class would ignore, and so does the body."""
    monkeypatch.setattr(parity, "LONG", 50)
    target = convert(toy, tmp_path / "out", verify=False)
    body, head = (read_shard(path) for path in sorted(target.glob("*.safetensors")))
    changes = ((head, "score.bias", encode([2.0, 0.0], "BF16")), (body, "model.norm.weight", bytes(2 * WIDTH)))
    for shard, name, value in changes:
        whole, entry = shard.path.read_bytes(), shard.tensors[name]
        assert len(value) == entry.end - entry.begin
        begin = shard.data_start + entry.begin
        shard.path.write_bytes(whole[:begin] + value + whole[begin + len(value) :])
        with pytest.raises(ConversionError, match=r"P\(yes\) of the prompt"):
            check_parity(compare(toy, target, rows_of(toy)), target)
        shard.path.write_bytes(whole)
    check_parity(compare(toy, target, rows_of(toy)), target)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ConversionError])
def test_a_check_that_fails_or_is_stopped_leaves_nothing(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: type[BaseException]
) -> None:
    """The files are complete by then, and go nevertheless; the figures were reported."""

    def broken(_source: Path, converted: Path, *_: object) -> Parity:
        assert (converted / "config.json").is_file()
        if failure is KeyboardInterrupt:
            raise KeyboardInterrupt
        return Parity((Probe("answer", 90, 0.9, 0.8),))

    monkeypatch.setattr("qwen3_sglang.convert.converter.compare", broken)
    found: list[Parity] = []
    with pytest.raises(failure):
        convert(toy, tmp_path / "out", report=found.append)
    assert os.listdir(tmp_path) == []
    assert [report.max_difference for report in found] == ([] if failure is KeyboardInterrupt else [pytest.approx(0.1)])


@pytest.mark.parametrize("library", ["torch", "transformers"])
def test_without_the_libraries(tied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    """By default the check is left out with a note; asked for, it names the extra before any work."""
    monkeypatch.setitem(sys.modules, library, None)
    found: list[Parity] = []
    convert(tied, tmp_path / "out", report=found.append)
    assert (found[0].probes, found[0].note) == ((), f"{library} is not installed")
    with pytest.raises(MissingDependencyError, match=rf"{library}.*\[local\]"):
        convert("no/such-model", tmp_path / "other", verify=True)


def test_too_little_memory(tied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default the check is left out with a note; asked for, it is refused with both figures."""
    monkeypatch.setattr(parity, "free_memory", lambda: 10**9)
    found: list[Parity] = []
    convert(tied, tmp_path / "out", report=found.append)
    assert found[0].note == "it needs 1.0 GB of memory, and 1.0 GB are free"
    with pytest.raises(ConversionError, match=r"1\.0 GB of memory, and 1\.0 GB are free.*--no-verify"):
        convert(tied, tmp_path / "other", verify=True)
    assert os.listdir(tmp_path) == ["out"]


def test_memory_grows_with_the_parameters(tied: Path) -> None:
    """Five bytes each; an unknown amount of free memory is no obstacle."""
    shards = open_shards(tied)
    parameters = sum(math.prod(entry.shape) for shard in shards for entry in shard.tensors.values())
    assert memory_needed([*shards, *shards]) - memory_needed(shards) == 5 * parameters


def test_an_unknown_amount_of_memory_is_no_obstacle(tied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some systems don't say."""
    monkeypatch.setattr(parity, "free_memory", lambda: None)
    assert obstacle(None, open_shards(tied)) == ""
    assert obstacle(False, open_shards(tied)) == "not asked for"


def test_a_model_that_transformers_refuses(tied: Path, tmp_path: Path) -> None:
    """The message says so and how to go on without the check; nothing is left."""
    source = Path(shutil.copytree(tied, tmp_path / "source"))
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, "model_type": "unheard-of"}))
    with pytest.raises(ConversionError, match=r"transformers can't load it.*--no-verify"):
        convert(source, tmp_path / "out", verify=True)
    assert os.listdir(tmp_path) == ["source"]
