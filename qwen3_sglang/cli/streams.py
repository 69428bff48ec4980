"""Standard streams that take what the commands write: closed ones, and text that UTF-8 can't hold."""

from __future__ import annotations

import codecs
import os
import sys
from io import TextIOWrapper

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
    if isinstance(sys.stdout, TextIOWrapper) and codecs.lookup(sys.stdout.encoding).name == "utf-8":
        codecs.register_error("qwen3-sglang", _halves)
        sys.stdout.reconfigure(errors="qwen3-sglang")


def _halves(error: UnicodeError) -> tuple[bytes, int]:
    """The bytes of file names as they are; U+FFFD for what a JSON file holds otherwise."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = map(ord, error.object[error.start : error.end])
    return b"".join(bytes([half - 0xDC00]) if half in _NAMES else _OTHERS for half in found), error.end
