"""Standard streams that take what the commands write: closed ones, and text that UTF-8 can't hold."""

from __future__ import annotations

import codecs
import os
import sys
from io import BufferedWriter, RawIOBase, TextIOWrapper
from typing import Any

_NAMES = range(0xDC80, 0xDD00)  # a file name's byte that is no UTF-8, as Python reads it
_OTHERS = "\ufffd".encode()


def prepare() -> None:
    """Open the streams that were closed (`>&-`), and let standard output take halves of surrogate pairs.

    A terminal whose encoding lacks whole characters stays strict: for that there is a remedy, and it is said.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - open as long as the process
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - the same
    if isinstance(sys.stdout, TextIOWrapper) and isinstance(sys.stdout.buffer, RawIOBase):
        sys.stdout = _buffered(sys.stdout)
    if isinstance(sys.stdout, TextIOWrapper) and codecs.lookup(sys.stdout.encoding).name == "utf-8":
        codecs.register_error("qwen3-sglang", _halves)
        sys.stdout.reconfigure(errors="qwen3-sglang")


def _buffered(stream: TextIOWrapper) -> TextIOWrapper:
    """The same for a stream without a buffer (PYTHONUNBUFFERED): Python drops what a disk doesn't take of a write."""
    encoding, errors = stream.encoding, stream.errors
    raw: Any = stream.detach()
    return TextIOWrapper(BufferedWriter(raw), encoding, errors, line_buffering=True)


def finish() -> None:
    """Write out what is still in standard output's buffer: Python itself says nothing where that fails at the end.

    A reader that has gone, as `| head` does, is no failure.

    Raises:
        OSError: the disk is full, for example.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # Python will try once more
        os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            raise


def _halves(error: UnicodeError) -> tuple[bytes, int]:
    """The bytes of file names as they are; U+FFFD for what a JSON file holds otherwise."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = map(ord, error.object[error.start : error.end])
    return b"".join(bytes([half - 0xDC00]) if half in _NAMES else _OTHERS for half in found), error.end
