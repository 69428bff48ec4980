"""Finds the converted checkpoint of a model, or converts the model and keeps the result."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qwen3_sglang.convert.converter import convert
from qwen3_sglang.convert.folder import resolve
from qwen3_sglang.convert.hub import cached, download
from qwen3_sglang.convert.inspect import judge
from qwen3_sglang.convert.remarks import Verdict
from qwen3_sglang.convert.write import Progress
from qwen3_sglang.errors import ConversionError

LAYOUT = "2"  # another number invalidates every earlier conversion in the cache


@dataclass(frozen=True, slots=True)
class Place:
    """Where the converted checkpoint of a model is, or is to be.

    Attributes:
        folder: the converted checkpoint.
        source: what it is converted from; `folder` itself where the model is converted already.
        name: what people call the model.
    """

    folder: Path
    source: Path
    name: str

    @property
    def ready(self) -> bool:
        """Is it there? A conversion that was broken off leaves no folder."""
        return is_converted(self.folder)


def is_converted(folder: Path) -> bool:
    """Whether the folder holds a checkpoint that SGLang serves correctly as it is. Raises: as `judge`."""
    return folder.is_dir() and judge(folder).verdict is Verdict.READY


def locate(model: str, target: Path | None = None, *, offline: bool = False) -> Place:
    """Where the converted checkpoint of `model`, a folder or a hub name, is or is to be: `target`, or in the cache.

    A hub model is downloaded first, unless `offline`.

    Raises:
        ConversionError: no such model, or none that can be served or converted.
        MissingDependencyError: a hub name without huggingface_hub.
    """
    source = resolve(model, cached if offline else download)
    name = source.resolve().name if Path(model).expanduser().is_dir() else model
    judgement = judge(source)
    if judgement.verdict is Verdict.READY:
        return Place(source, source, name)
    judgement.convertible()
    folder = target.expanduser() if target else cache() / f"{name.replace('/', '--')}-{fingerprint(source)}"
    return Place(folder, source, name)


def keep(place: Place, progress: Progress | None = None, note: Callable[[str], None] | None = None) -> bool:
    """Convert into the place. True where the weights were linked; they are copied where linking fails.

    Raises:
        ConversionError: as `convert`.
    """
    try:
        convert(place.source, place.folder, link=True, verify=False, progress=progress, note=note)
    except ConversionError as error:
        if not isinstance(error.__cause__, OSError):  # copying wouldn't help
            raise
    else:
        return True
    try:
        convert(place.source, place.folder, verify=False, progress=progress)
    except ConversionError as error:
        if cache() not in place.folder.parents:
            raise
        raise ConversionError(f"{error}; or name another place: --converted FOLDER, or XDG_CACHE_HOME") from error
    return False


def cache() -> Path:
    """The folder for conversions without a folder of their own."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "qwen3-sglang" / "converted"


def fingerprint(source: Path) -> str:
    """A string that changes when the source folder, its weights or its settings change; no weight is read."""
    files = sorted([*source.glob("*.safetensors"), *source.glob("*.json")])
    stats = [(path.name, (info := path.stat()).st_size, info.st_mtime_ns) for path in files]
    return hashlib.sha256(repr((LAYOUT, str(source.resolve()), stats)).encode()).hexdigest()[:12]
