"""Where the commands print: results to standard output, everything else to standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from qwen3_sglang.check import Finding

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)


def note(text: str) -> None:
    """Something that the user should know and that stops nothing."""
    err.print(f"[yellow]note[/] {escape(text)}", emoji=False)


def print_finding(finding: Finding) -> None:
    """One line: is it well, and what was found; how to start a server where none listens."""
    from qwen3_sglang.cli.failures import START, in_words, is_refusal

    mark, colour = ("note", "yellow") if finding.note else ("ok", "green") if finding.ok else ("no", "red")
    text = in_words(finding.text)
    if not finding.ok and is_refusal(finding.text):
        text = f"{text} ({START})"
    out.print(f"[bold {colour}]{mark}[/] {escape(text)}")
