"""Symbolic links in a checkpoint's folder: followed inside the folder and inside the hub's cache, and no further."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from qwen3_sglang.errors import ConversionError


def check_links(folder: Path, patterns: Iterable[str]) -> None:
    """Raise ConversionError when a file of these patterns is a link that leads out.

    What is converted may be somebody else's, and a link in it must not bring a file of this machine into the target.
    The folder itself may be a link: its user named it.
    """
    root = _root(folder)
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
        target = path.resolve()
        if path.is_symlink() and not target.is_relative_to(root):
            raise ConversionError(
                f"{path}: is a symbolic link to {target}, outside of {root}, and isn't followed; "
                "if the file belongs to the checkpoint, copy it into its place (cp -rL copies a folder so)"
            )


def _root(folder: Path) -> Path:
    """Where links may lead: the folder, or the model's own part of the hub's cache, models--…/snapshots/…"""
    real = folder.resolve()
    model = real.parent.parent
    in_cache = real.parent.name == "snapshots" and model.name.startswith("models--") and (model / "blobs").is_dir()
    return model if in_cache else real
