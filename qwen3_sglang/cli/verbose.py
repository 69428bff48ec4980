"""The library's log on standard error, in the command's words: warnings, and more of it with `-v`."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

_log = logging.getLogger("qwen3_sglang")


class _Notes(logging.Handler):
    """Prints what nobody else listens to."""

    def emit(self, record: logging.LogRecord) -> None:
        from qwen3_sglang.cli.console import note
        from qwen3_sglang.cli.failures import in_words

        if _log.handlers == [self]:
            note(in_words(record.getMessage()))


def listen() -> None:
    """Show warnings from here on."""
    if not _log.handlers:
        _log.addHandler(_Notes())


def _be_verbose(count: int) -> int:
    if count:
        _log.setLevel(logging.INFO if count == 1 else logging.DEBUG)
    return count


Verbose = Annotated[
    int,
    typer.Option(
        "-v", "--verbose", count=True, callback=_be_verbose, show_default=False, help="Say more; -vv says most."
    ),
]
