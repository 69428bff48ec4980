"""What the plots show, read out of their SVG: places, heights, sizes and words."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import pytest

from qwen3_sglang.evaluate import plots
from qwen3_sglang.evaluate.report import QueryOutcome, Ranked, Variant
from qwen3_sglang.evaluate.thresholds import Bin, Point

# The axes' frame in the SVG's units: the page moves its slider's line by these.
LEFT, RIGHT, TOP, BOTTOM = 52.92, 342.216, 26.136, 199.584
NEAR = 1e-4


def outcome(*documents: tuple[float, int, int]) -> QueryOutcome:
    """A query whose documents have (P(yes), grade, place before)."""
    found = tuple(Ranked(f"{n}", "text", p, grade, before, False) for n, (p, grade, before) in enumerate(documents))
    return QueryOutcome("q", "text", {}, {}, found, 0)


def variant(*queries: QueryOutcome) -> Variant:
    return Variant("task", (), (), (), (), 0.0, queries)


def across(x: float) -> float:
    """Along the axis, 0 to 1."""
    return (x - LEFT) / (RIGHT - LEFT)


def up(y: float) -> float:
    """Along the other axis, 0 to 1."""
    return (BOTTOM - y) / (BOTTOM - TOP)


def paths(svg: str, *style: str) -> list[list[tuple[float, float]]]:
    """Corners of the lines and bars that have all these in their style, along both axes."""
    found = []
    for shape, given in re.findall(r'<path d="([^"]+)"[^>]*? style="([^"]+)"', svg):
        if all(one in given for one in style):
            corners = re.findall(r"[ML] (-?[\d.]+) (-?[\d.]+)", shape)
            found.append([(across(float(x)), up(float(y))) for x, y in corners])
    return found


def dots(svg: str, colour: str) -> list[tuple[float, float, float]]:
    """(place, place, area) of each dot within the frame; the legend's are above it."""
    radii = {name: float(radius) for name, radius in re.findall(r'<path id="(\w+)" d="M 0 (-?[\d.]+)', svg)}
    used = re.findall(rf'<use xlink:href="#(\w+)" x="([\d.]+)" y="([\d.]+)" style="fill: var\(--{colour}\)', svg)
    found = [(float(x), float(y), radii[name]) for name, x, y in used]  # where several are of one size
    for shape in re.findall(rf'<path d="(M [^"]+?C [^"]+)"[^>]* style="fill: var\(--{colour}\)', svg):
        corners = re.findall(r"(-?[\d.]+) (-?[\d.]+) \n", shape)
        x, heights = float(corners[0][0]), [float(y) for _, y in corners]
        found.append((x, (max(heights) + min(heights)) / 2, (max(heights) - min(heights)) / 2))
    return sorted((across(x), up(y), (2 * radius) ** 2) for x, y, radius in found if y >= TOP)


def words(svg: str) -> list[str]:
    """Every text in it."""
    return re.findall(r"<text[^>]*>([^<]+)</text>", svg)


@pytest.mark.parametrize(
    ("threshold", "found"),
    [
        (0, 0.0),
        (0.00001, 0.0),
        (0.1, 0.5 - math.log(9) / 18.42),
        (0.5, 0.5),
        (0.9, 0.5 + math.log(9) / 18.42),
        (0.9998, 0.5 + math.log(4999) / 18.42),
        (0.99999, 1.0),
        (1, 1.0),
    ],
)
def test_a_place_on_the_axis(threshold: float, found: float) -> None:
    """By the logit, with 0.5 in the middle and 0.0001 and 0.9999 at the ends."""
    assert plots.place(threshold) == pytest.approx(found)


def test_the_frame_is_where_the_page_expects_it() -> None:
    """Its slider's line goes from one side of it to the other."""
    svg = plots.calibration([Bin(0, 0.1, 1, 0.05, 0.0)])
    assert 'viewBox="0 0 352.8 237.6"' in svg
    assert f"M {LEFT} {BOTTOM} \nL {RIGHT} {BOTTOM} \nL {RIGHT} {TOP} " in svg
    assert plots.cursor_width() == pytest.approx(RIGHT - LEFT)


def test_a_plot_is_the_pages() -> None:
    """An element alone: no size, no colours and no ids of its own, nothing that changes from run to run."""
    svg = plots.ranks([outcome((0.9, 1, 1))])
    assert svg.startswith("<svg ")
    assert not re.search(r'<svg [^>]*(?:width|height)="', svg)
    assert "<metadata" not in svg
    assert not re.search(r"#0102\d\d", svg)
    assert not re.search(r' id="(?:figure|axes|patch|text|legend)', svg)
    assert svg == plots.ranks([outcome((0.9, 1, 1))])


def test_the_distribution_of_both_kinds() -> None:
    """Each as shares of its own kind: the relevant up, the others down, in twenty places along the axis."""
    queries = [outcome((0.5, 1, 1), (0.5, 2, 2), (1.0, 1, 3)), outcome((0.0, 0, 1), (1.0, 1, 2))]
    svg = plots.distribution(variant(*queries))
    assert {"relevant (4)", "not relevant (1)", "P(yes)", "share of its kind"} <= set(words(svg))
    middle = 1.08 / 2.16  # of an axis from -1.08 to 1.08 of the highest share
    for colour, shares in (("good", {10: 0.5, 19: 0.5}), ("bad", {0: -1.0})):
        bars = [bar for bar in paths(svg, f"fill: var(--{colour})") if max(y for _, y in bar) <= 1]
        assert len(bars) == 20
        for place, bar in enumerate(bars):
            (left, _), (right, _) = bar[0], bar[1]
            assert (left, right) == pytest.approx(((place + 0.05) / 20, (place + 0.95) / 20), abs=NEAR)
            height = max((y - middle for _, y in bar), key=abs)
            assert height == pytest.approx(shares.get(place, 0.0) / 2.16, abs=NEAR)


def curve(*points: tuple[float, float | None, float, float]) -> list[Point]:
    """(threshold, precision, recall, F1)."""
    return [Point(threshold, precision, recall, f1, 1.0, 0) for threshold, precision, recall, f1 in points]


@pytest.mark.parametrize("min_score", [0.5, 0.9, None])
def test_precision_and_recall_over_the_threshold(min_score: float | None) -> None:
    """Without the ends 0 and 1, precision to where nothing is kept, and a line for the slider."""
    points = curve((0, 0.2, 1, 0.3), (0.1, 0.4, 0.9, 0.5), (0.5, 0.6, 0.7, 0.65), (0.9, None, 0, 0), (1, None, 0, 0))
    svg = plots.precision_recall(points, min_score)
    expected = {
        "good": [(0.1, 0.9), (0.5, 0.7), (0.9, 0.0)],
        "bad": [(0.1, 0.4), (0.5, 0.6)],
        "faint": [(0.1, 0.5), (0.5, 0.65), (0.9, 0.0)],
    }
    for colour, line in expected.items():
        wanted = [(plots.place(x), (y + 0.02) / 1.07) for x, y in line]
        assert any(same(line, wanted) for line in paths(svg, f"stroke: var(--{colour})")), colour
    [cursor] = re.findall(r'<g class="cursor">\s*<path d="M ([\d.]+) ', svg)
    assert across(float(cursor)) == pytest.approx(plots.place(min_score or 0), abs=NEAR)
    assert {"recall", "precision", "F1", "threshold (min_score)"} <= set(words(svg))
    assert [one for one in words(svg) if one in {"0.001", "0.01", "0.1", "0.5", "0.9", "0.99", "0.999"}][:7] == [
        "0.001", "0.01", "0.1", "0.5", "0.9", "0.99", "0.999",
    ]  # fmt: skip


def same(one: Sequence[tuple[float, float]], other: Sequence[tuple[float, float]]) -> bool:
    return len(one) == len(other) and all(a == pytest.approx(b, abs=NEAR) for a, b in zip(one, other, strict=True))


def test_calibration_by_bins() -> None:
    """A dot where there are documents, the larger the more; and the line that perfect scores lie on."""
    svg = plots.calibration([Bin(0, 0.1, 2, 0.05, 0.0), Bin(0.1, 0.2, 0, 0.0, 0.0), Bin(0.9, 1, 8, 0.95, 0.75)])
    found = dots(svg, "mark")
    places = [((0.05 + 0.04) / 1.08, 0.04 / 1.12), ((0.95 + 0.04) / 1.08, 0.79 / 1.12)]
    assert [dot[:2] for dot in found] == [pytest.approx(one, abs=NEAR) for one in places]
    assert [dot[2] for dot in found] == pytest.approx([25 + 200 / 4, 25 + 200], rel=0.01)
    corners = [(0.04 / 1.08, 0.04 / 1.12), (1.04 / 1.08, 1.04 / 1.12)]
    assert any(same(line, corners) for line in paths(svg, "stroke: var(--faint)", "stroke-dasharray"))
    assert {"mean P(yes) of a bin", "share that is relevant"} <= set(words(svg))


def test_places_before_and_after() -> None:
    """Of relevant documents alone: what stayed or rose in one colour, what fell in the other; the first at the top."""
    queries = [
        outcome((0.9, 1, 5), (0.8, 0, 1), (0.7, 1, 3), (0.6, 1, 2)),
        outcome((0.9, 1, 5), (0.8, 0, 1)),
    ]
    svg = plots.ranks(queries)
    deepest = 5 * 1.25

    def at(place: int) -> float:
        return math.log(place / 0.8) / math.log(deepest / 0.8)

    better = dots(svg, "good")
    assert [dot[:2] for dot in better] == [
        pytest.approx((at(3), 1 - at(3)), abs=NEAR),
        pytest.approx((at(5), 1 - at(1)), abs=NEAR),
    ]
    assert [dot[2] for dot in better] == pytest.approx([14 + 160 / 2, 14 + 160], rel=0.01)
    assert [dot[:2] for dot in dots(svg, "bad")] == [pytest.approx((at(2), 1 - at(4)), abs=NEAR)]
    said = words(svg)
    assert {"better or the same (3)", "worse (1)", "place before", "place after"} <= set(said)
    assert [one for one in said if one.isdigit()] == ["1", "2", "3", "5"] * 2
    assert any(same(line, [(0, 1), (1, 0)]) for line in paths(svg, "stroke: var(--faint)", "stroke-dasharray"))
