"""Every link of every page leads somewhere, in the repository and on the site, anchors included."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

ROOT = Path(__file__).parents[1]
if not (ROOT / ".ci").exists():
    pytest.skip("an sdist leaves .ci out", allow_module_level=True)
sys.path.insert(0, str(ROOT / ".ci"))  # scripts, not a package

from links import CODE, LINK, PAGES, DeadLinkError, exchanged, source_of  # noqa: E402 - the path comes first

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXTS = {
    page: (ROOT / source_of(page)).read_text(encoding="utf-8")
    for page in [*PAGES.values(), *(path.name for path in (ROOT / "docs").glob("*.md"))]
    if page.endswith(".md")
}


def anchors(markdown: str) -> set[str]:
    """The headings' anchors, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", markdown, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def links(page: str) -> Iterator[tuple[str, str]]:
    """(page, anchor) of each link to another page of the site, or to the same one."""
    for _, _, target in LINK.findall(exchanged(TEXTS[page], page)):
        path, _, anchor = target.partition("#")
        if not re.match(r"[a-z]+:", target):
            yield path or page, anchor


@pytest.mark.parametrize("page", TEXTS)
def test_every_link_leads_somewhere(page: str) -> None:
    """exchanged() itself looks for the files."""
    for other, anchor in links(page):
        if anchor:
            assert anchor in anchors(TEXTS[other]), f"{page}: {other}#{anchor}"


def test_every_page_is_in_the_navigation() -> None:
    """`make docs` says so too, but whoever adds a page runs the tests first."""
    listed = re.findall(r"^ +- (?:[^:\n]+: )?(\S+\.(?:md|ipynb))$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.M)
    own = [name for name in listed if not name.startswith("reference/")]
    assert sorted(own) == sorted({*TEXTS, *PAGES.values()})


def test_the_pages_do_link() -> None:
    """The test above would pass with no links at all."""
    assert sum(bool(anchor) for page in TEXTS for _, anchor in links(page)) > 10


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("index.md", "[a](docs/serving.md#keys)", "[a](serving.md#keys)"),
        ("index.md", "[a](docs/langchain.ipynb)", "[a](notebooks/langchain.ipynb)"),
        ("serving.md", "[a](../README.md)", "[a](index.md)"),
        ("serving.md", "[a](#keys)", "[a](#keys)"),
        ("serving.md", "[`b`](scaling.md) `[c](d.md)`", "[`b`](scaling.md) `[c](d.md)`"),
        ("serving.md", "[a](https://docs.sglang.io)", "[a](https://docs.sglang.io)"),
        ("serving.md", "[`b`](../examples/deploy/compose.yaml)", "`b`"),
        ("benchmarks.md", "[a](../docs/compared.md)", "[a](compared.md)"),
        ("playground.md", "![a](images/playground.png)", "![a](images/playground.png)"),
    ],
)
def test_what_becomes_of_a_link(page: str, link: str, expected: str) -> None:
    """A page's own address, a page elsewhere in the repository, code, another site, a file without a page."""
    assert exchanged(link, page) == expected


def test_a_file_without_a_page() -> None:
    """It is linked to where the repository is known."""
    made = exchanged("[a](../tests/test_oracle.py)", "compared.md", "someone/something")
    assert made == "[a](https://github.com/someone/something/blob/main/tests/test_oracle.py)"


def test_a_dead_link_stops_the_build() -> None:
    """With the page and the target in the message."""
    with pytest.raises(DeadLinkError, match=r"docs/serving\.md links to nowhere\.md"):
        exchanged("[a](nowhere.md)", "serving.md")


def test_code_is_found() -> None:
    """Fenced and inline."""
    assert CODE.split("a `b` c\n```sh\nd\n```\ne")[1::2] == ["`b`", "```sh\nd\n```"]
