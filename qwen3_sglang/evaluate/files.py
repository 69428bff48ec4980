"""Reports are written beside their place and renamed: what fails on the way leaves the earlier one as it was."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from os import PathLike
from pathlib import Path

from qwen3_sglang.errors import InvalidInputError

_NEW_FILE = 0o666  # before the umask, as `open` makes one


def write_text(option: str, path: str | PathLike[str], text: str) -> Path:
    """Write `text` as UTF-8, all of it or nothing; return the path.

    A link stays a link, and its target is replaced. A device or a pipe is written to as it is.

    Args:
        option: what the caller knows the path by.
        path: the file; folders on the way are made.
        text: what it will hold.

    Raises:
        InvalidInputError: the file can't be written; an earlier one is as it was.
    """
    target = Path(path).expanduser()
    data = text.encode("utf-8", "replace")  # half of a surrogate pair may be in a server's name for its model
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not target.is_file() and not target.is_dir():
            target.write_bytes(data)
        else:
            _replace(Path(os.path.realpath(target)), data)
    except OSError as error:
        remedy = f"name a file that may be written, on a disk with room ({error.strerror or error})"
        raise InvalidInputError(option, str(path), remedy) from None
    return target


def _replace(target: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{target.name[:50]}.", suffix=".part", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # some file systems report a full disk only here
        Path(name).chmod(_mode(target))
        Path(name).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _mode(target: Path) -> int:
    """The permissions of the file that is replaced, or those of a new one."""
    with suppress(OSError):
        return target.stat().st_mode & 0o7777
    umask = os.umask(0)
    os.umask(umask)
    return _NEW_FILE & ~umask
