"""A report in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from qwen3_sglang.evaluate.report import MAIN_METRIC, Report, Variant
from qwen3_sglang.evaluate.statistics import CONFIDENCE, Estimate


def print_report(report: Report, console: Console) -> None:
    """Metrics, suggestions and thresholds of each instruction."""
    console.print(f"[bold]{escape(report.data)}[/]: {report.queries} queries, {report.pairs} documents")
    console.print(
        f"first stage: {escape(report.first_stage)}; it found {report.found} of {report.relevant} relevant documents"
    )
    console.print(f"model: {escape(report.model)}; {report.asked} scores asked for, {report.kept} kept from before")
    if report.judged < report.queries:
        console.print(
            f"{report.queries - report.judged} queries without a relevant document: not in the ranking metrics"
        )
    if report.truncated:
        console.print(f"{report.truncated} documents were too long: the model read their start")
    if len(report.variants) > 1:
        console.print(_comparison(report))
    for number, variant in enumerate(report.variants, 1):
        name = f"instruction {number}: " if len(report.variants) > 1 else "instruction: "
        console.print(f"\n{name}{escape(variant.instruction)}", style="bold")
        console.print(_metrics(variant))
        console.print(_thresholds(variant))
        console.print(_suggestions(variant))


def _comparison(report: Report) -> Table:
    table = Table(
        "", "instruction", MAIN_METRIC, f"to the first ({CONFIDENCE:.0%} interval)", "best F1", "at min_score"
    )
    for number, variant in enumerate(report.variants, 1):
        metric, best = variant.metric(MAIN_METRIC), variant.suggestions[-1]
        f1 = None if best.point is None else best.point.f1
        cells = (_figure(metric.after.value), _signed(metric.to_first), _figure(f1), f"{best.min_score}")
        table.add_row(str(number), escape(variant.instruction), *cells)
    return table


def _metrics(variant: Variant) -> Table:
    table = Table("metric", "before", "after", f"difference ({CONFIDENCE:.0%} interval)")
    for metric in variant.metrics:
        table.add_row(
            metric.name, _with_interval(metric.before), _with_interval(metric.after), _signed(metric.difference)
        )
    return table


def _thresholds(variant: Variant) -> Table:
    table = Table("min_score", "precision", "recall", "F1", "kept a query", "queries with none")
    for point in variant.short_curve:
        figures = (_figure(point.precision), _figure(point.recall), _figure(point.f1), f"{point.kept_per_query:.1f}")
        table.add_row(f"{point.threshold:g}", *figures, str(point.empty_queries))
    return table


def _suggestions(variant: Variant) -> Table:
    table = Table("goal", "min_score", "precision", "recall", "kept a query", "queries with none")
    for suggestion in variant.suggestions:
        point = suggestion.point
        if point is None:
            table.add_row(suggestion.goal, "none", "no threshold reaches it")
            continue
        measured = (_with_interval(suggestion.precision), _with_interval(suggestion.recall))
        left = (f"{point.kept_per_query:.1f}", str(point.empty_queries))
        table.add_row(suggestion.goal, f"[bold]{suggestion.min_score}[/]", *measured, *left)
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _with_interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return _figure(estimate.value)
    return f"{_figure(estimate.value)} ({estimate.low:.3f} to {estimate.high:.3f})"


def _signed(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:+.3f}"
    return f"{estimate.value:+.3f} ({estimate.low:+.3f} to {estimate.high:+.3f})"
