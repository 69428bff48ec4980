"""`qwen3-sglang convert`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from qwen3_sglang.check.known import Published, compare_answers, recognise
from qwen3_sglang.cli.console import err, note, out, print_finding
from qwen3_sglang.cli.verbose import Verbose
from qwen3_sglang.convert import convert as run

if TYPE_CHECKING:
    from qwen3_sglang.convert import Parity

EPILOG = "Example: `qwen3-sglang convert Qwen/Qwen3-Reranker-0.6B ./reranker`"


def convert(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="A Qwen3-Reranker or a fine-tune: its folder, or its name on the hub."),
    ],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The folder to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace TARGET if it exists.")] = False,
    link: Annotated[
        bool, typer.Option("--link", help="Hard-link unchanged shards (same disk): they are then SHARED with SOURCE.")
    ] = False,
    verify: Annotated[
        bool | None,
        typer.Option(help="Compare P(yes) before and after; default: where torch and enough memory are there."),
    ] = None,
    verbose: Verbose = 0,
) -> None:
    """Convert a Qwen3-Reranker checkpoint into the two-label classifier that SGLang serves."""
    published = recognise(source)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    found: list[Parity] = []
    try:
        with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
            task = progress.add_task("converting", total=None)

            def show(done: int, total: int) -> None:
                stage = "verifying" if done == total else "converting"
                progress.update(task, completed=done, total=total, description=stage)

            written = run(
                source,
                target,
                force=force,
                link=link,
                verify=verify,
                progress=show,
                report=found.append,
                note=note,
                pairs=published.pairs if published else (),
            )
    finally:  # a comparison that fails is shown too
        for parity in found:
            _print_parity(parity)
            _print_known(parity, published)
    command = shlex.join(["qwen3-sglang", "serve", str(written)])
    out.print(f"converted to {escape(str(written))}\nserve it: {escape(command)}")


def _print_parity(parity: Parity) -> None:
    if parity.note:
        out.print(f"files verified; P(yes) before and after not compared: {escape(parity.note)}")
        return
    table = Table("prompt", "tokens", "P(yes) source", "P(yes) converted", "difference")
    for probe in parity.probes:
        figures = (f"{probe.source:.6f}", f"{probe.converted:.6f}", f"{probe.difference:.1e}")
        table.add_row(escape(probe.label), str(probe.tokens), *figures)
    out.print(table)
    out.print(f"largest difference: {parity.max_difference:.1e}")


def _print_known(parity: Parity, published: Published | None) -> None:
    """Whether the source answers as the published checkpoint that it is called after. It is news, and no failure."""
    asked = {probe.pair: (probe.tokens, probe.converted) for probe in parity.probes if probe.pair is not None}
    if published is None:
        return
    if not asked:
        note(f"not compared with the published answers of {published.checkpoint}: {parity.note}")
        return
    for finding in compare_answers(published, asked):
        print_finding(finding)
