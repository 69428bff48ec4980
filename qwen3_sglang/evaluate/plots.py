"""The report's plots, as inline SVG whose colours are the page's: they follow its dark mode."""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from qwen3_sglang.evaluate.report import QueryOutcome, Variant
from qwen3_sglang.evaluate.thresholds import Bin, Point

# Stand-ins that nothing else uses, each replaced by a CSS variable of the page.
_INK, _FAINT, _GOOD, _BAD, _MARK = "#010201", "#010202", "#010203", "#010204", "#010205"
_VARIABLES = {_INK: "ink", _FAINT: "faint", _GOOD: "good", _BAD: "bad", _MARK: "mark"}
_SIZE = (4.9, 3.3)  # inches; the page stretches it
_BOX = {"left": 0.15, "right": 0.97, "top": 0.89, "bottom": 0.16}
_HISTOGRAM_BINS = 20
_EDGE = 9.21  # the logit of 0.9999; what is beyond is drawn at the axis' end
_TICKS = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be found, read aloud and is sharp
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _FAINT,
    "grid.alpha": 0.35,
    "axes.grid": True,
    "axes.axisbelow": True,
}


def place(threshold: float) -> float:
    """Where a P(yes) is along the axis, 0 to 1: by its logit, so that there is room at both ends."""
    if not 0 < threshold < 1:
        return float(threshold >= 1)
    logit = math.log(threshold) - math.log1p(-threshold)
    return min(1.0, max(0.0, logit / (2 * _EDGE) + 0.5))


def distribution(variant: Variant) -> str:
    """P(yes) of the relevant above the axis, of the others below it, each as a share of its own group."""
    documents = [document for query in variant.queries for document in query.documents]
    places = [(number + 0.5) / _HISTOGRAM_BINS for number in range(_HISTOGRAM_BINS)]

    def draw(axes: Axes) -> None:
        highest = 0.0
        for relevant, sign, colour, label in ((True, 1, _GOOD, "relevant"), (False, -1, _BAD, "not relevant")):
            values = [document.p_yes for document in documents if (document.grade > 0) is relevant]
            shares = _shares(values)
            highest = max(highest, *shares)
            heights = [sign * share for share in shares]
            axes.bar(places, heights, 0.9 / _HISTOGRAM_BINS, color=colour, label=f"{label} ({len(values)})")
        axes.axhline(0, color=_INK, linewidth=0.8)
        axes.set(ylabel="share of its kind", ylim=(-1.08 * highest, 1.08 * highest))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{abs(share):.0%}"))
        _probability_axis(axes, "P(yes)")
        _legend(axes)

    return _svg("distribution", draw)


def _shares(values: Sequence[float]) -> list[float]:
    counts = Counter(min(int(place(value) * _HISTOGRAM_BINS), _HISTOGRAM_BINS - 1) for value in values)
    return [counts[number] / max(1, len(values)) for number in range(_HISTOGRAM_BINS)]


def precision_recall(curve: Sequence[Point], min_score: float | None) -> str:
    """Precision and recall over the threshold, with a line that the page's slider moves."""
    inner = [point for point in curve if 0 < point.threshold < 1]  # 0 and 1 aren't on a logit's axis
    precision = [point.precision for point in inner if point.precision is not None]  # to where nothing is kept

    def draw(axes: Axes) -> None:
        places = [place(point.threshold) for point in inner]
        axes.plot(places, [point.recall for point in inner], color=_GOOD, linewidth=2, label="recall")
        axes.plot(places[: len(precision)], precision, color=_BAD, linewidth=2, linestyle="--", label="precision")
        axes.plot(places, [point.f1 for point in inner], color=_FAINT, linewidth=1.5, linestyle=":", label="F1")
        axes.axvline(place(min_score or 0), color=_MARK, linewidth=1.5, gid="cursor", clip_on=False)
        axes.set(ylim=(-0.02, 1.05))
        _probability_axis(axes, "threshold (min_score)")
        _legend(axes)

    return _svg("precision-recall", draw)


def _probability_axis(axes: Axes, label: str) -> None:
    axes.set(xlabel=label, xlim=(0, 1))
    axes.xaxis.set_major_locator(FixedLocator([place(tick) for tick in _TICKS]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda _, number: f"{_TICKS[number or 0]:g}"))


def cursor_width() -> float:
    """Width of the axes in the SVG's units: how far the slider's line may go."""
    return (_BOX["right"] - _BOX["left"]) * _SIZE[0] * 72


def calibration(bins: Sequence[Bin]) -> str:
    """Share that is relevant over mean P(yes); the larger the dot, the more documents."""
    full = [one for one in bins if one.count]
    most = max(one.count for one in full)

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=1.2, linestyle="--")
        x, y = [one.p_yes for one in full], [one.relevant for one in full]
        axes.plot(x, y, color=_MARK, linewidth=1, alpha=0.6)
        axes.scatter(x, y, s=[25 + 200 * one.count / most for one in full], color=_MARK, alpha=0.85, linewidth=0)
        axes.set(xlabel="mean P(yes) of a bin", ylabel="share that is relevant", xlim=(-0.04, 1.04), ylim=(-0.04, 1.08))

    return _svg("calibration", draw)


def ranks(queries: Iterable[QueryOutcome]) -> str:
    """Place of each relevant document before and after; the larger the dot, the more of them."""
    moves = Counter(
        (document.before, after)
        for query in queries
        for after, document in enumerate(query.documents, 1)
        if document.grade > 0
    )
    deepest = max(place for move in moves for place in move)
    most = max(moves.values())

    def draw(axes: Axes) -> None:
        axes.plot([0.8, deepest * 1.25], [0.8, deepest * 1.25], color=_FAINT, linewidth=1.2, linestyle="--")
        for better, colour, label in ((True, _GOOD, "better or the same"), (False, _BAD, "worse")):
            part = {move: count for move, count in moves.items() if (move[1] <= move[0]) is better}
            sizes = [14 + 160 * count / most for count in part.values()]
            x, y = [before for before, _ in part], [after for _, after in part]
            total = sum(part.values())
            axes.scatter(x, y, s=sizes, color=colour, alpha=0.75, linewidth=0, label=f"{label} ({total})")
        axes.set(xscale="log", yscale="log", xlabel="place before", ylabel="place after")
        axes.set(xlim=(0.8, deepest * 1.25), ylim=(deepest * 1.25, 0.8))
        ticks = [tick for tick in (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000) if tick <= deepest]
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(FixedLocator(ticks))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
        _legend(axes)

    return _svg("ranks", draw)


def _legend(axes: Axes) -> None:
    legend = axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, borderpad=0)
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([40])  # not the first dot's


def _svg(name: str, draw: Callable[[Axes], None]) -> str:
    with rc_context(_STYLE | {"svg.hashsalt": name}):  # the same data give the same file
        figure = Figure(figsize=_SIZE)
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        figure.subplots_adjust(**_BOX)
        draw(axes)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _inline(file.getvalue())


def _inline(svg: str) -> str:
    """The element alone, its size left to the page, its colours the page's, ids only where something needs them."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="(?:figure|axes|patch|matplotlib|line2d|text|legend|xtick|ytick|[A-Z]\w*)[\w.]*_\d+"', "", svg)
    for size in ("width", "height"):
        svg = re.sub(rf'(<svg [^>]*?) {size}="[^"]+"', r"\1", svg, count=1)
    svg = svg.replace('id="cursor"', 'class="cursor"')
    return re.sub("|".join(_VARIABLES), lambda found: f"var(--{_VARIABLES[found[0]]})", svg)
