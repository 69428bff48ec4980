"""Bytes from one file to another: linked, copied inside the kernel, or read and written; and room for them."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO

from qwen3_sglang.errors import ConversionError

KERNEL_CHUNK = 64 * 2**20  # between two calls of `report`
CHUNK = 8 * 2**20
NOT_HERE = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}  # the kernel can't, for these two files
GB = 1e9
Report = Callable[[int], None]  # told how many bytes were just copied


def copy_range(source: IO[bytes], sink: IO[bytes], begin: int, length: int, report: Report) -> None:
    """Append `length` bytes of `source`, from `begin`, to `sink`. Both are unbuffered.

    Raises:
        ConversionError: the source got shorter meanwhile.
        OSError: the disk is full, or another failure of the file system.
    """
    done = _copy_in_kernel(source.fileno(), sink.fileno(), begin, length, report)
    _copy_by_hand(source, sink, begin + done, length - done, report)


def _copy_in_kernel(source: int, sink: int, begin: int, length: int, report: Report) -> int:
    """The bytes that were copied: fewer than `length` where the kernel or a file system can't."""
    copy = getattr(os, "copy_file_range", None)  # Linux has it
    done = 0
    while copy is not None and done < length:
        try:
            count = copy(source, sink, min(KERNEL_CHUNK, length - done), begin + done)
        except OSError as error:
            if error.errno not in NOT_HERE:
                raise
            break
        if count == 0:  # the file's end, or a file system that wrongly reports it: reading tells which
            break
        done += count
        report(count)
    return done


def _copy_by_hand(source: IO[bytes], sink: IO[bytes], begin: int, length: int, report: Report) -> None:
    done = 0
    while done < length:
        block = os.pread(source.fileno(), min(CHUNK, length - done), begin + done)
        if not block:
            raise ConversionError(f"{source.name}: got shorter while it was copied; try again")
        write_all(sink, block)
        done += len(block)
        report(len(block))


def write_all(sink: IO[bytes], data: bytes) -> None:
    """Write to an unbuffered file, which may take less than it is given."""
    view = memoryview(data)
    while view:
        view = view[sink.write(view) :]


def link(source: Path, target: Path) -> None:
    """Make `target` another name of the file `source`; a symbolic link is followed to its file.

    Raises:
        ConversionError: the file system refuses it; the message says what to do.
    """
    try:
        os.link(source.resolve(), target)
    except OSError as error:
        raise ConversionError(
            f"{source}: can't be linked into {target.parent.parent} ({error.strerror}); source and target must be on "
            "the same disk, and the files yours: leave out link (--link) to copy them"
        ) from error


def check_space(folder: Path, needed: int, *, linking: bool) -> None:
    """Raise ConversionError unless `needed` bytes fit on the disk where `folder` is, or is to be."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        hint = "" if linking else ", or use link (--link) to share the source's files instead of copying them"
        raise ConversionError(
            f"{folder}: {needed / GB:.2f} GB are needed, and {free / GB:.2f} GB are free; "
            f"make room or name a folder on another disk{hint}"
        )
