"""`qwen3-sglang plan`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from qwen3_sglang.cli.console import out
from qwen3_sglang.cli.verbose import Verbose
from qwen3_sglang.serving.capacity import MARGIN, PLANNED_CLIENTS, Load, Need, needs, notes
from qwen3_sglang.serving.measured import DOCUMENTS

EPILOG = "Example: `qwen3-sglang plan --qps 50 --documents 50 --tokens 400 --model 4B`"


def plan(
    qps: Annotated[float, typer.Option(help="Queries per second, at the busiest time.")],
    documents: Annotated[int, typer.Option(help="Documents per query.")],
    tokens: Annotated[int, typer.Option(help="Tokens per document, without template and query.")],
    model: Annotated[str, typer.Option(help="0.6B, 4B or 8B.")] = "0.6B",
    margin: Annotated[
        float, typer.Option(help="Share of the capacity that stays free: near its limit a server's latency soars.")
    ] = MARGIN,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    verbose: Verbose = 0,
) -> None:
    """Say how many GPUs a load needs, from what was measured."""
    load = Load(qps, documents, tokens)
    found = needs(load, model, margin)
    if as_json:
        print(json.dumps(_report(load, margin, found), indent=2))  # noqa: T201 - rich would wrap it
        return
    best = found[0]
    cards = f"{best.gpus} {best.rows[0].card} GPU{'s' * (best.gpus > 1)}"
    out.print(f"[bold]{escape(cards)}[/] with {best.way} serving, for {load.docs_per_second:,.0f} documents per second")
    out.print(_table(found))
    rows = f"through the rows with {PLANNED_CLIENTS} clients and {DOCUMENTS} documents per query"
    out.print(f"Margin: {margin:.2f} of the capacity stays free; a row differs by a tenth from one run to the next.")
    out.print(f"Time per document: the line {rows}, by new tokens.")
    for note in notes(load, found):
        out.print(f"[yellow]note[/] {escape(note)}")


def _table(found: list[Need]) -> Table:
    table = Table("way", "GPUs", "docs/s per GPU", "load", "from", box=None, pad_edge=False)
    for need in found:
        figures = str(need.gpus), f"{need.docs_per_second:,.0f}", f"{need.share:.2f}"
        table.add_row(need.way, *figures, escape("\n".join([_source(need), *_rows(need)])))
    return table


def _source(need: Need) -> str:
    row = need.rows[0]
    return f"{row.card}, {row.server}, {row.attention}"


def _rows(need: Need) -> list[str]:
    return [f"{row.docs_per_second:,.0f} docs/s at {row.tokens} tokens" for row in need.rows]


def _report(load: Load, margin: float, found: list[Need]) -> dict[str, Any]:
    """The same for a program."""
    ways = [
        {
            "way": need.way,
            "gpus": need.gpus,
            "docs_per_second_per_gpu": round(need.docs_per_second, 1),
            "load": round(need.share, 4),
            "extrapolated": need.extrapolated,
            "rows": [asdict(row) | {"tokens": row.tokens} for row in need.rows],
        }
        for need in found
    ]
    asked = asdict(load) | {"docs_per_second": load.docs_per_second, "margin": round(margin, 4)}
    return {"load": asked, "gpus": found[0].gpus, "ways": ways, "notes": notes(load, found)}
