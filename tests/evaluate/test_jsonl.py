"""JSONL with queries, documents and judgements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from judged_data import ROWS, write_lines

from qwen3_sglang import InvalidInputError
from qwen3_sglang.evaluate import load_dataset

GOOD = ROWS[0]


def test_reads_lists_and_grades(data: Path) -> None:
    """Documents by their index, grades as given, blank lines and a byte order mark skipped."""
    data.write_text("\ufeff\n" + data.read_text(), encoding="utf-8")
    dataset = load_dataset(data)
    assert [query.id for query in dataset.queries] == ["a", "b", "c"]
    assert [dict(query.grades) for query in dataset.queries] == [{"1": 1}, {"0": 0, "1": 2, "2": 1}, {}]
    assert [document.text for document in dataset.queries[1].documents] == ROWS[1]["documents"]
    assert [query.judged for query in dataset.queries] == [True, True, False]


def test_an_id_is_optional(tmp_path: Path) -> None:
    """The line's number stands in."""
    rows = [{key: value for key, value in GOOD.items() if key != "id"}] * 2
    dataset = load_dataset(write_lines(tmp_path / "data.jsonl", rows))
    assert [query.id for query in dataset.queries] == ["1", "2"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{broken", "line 2.*one JSON object a line"),
        ("[1]", "line 2.*one JSON object a line"),
        ("[" * 100_000, "line 2.*one JSON object a line"),
        (GOOD | {"id": "n", "relevant": {"1" * 5000: 1}}, "line 2, relevant"),
        (GOOD | {"id": "n", "query": " "}, 'line 2.*"query"'),
        (r'{"query": "\ud800", "documents": ["d"], "relevant": [0]}', "line 2.*surrogates"),
        (GOOD | {"id": "n", "query": None}, 'line 2.*"query"'),
        (GOOD | {"id": "n", "documents": []}, 'line 2.*"documents"'),
        (GOOD | {"id": "n", "documents": "one text"}, 'line 2.*"documents"'),
        (GOOD | {"id": "n", "documents": ["a", 1]}, 'line 2.*"documents"'),
        (GOOD | {"id": "n", "relevant": [3]}, "line 2, relevant=3: pass an index from 0 to 2"),
        (GOOD | {"id": "n", "relevant": [-1]}, "line 2, relevant=-1"),
        (GOOD | {"id": "n", "relevant": [True]}, "line 2, relevant=True"),
        (GOOD | {"id": "n", "relevant": [[0]]}, "line 2, relevant"),
        (GOOD | {"id": "n", "relevant": {"x": 1}}, "line 2, relevant='x'"),
        (GOOD | {"id": "n", "relevant": {"0": -1}}, "line 2, grade of 0=-1"),
        (GOOD | {"id": "n", "relevant": {"0": 0.5}}, "line 2, grade of 0=0.5"),
        ({"query": "q", "documents": ["a"]}, 'line 2.*"relevant"'),
        (GOOD, "line 2='a'.*used before"),
        (GOOD | {"id": [1]}, 'line 2.*"id"'),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, row: Any, said: str) -> None:
    """The message has the line's number and what to write."""
    path = write_lines(tmp_path / "data.jsonl", [GOOD, row])
    with pytest.raises(InvalidInputError, match=said):
        load_dataset(path)


@pytest.mark.parametrize(
    ("rows", "said"),
    [([], "no query"), ([GOOD | {"relevant": []}], "no document is marked relevant")],
)
def test_nothing_to_measure(tmp_path: Path, rows: list[Any], said: str) -> None:
    """Figures of nothing would be noise."""
    with pytest.raises(InvalidInputError, match=said):
        load_dataset(write_lines(tmp_path / "data.jsonl", rows))


def test_a_missing_or_unreadable_file(tmp_path: Path) -> None:
    """Both say which."""
    with pytest.raises(InvalidInputError, match=r"nowhere\.jsonl.*exists"):
        load_dataset(tmp_path / "nowhere.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b'{"query": "caf\xe9"}\n')
    with pytest.raises(InvalidInputError, match=r"latin\.jsonl.*UTF-8"):
        load_dataset(tmp_path / "latin.jsonl")


@pytest.mark.parametrize("option", [{"run": "run.trec"}, {"split": "dev"}])
def test_what_only_beir_has_is_refused(data: Path, option: dict[str, str]) -> None:
    """An option that would be ignored is an error."""
    with pytest.raises(InvalidInputError, match="only a BEIR folder"):
        load_dataset(data, **option)
