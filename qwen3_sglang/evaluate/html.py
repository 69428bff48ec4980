"""The report as one HTML file: no network, no script but our own, every text escaped."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from qwen3_sglang.evaluate import plots
from qwen3_sglang.evaluate.report import MAIN_METRIC, QueryOutcome, Ranked, Report, Variant
from qwen3_sglang.evaluate.statistics import CONFIDENCE, RESAMPLES, Estimate

_FOLDER = Path(__file__).parent / "templates"
_WORST = 10
_TOP = 5  # documents shown of a query, beside the relevant ones
_EXCERPT = 700
_LEAST = 0.001
_NOTHING = "\N{EN DASH}"


def render(report: Report) -> str:
    """The page."""
    script = (_FOLDER / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined)
    environment.trim_blocks = environment.lstrip_blocks = True
    filters = (figure, interval, signed, probability, excerpt, model_name)
    environment.filters |= {one.__name__: one for one in filters}
    return environment.get_template("report.html.j2").render(
        report=report,
        views=[_view(variant) for variant in report.variants],
        main_metric=MAIN_METRIC,
        confidence=f"{CONFIDENCE:.0%}",
        resamples=f"{RESAMPLES:,}",
        script=Markup(script),  # noqa: S704 - our own file
        script_hash=digest,
        style=Markup((_FOLDER / "report.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        cursor_width=plots.cursor_width(),
    )


def _view(variant: Variant) -> dict[str, Any]:
    suggested = variant.suggested or 0.0
    drawn = {
        "distribution": plots.distribution(variant),
        "curve": plots.precision_recall(variant.curve, suggested),
        "calibration": plots.calibration(variant.calibration),
        "ranks": plots.ranks(variant.queries),
    }
    return {
        "variant": variant,
        "plots": {name: Markup(svg) for name, svg in drawn.items()},  # noqa: S704 - matplotlib's, of figures alone
        "curve": [{**asdict(point), "place": plots.place(point.threshold)} for point in variant.curve],
        "start": plots.place(suggested),
        "step": next(step for step, point in enumerate(variant.curve) if point.threshold == suggested),
        "worst": [(query, shown(query)) for query in variant.worst(_WORST)],
    }


def shown(query: QueryOutcome) -> list[tuple[int, Ranked]]:
    """(place, document): the first few, and the relevant ones wherever they are."""
    placed = enumerate(query.documents, 1)
    return [(place, document) for place, document in placed if place <= _TOP or document.grade > 0]


def figure(value: float | None) -> str:
    """Three decimals, or a dash."""
    return _NOTHING if value is None else f"{value:.3f}"


def probability(value: float) -> str:
    """Three decimals, but neither 0 nor 1 where it is only close."""
    if 0 < value < _LEAST:
        return f"<{_LEAST}"
    return f">{1 - _LEAST}" if 1 - _LEAST < value < 1 else f"{value:.3f}"


def signed(estimate: Estimate | None) -> str:
    """A difference."""
    return _NOTHING if estimate is None or estimate.value is None else f"{estimate.value:+.3f}"


def interval(estimate: Estimate | None) -> str:
    """The interval, or nothing."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return f"{estimate.low:.3f} to {estimate.high:.3f}"


def model_name(model: str) -> str:
    """A folder's last part; the whole path is a detail."""
    return Path(model).name if Path(model).is_absolute() else model


def excerpt(text: str) -> str:
    """The start of a long text."""
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT].rstrip()}…"
