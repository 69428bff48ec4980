"""docs/compared.md: a column for every peer, every cell marked, and our own claims found again."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))  # scripts, not a package

from compare_peers import READ, fill, marked  # noqa: E402 - the path comes first
from peer_probes import PEERS, PROBES, Bench, running, titles  # noqa: E402 - the same
from peer_server import PeerServer  # noqa: E402 - the same

PAGE = (ROOT / "docs" / "compared.md").read_text(encoding="utf-8")
OURS = {"langchain": "lc-ours", "llama_index": "li-ours"}


def rows(framework: str) -> dict[str, list[str]]:
    """The page's table: title -> cells."""
    found = re.search(rf"<!-- {framework} -->\n(.*?)<!-- end -->", PAGE, re.DOTALL)
    assert found is not None
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in found[1].splitlines()[2:]]
    return {title: others for title, *others in cells}


@pytest.fixture(scope="module")
def everybody() -> Iterator[PeerServer]:
    """The server that speaks every peer's API."""
    with running() as server:
        yield server


@pytest.mark.parametrize("framework", OURS)
def test_one_column_a_peer(framework: str) -> None:
    """And no row lacks a cell, or a cell its mark."""
    peers = [peer for peer in PEERS.values() if peer.framework == framework]
    header = re.search(rf"<!-- {framework} -->\n\|(.*)\|\n", PAGE)
    assert header is not None
    assert [cell.strip() for cell in header[1].split("|")[1:]] == [peer.title for peer in peers]
    for title, cells in rows(framework).items():
        assert len(cells) == len(peers), title
        assert all(re.search(r"\((R|S)\)$", cell) or cell.startswith("not tried") for cell in cells), title
    for cell, peer in zip(rows(framework)["version"], peers, strict=True):
        assert peer.requirement.replace("==", " ") in cell


@pytest.mark.parametrize("framework", OURS)
def test_every_row_is_on_the_page(framework: str) -> None:
    """Probed or read, and nothing else."""
    expected = {"version", "server address is an option", *titles(framework), *READ[framework]}
    assert set(rows(framework)) == expected


@pytest.mark.parametrize(
    ("framework", "title"), [(framework, title) for framework in OURS for title in titles(framework)]
)
def test_our_own_claims(framework: str, title: str, everybody: PeerServer) -> None:
    """What the page says was run, run again."""
    found = PROBES[title](Bench(PEERS[OURS[framework]], everybody))
    assert rows(framework)[title][0] == marked(found)


def test_the_other_ways_are_marked() -> None:
    """Of the table that no script writes: each cell says how it is known; what somebody is better at is a judgement."""
    found = re.search(r"## Qwen3-Reranker, four ways\n.*?\n\|---.*?\n(.*?)\n\n", PAGE, re.DOTALL)
    assert found is not None
    lines = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in found[1].splitlines()]
    assert len(lines) > 10
    for title, *cells in lines:
        assert len(cells) == 4, title
        known = all(re.search(r"\((R|S|D)\)$", cell) or cell.startswith("not ") for cell in cells)
        assert known or title == "better at", title


def test_filling_a_page_leaves_the_rest() -> None:
    """--write exchanges a table and nothing else."""
    page = "before\n<!-- langchain -->\nold\n<!-- end -->\nafter\n<!-- llama_index -->\n<!-- end -->\n"
    filled = fill(page, "langchain", "| new \\1 |")
    assert filled == page.replace("old", "| new \\1 |")
