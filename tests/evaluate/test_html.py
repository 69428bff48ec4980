"""The report as a page: opened by a real browser, offline, whatever the texts hold.

Tests of `evaluate/plots.py`, `evaluate/report.py`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from judged_data import ROWS, write_lines
from PIL import Image
from playwright.sync_api import sync_playwright

from fake_server import serving
from qwen3_sglang import InvalidInputError, RerankClient
from qwen3_sglang.evaluate import evaluate, load_dataset, write_html, write_json
from qwen3_sglang.evaluate.html import probability
from qwen3_sglang.evaluate.report import Report

EVIL = (
    """</script><script>document.title="owned"</script>"""
    """<img src=x onerror="document.title='owned'">{{ 7*7 }}&amp; p=0.97"""
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def report(folder: Path) -> Iterator[Report]:
    """Two instructions over texts that would like to be code; the worst query's own are among them."""
    row = {"id": EVIL, "query": f"is it? {EVIL}", "documents": [EVIL, "plain p=0.3"], "relevant": [1]}
    dataset = load_dataset(write_lines(folder / "data.jsonl", [*ROWS, row]))
    with serving() as running:
        client = RerankClient(running.url)
        yield evaluate(client, dataset, scores=folder / "s.sqlite", instructions=["Find it", EVIL], target_recall=0.2)


@pytest.fixture(scope="module")
def page(report: Report, folder: Path) -> Path:
    """Written once."""
    return write_html(report, folder / "report.html")


def binary() -> str:
    """The browser's."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no browser: install chromium (Debian: apt-get install chromium)")
    return found


def chromium(page: Path, *options: str) -> str:
    """What the browser says of the page; its profile goes where the page is."""
    profile = f"--user-data-dir={page.parent / 'profile'}"
    command = [binary(), "--headless", "--no-sandbox", "--disable-gpu", profile, *options, page.as_uri()]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_a_browser_runs_our_script_and_no_other(page: Path) -> None:
    """The slider is alive at the suggested threshold; texts stay texts."""
    dom = chromium(page, "--dump-dom")
    assert "<title>Reranking data.jsonl</title>" in dom
    assert dom.count('class="slider" data-start') == 2  # "hidden" is gone
    assert re.search(r'<b data-of="threshold">0\.[\d]+</b>', dom)
    assert re.search(r'<b data-of="recall">[01]\.\d{3}</b>', dom)
    assert 'class="cursor" transform="translate(' in dom
    assert "<img" not in dom


def test_a_browser_draws_it(page: Path, tmp_path: Path) -> None:
    """A picture with the plots' colours in it."""
    picture = tmp_path / "report.png"
    chromium(page, f"--screenshot={picture}", "--window-size=1000,1800", "--hide-scrollbars")
    colours = Image.open(picture).convert("RGB").getcolors(1_000_000)
    assert colours is not None
    assert {(0x0B, 0x6F, 0xA4), (0xB4, 0x53, 0x0A)} <= {colour for _, colour in colours}


def test_slider_card_and_table_start_from_one_value(page: Path) -> None:
    """In every instruction's part; the line in the plot is where it was drawn."""
    dom = chromium(page, "--dump-dom")
    cards = re.findall(r'<div class="card">.*?min_score=([\d.]+)</b>', dom, re.DOTALL)[::2]
    assert len(cards) == 2
    assert re.findall(r'<b data-of="threshold">([\d.]+)</b>', dom) == cards
    assert re.findall(r'<tr class="suggested"><td class="n">([\d.]+)</td>', dom) == cards
    assert dom.count('class="cursor" transform="translate(0 0)"') == 2


def test_it_fits_a_telephone(page: Path) -> None:
    """390 px wide: neither the page nor a table of figures has to be pushed aside."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary(), args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 390, "height": 844})
        opened.goto(page.as_uri())
        assert opened.evaluate("document.documentElement.scrollWidth") == 390
        wide = "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).length"
        assert opened.locator(".scroll:not(:has(.documents))").evaluate_all(wide) == 0
        assert opened.locator(".verdict").bounding_box()["y"] < 200  # type: ignore[index]
        browser.close()


def test_it_opens_with_the_verdict(report: Report, page: Path) -> None:
    """Before any figure; then what speaks against believing them."""
    html = page.read_text(encoding="utf-8")
    assert html.index(report.verdict.partition(":")[0]) < html.index("any min_score is a guess") < html.index("<table")


def test_a_threshold_that_leaves_queries_with_nothing_says_so_first(report: Report, page: Path) -> None:
    """In its card, above the value."""
    warned = [one for one in report.variants[0].suggestions if one.warning]
    assert warned
    html = page.read_text(encoding="utf-8")
    card = next(card for card in re.findall(r'<div class="card">.*?</div>', html, re.DOTALL) if "Leaves" in card)
    assert card.index("Leaves") < card.index("min_score=")


def test_nothing_is_fetched_and_all_is_escaped(page: Path) -> None:
    """No address in the page, one script with our hash, no markup from texts."""
    html = page.read_text(encoding="utf-8")
    assert "default-src 'none'" in html
    assert not re.search(r"""(src|href)=["'](?!#)""", html)
    assert not re.findall(r"url\((?!#)", html)
    assert html.count("<script>") == 1
    assert "owned" in html
    assert "<img" not in html
    assert "{{ 7*7 }}" in html
    references = set(re.findall(r'(?:href="#|url\(#)([\w-]+)', html))
    assert references <= set(re.findall(r' id="([\w-]+)"', html))


def test_the_page_says_what_the_data_leave_open(report: Report, page: Path) -> None:
    """Queries without a relevant document; several instructions side by side; the worst query first."""
    html = page.read_text(encoding="utf-8")
    assert "1 of the queries have no relevant document" in html
    assert "Instructions side by side" in html
    assert [query.text[:6] for query in report.variants[0].worst(10)] == ["is it?", "two?"]
    assert html.index("is it?") < html.index("two?")


def test_the_same_report_is_the_same_page(report: Report, page: Path, tmp_path: Path) -> None:
    """So that two of them can be compared."""
    assert write_html(report, tmp_path / "other.html").read_bytes() == page.read_bytes()


def test_a_place_that_cant_be_written_is_named(report: Report, data: Path) -> None:
    """A folder under a file."""
    with pytest.raises(InvalidInputError, match="html="):
        write_html(report, data / "report.html")
    with pytest.raises(InvalidInputError, match="json="):
        write_json(report, data / "report.json")


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0.000"), (1e-9, "<0.001"), (0.5, "0.500"), (0.9999, ">0.999"), (1, "1.000")]
)
def test_probabilities_close_to_the_ends(value: float, text: str) -> None:
    """1.000 only where it is 1."""
    assert probability(value) == text
