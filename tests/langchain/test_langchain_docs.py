"""docs/langchain.md says what is so, and docs/langchain.ipynb says the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import langchain_qwen3_sglang
from notebooks import code_cells, notebook_of, run_cells

DOCS = Path(__file__).parents[2] / "docs"
PAGE, NOTEBOOK = DOCS / "langchain.md", DOCS / "langchain.ipynb"


def test_the_notebook_is_the_page() -> None:
    """After a change of the page: python tests/notebooks.py docs/langchain.md."""
    assert json.loads(NOTEBOOK.read_text(encoding="utf-8")) == notebook_of(PAGE.read_text(encoding="utf-8"))


def test_the_notebook_is_valid() -> None:
    """Jupyter's own schema; the version matrix has no nbformat."""
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(NOTEBOOK, as_version=nbformat.NO_CONVERT)
    assert nbformat.validator.isvalid(notebook)
    notebook.cells[0].cell_type = "song"
    assert not nbformat.validator.isvalid(notebook)


async def test_the_page_runs_and_prints_what_it_shows(toy_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every block, one after the other, against the toy, which knows words."""
    pytest.importorskip("langgraph")
    cells = code_cells(json.loads(NOTEBOOK.read_text(encoding="utf-8")))
    shown = re.findall(r"^```text\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    await run_cells(cells, {"http://127.0.0.1:30000": toy_url}, NOTEBOOK.name)
    assert capsys.readouterr().out == "".join(shown)


def test_every_class_is_on_the_page() -> None:
    """And in its API reference."""
    page = PAGE.read_text(encoding="utf-8")
    for name in langchain_qwen3_sglang.__all__:
        assert f"help({name})" in page
