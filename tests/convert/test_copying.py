"""Linking, copying and the room for it."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from qwen3_sglang.convert import convert, copying
from qwen3_sglang.convert.checkpoint import open_shards
from qwen3_sglang.convert.copying import copy_range
from qwen3_sglang.errors import ConversionError

DATA = bytes(range(256)) * 40


def copied(tmp_path: Path, begin: int, length: int) -> tuple[bytes, list[int]]:
    """What copy_range appends after a header, and what it reports."""
    (tmp_path / "in").write_bytes(DATA)
    counts: list[int] = []
    with (tmp_path / "in").open("rb", buffering=0) as source, (tmp_path / "out").open("wb", buffering=0) as sink:
        sink.write(b"header")
        copy_range(source, sink, begin, length, counts.append)
    return (tmp_path / "out").read_bytes(), counts


@pytest.mark.parametrize(("begin", "length"), [(0, len(DATA)), (100, 5000), (0, 0)])
def test_a_range_is_copied(tmp_path: Path, begin: int, length: int) -> None:
    """To the end of what is there already, and all of it is reported."""
    written, counts = copied(tmp_path, begin, length)
    assert written == b"header" + DATA[begin : begin + length]
    assert sum(counts) == length


@pytest.mark.parametrize("code", sorted(copying.NOT_HERE))
@pytest.mark.parametrize("first", [0, 1000])
def test_where_the_kernel_cannot_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, first: int) -> None:
    """At once or after some bytes: the rest is read and written, and nothing twice."""
    real, calls = os.copy_file_range, 0

    def refuse(source: int, sink: int, count: int, offset: int) -> int:
        nonlocal calls
        calls += 1
        if calls == 1 and first:
            return real(source, sink, min(first, count), offset)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "copy_file_range", refuse)
    written, counts = copied(tmp_path, 100, 5000)
    assert written == b"header" + DATA[100:5100]
    assert sum(counts) == 5000
    assert calls == (2 if first else 1)


def test_without_the_system_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS."""
    monkeypatch.delattr(os, "copy_file_range")
    assert copied(tmp_path, 100, 5000)[0] == b"header" + DATA[100:5100]


def test_a_full_disk_is_no_reason_to_try_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only an unsupported copy falls back."""

    def full(*_args: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "copy_file_range", full)
    with pytest.raises(OSError, match="No space"):
        copied(tmp_path, 0, 10)


def test_a_source_that_shrinks_is_found_out(tmp_path: Path) -> None:
    """Somebody else truncates it during the copy."""
    with pytest.raises(ConversionError, match="got shorter"):
        copied(tmp_path, 0, len(DATA) + 1)


def test_linked_shards_are_the_same_files(sharded: Path, tmp_path: Path) -> None:
    """All but the one that holds lm_head and the new head's; the result is that of a copy."""
    linked = convert(sharded, tmp_path / "linked", link=True, verify=False)
    plain = convert(sharded, tmp_path / "plain", verify=False)
    originals = {shard.path.stat().st_ino: "lm_head.weight" in shard.tensors for shard in open_shards(sharded)}
    inodes = [path.stat().st_ino for path in linked.glob("*.safetensors")]
    assert [ino for ino, rewritten in originals.items() if not rewritten] == [ino for ino in originals if ino in inodes]
    assert sum(not rewritten for rewritten in originals.values()) > 1
    for path in plain.iterdir():
        assert path.read_bytes() == (linked / path.name).read_bytes()


def test_a_symlinked_shard_is_linked_to_its_file(tied: Path, tmp_path: Path) -> None:
    """As the hub's cache has them; a hard link to the symlink would break when the cache moves."""
    cache = tmp_path / "models--owner--name"
    blobs, source = Path(shutil.copytree(tied, cache / "blobs")), cache / "snapshots" / "0123abc"
    source.mkdir(parents=True)
    for path in blobs.iterdir():
        (source / path.name).symlink_to(Path("..") / ".." / "blobs" / path.name)
    target = convert(source, tmp_path / "deep" / "out", link=True, verify=False)
    [linked] = [path for path in target.glob("*.safetensors") if path.stat().st_nlink > 1]
    assert not linked.is_symlink()
    assert linked.samefile(blobs / "model.safetensors")


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_a_link_that_fails_says_to_copy(
    sharded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Another disk, no permission, too many links: nothing is left behind."""

    def refuse(*_args: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(ConversionError, match=r"same disk.*leave out link \(--link\)"):
        convert(sharded, tmp_path / "out", link=True, verify=False)
    assert os.listdir(tmp_path) == []


def free(monkeypatch: pytest.MonkeyPatch, size: int) -> list[Path]:
    """Make every disk have `size` bytes free; which folders are asked for."""
    asked: list[Path] = []

    def usage(path: Path) -> SimpleNamespace:
        asked.append(path)
        return SimpleNamespace(free=size)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    return asked


def test_a_disk_too_small_is_seen_before_anything_is_written(
    sharded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both figures and the way out; the nearest folder that exists is asked."""
    asked = free(monkeypatch, 10**6)
    with pytest.raises(ConversionError, match=r"0\.02 GB are needed, and 0\.00 GB are free.*--link"):
        convert(sharded, tmp_path / "not" / "yet", verify=False)
    assert asked == [tmp_path]
    assert os.listdir(tmp_path) == []


def test_linked_shards_need_no_room(tied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too small for a copy is enough for links; an error with --link doesn't suggest it."""
    weights = (tied / "model.safetensors").stat().st_size
    room = 2**24 + sum(path.stat().st_size for path in tied.glob("*.json")) + weights - 10**5
    free(monkeypatch, room)
    with pytest.raises(ConversionError, match="GB are needed"):
        convert(tied, tmp_path / "copied", verify=False)
    assert convert(tied, tmp_path / "linked", link=True, verify=False).is_dir()
    free(monkeypatch, 10**6)
    with pytest.raises(ConversionError, match=r"another disk$"):
        convert(tied, tmp_path / "again", link=True, verify=False)
