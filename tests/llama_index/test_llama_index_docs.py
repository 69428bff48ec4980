"""docs/llama_index.md says what is so, and docs/llama_index.ipynb says the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from llama_index.core import Settings

from notebooks import code_cells, notebook_of, run_cells

DOCS = Path(__file__).parents[2] / "docs"
PAGE, NOTEBOOK = DOCS / "llama_index.md", DOCS / "llama_index.ipynb"
ANSWER = "The capital of China is Beijing."


@pytest.fixture
def own_settings() -> Iterator[None]:
    """The page sets LlamaIndex's global models."""
    yield
    Settings._llm = Settings._embed_model = None


def test_the_notebook_is_the_page() -> None:
    """After a change of the page: python tests/notebooks.py docs/llama_index.md."""
    assert json.loads(NOTEBOOK.read_text(encoding="utf-8")) == notebook_of(PAGE.read_text(encoding="utf-8"))


def test_the_notebook_is_valid() -> None:
    """Jupyter's own schema; the version matrix has no nbformat."""
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(NOTEBOOK, as_version=nbformat.NO_CONVERT)
    assert nbformat.validator.isvalid(notebook)
    notebook.cells[0].cell_type = "song"
    assert not nbformat.validator.isvalid(notebook)


@pytest.mark.usefixtures("own_settings")
async def test_the_notebook_runs(toy_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Against the toy, which knows words: what the page promises is what is printed."""
    cells = code_cells(json.loads(NOTEBOOK.read_text(encoding="utf-8")))
    named = await run_cells(cells, {"http://127.0.0.1:30000": toy_url}, NOTEBOOK.name)
    # Where the chat memory is a database, its thread outlives the event loop otherwise, and complains.
    if (store := getattr(named["chat"]._memory, "sql_store", None)) is not None:
        await store._async_engine.dispose()
    printed, bar = capsys.readouterr()
    best = [line for line in printed.splitlines() if line.endswith(ANSWER)]
    assert len(best) == 11  # the ten that are reranked, and the one before
    assert "1 of 3 score 0.5 or more" in printed
    assert "ReRankStartEvent 3 nodes\nReRankEndEvent 2 nodes" in printed
    assert "2 False" in printed  # stored without the key
    # P(yes), the mock's cosine; the language model doesn't read it.
    assert re.search(r"^0\.[5-9]\d\d now, 1\.000 before\nFalse$", printed, re.MULTILINE)
    assert "Reranking" in bar
    assert all(not node.metadata.keys() & {"retrieval_score", "rerank_truncated"} for node in named["nodes"])
