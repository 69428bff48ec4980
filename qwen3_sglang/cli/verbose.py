"""`-v`: the library's log on standard error."""

from __future__ import annotations

import logging
from typing import Annotated

import typer


def _be_verbose(count: int) -> int:
    if count:
        logging.basicConfig(format="%(message)s")
        logging.getLogger("qwen3_sglang").setLevel(logging.INFO if count == 1 else logging.DEBUG)
    return count


Verbose = Annotated[
    int,
    typer.Option(
        "-v", "--verbose", count=True, callback=_be_verbose, show_default=False, help="Say more; -vv says most."
    ),
]
