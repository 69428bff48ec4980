"""Symbolic links in a source: the hub's cache works, and nothing from elsewhere is read into a target."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from qwen3_sglang.convert import convert
from qwen3_sglang.convert.inspect import judge
from qwen3_sglang.convert.remarks import Verdict
from qwen3_sglang.errors import ConversionError


def as_cached(source: Path, model: Path) -> Path:
    """The folder as huggingface_hub keeps it: names that point to blobs."""
    snapshot = model / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    shutil.copytree(source, model / "blobs")
    for path in (model / "blobs").iterdir():
        (snapshot / path.name).symlink_to(Path("..") / ".." / "blobs" / path.name)
    return snapshot


def test_the_hubs_cache(tied: Path, tmp_path: Path) -> None:
    """Also through a link to the snapshot, and to the cache."""
    snapshot = as_cached(tied, tmp_path / "hub" / "models--owner--name")
    (tmp_path / "here").symlink_to(snapshot)
    (tmp_path / "cache").symlink_to(tmp_path / "hub")
    for number, source in enumerate(
        [snapshot, tmp_path / "here", tmp_path / "cache" / snapshot.relative_to(tmp_path / "hub")]
    ):
        target = convert(source, tmp_path / f"out{number}", verify=False)
        assert not any(path.is_symlink() for path in target.iterdir())


def test_inside_the_folder(tied: Path, tmp_path: Path) -> None:
    """As volumes of a cluster have them."""
    source = tmp_path / "source"
    shutil.copytree(tied, source / "..data")
    for name in os.listdir(tied):
        (source / name).symlink_to(Path("..data") / name)
    assert convert(source, tmp_path / "out", verify=False).is_dir()


OUT = ["LICENSE", "model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja", "merges.txt"]


@pytest.mark.parametrize("name", OUT)
@pytest.mark.parametrize("cached", [False, True])
def test_out_of_the_folder(tied: Path, tmp_path: Path, name: str, cached: bool) -> None:
    """Refused with both paths, whichever file it is; from the cache no other model is reached either."""
    secret = tmp_path / "models--owner--other" / "secret"
    secret.parent.mkdir()
    secret.write_text("secret")
    source = (
        as_cached(tied, tmp_path / "models--owner--name") if cached else Path(shutil.copytree(tied, tmp_path / "s"))
    )
    if (source / name).exists():
        shutil.copyfile(source / name, secret)
        (source / name).unlink()
    (source / name).symlink_to(secret)
    with pytest.raises(ConversionError, match=rf"{name}: is a symbolic link to {secret}, outside of.*cp -rL"):
        convert(source, tmp_path / "out", verify=False)
    assert judge(source).verdict is Verdict.UNUSABLE
    assert not (tmp_path / "out").exists()


def test_a_look_alike_of_the_cache(tied: Path, tmp_path: Path) -> None:
    """Its blobs may be a link themselves: that leads out too."""
    snapshot = as_cached(tied, tmp_path / "models--owner--name")
    (tmp_path / "models--owner--name" / "blobs").rename(tmp_path / "elsewhere")
    (tmp_path / "models--owner--name" / "blobs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConversionError, match="outside of"):
        convert(snapshot, tmp_path / "out", verify=False)


def test_what_is_ready_is_served_from_links(converted_toy: Path, tmp_path: Path) -> None:
    """Nothing is copied then, and SGLang follows them."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in converted_toy.iterdir():
        (folder / path.name).symlink_to(path)
    assert judge(folder).verdict is Verdict.READY
