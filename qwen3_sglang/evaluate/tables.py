"""A report in the terminal, 80 columns wide: the verdict first, the suggested `min_score` last."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from qwen3_sglang.evaluate.report import MAIN_METRIC, Report, Variant
from qwen3_sglang.evaluate.statistics import CONFIDENCE, Estimate
from qwen3_sglang.evaluate.thresholds import Suggestion


def print_figures(report: Report, console: Console) -> None:
    """The verdict, what to know before it is used, and the tables of each instruction."""
    console.print(f"[bold]{escape(report.verdict)}[/]")
    for caution in report.cautions:
        console.print(f"[yellow]note[/] {escape(caution)}")
    for line in _facts(report):
        console.print(escape(line), soft_wrap=True)
    if len(report.variants) > 1:
        console.print(_comparison(report))
    for number, variant in enumerate(report.variants, 1):
        name = f"instruction {number}: " if len(report.variants) > 1 else "instruction: "
        console.print(f"\n{name}{escape(variant.instruction)}", style="bold")
        console.print(_metrics(variant))
        console.print(_thresholds(variant))


def print_suggestions(report: Report, console: Console) -> None:
    """The suggested `min_score` for each goal, after any warning against it."""
    for number, variant in enumerate(report.variants, 1):
        console.print()
        if len(report.variants) > 1:
            console.print(f"instruction {number}: {escape(variant.instruction)}", style="bold")
        for suggestion in variant.suggestions:
            if suggestion.warning:
                console.print(f"[yellow]note[/] min_score={suggestion.min_score} {suggestion.warning}")
        console.print(_suggestions(variant))


def _facts(report: Report) -> Iterator[str]:
    yield f"{report.data}: {report.queries} queries, {report.pairs} documents"
    yield f"first stage: {report.first_stage}; it found {report.found} of {report.relevant} relevant documents"
    yield f"model: {report.model}; {report.asked} scores asked for, {report.kept} kept from before"
    if report.judged < report.queries:
        yield f"{report.queries - report.judged} queries without a relevant document: not in the ranking metrics"
    if report.long_documents == "chunks":
        yield "long documents: scored in chunks, the best counts"
    if report.truncated:
        yield f"{report.truncated} documents were too long: the model didn't read their end"


def _comparison(report: Report) -> Table:
    table = Table("", "instruction", MAIN_METRIC, f"to the first ({CONFIDENCE:.0%})", "best F1", "min_score")
    for number, variant in enumerate(report.variants, 1):
        metric, best = variant.metric(MAIN_METRIC), variant.suggestions[-1]
        f1 = None if best.point is None else best.point.f1
        cells = (_figure(metric.after.value), _signed(metric.to_first), _figure(f1), f"{best.min_score}")
        table.add_row(str(number), escape(variant.instruction), *cells)
    return table


def _metrics(variant: Variant) -> Table:
    table = Table("metric", "before", "after", f"difference ({CONFIDENCE:.0%} interval)")
    for metric in variant.metrics:
        before, after = _figure(metric.before.value), _figure(metric.after.value)
        table.add_row(metric.name, before, after, _signed(metric.difference))
    return table


def _thresholds(variant: Variant) -> Table:
    table = Table("min_score", "precision", "recall", "F1", "documents\nper query", "queries\nwith none")
    for point in variant.short_curve:
        figures = (_figure(point.precision), _figure(point.recall), _figure(point.f1), f"{point.kept_per_query:.1f}")
        style = "bold" if point.threshold == variant.suggested else None
        table.add_row(f"{point.threshold:g}", *figures, str(point.empty_queries), style=style)
    return table


def _suggestions(variant: Variant) -> Table:
    table = Table("goal", "min_score", "precision", "recall", "per\nquery", "with\nnone")
    for suggestion in variant.suggestions:
        table.add_row(suggestion.goal, *_suggested(suggestion))
    return table


def _suggested(suggestion: Suggestion) -> tuple[str, ...]:
    point = suggestion.point
    if point is None:
        return "none", "no threshold reaches it"
    measured = (_with_interval(suggestion.precision), _with_interval(suggestion.recall))
    return f"[bold]{suggestion.min_score}[/]", *measured, f"{point.kept_per_query:.1f}", str(point.empty_queries)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _with_interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return _figure(estimate.value)
    return f"{_figure(estimate.value)}\n{estimate.low:.2f} to {estimate.high:.2f}"


def _signed(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:+.3f}"
    return f"{estimate.value:+.3f} ({estimate.low:+.3f} to {estimate.high:+.3f})"
