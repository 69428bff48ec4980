"""Where the commands print: results to standard output, everything else to standard error."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)


def note(text: str) -> None:
    """Something that the user should know and that stops nothing."""
    err.print(f"[yellow]note[/] {escape(text)}", emoji=False)
