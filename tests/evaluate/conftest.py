"""Small data sets as files."""

from __future__ import annotations

from pathlib import Path

import pytest
from judged_data import ROWS, write_lines

for needed in ("bm25s", "ir_measures", "jinja2", "matplotlib", "scipy"):
    pytest.importorskip(needed)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three queries; the last has no relevant document."""
    return write_lines(tmp_path / "data.jsonl", ROWS)


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    """Two judged queries, one that isn't, and a run."""
    folder = tmp_path / "tiny"
    corpus = [
        {"_id": "d1", "title": "Cats", "text": "purr p=0.9"},
        {"_id": "d2", "text": "Dogs bark p=0.2"},
        {"_id": "d3", "title": "", "text": "Fish swim p=0.5"},
    ]
    write_lines(folder / "corpus.jsonl", corpus)
    queries = [{"_id": name, "text": text} for name, text in (("q1", "cats purr"), ("q2", "fish"), ("q3", "birds"))]
    write_lines(folder / "queries.jsonl", queries)
    write_lines(folder / "qrels" / "test.tsv", ["query-id\tcorpus-id\tscore", "q1\td1\t2", "q1\td2\t0", "q2\td3\t1"])
    write_lines(folder / "run.trec", ["q1 Q0 d2 1 3.5 x", "q1 Q0 d1 2 1.5 x", "q1 Q0 d3 3 1.5 x", "q3 Q0 d1 1 1 x"])
    return folder
