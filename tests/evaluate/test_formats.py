"""Files that aren't read: the error says what was found, and how to make JSONL of it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from qwen3_sglang import InvalidInputError
from qwen3_sglang.evaluate import load_dataset
from qwen3_sglang.evaluate.formats import binary, instead_of_json


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "query,document,label\nq,d,1\n",
            'line 1=.*looks like CSV .*3 columns: "query", "document", "label".*read_csv',
        ),
        ('\ufeff"the, query","a, document"\r\n', 'CSV .*2 columns: "the, query", "a, document"'),
        ("query\tdocument, long\tlabel\n", r'TSV .*3 columns.*sep="\\t"'),
        ("query;document;label\n", 'CSV with semicolons.*sep=";"'),
        ("q1 0 d1 1\n", "TREC judgements.*--qrels"),
        ("q1 Q0 d7 1 3.5 bm25\n", "a TREC run.*--run"),
        ("what is it\n", "write one JSON object per line"),
        ('{"query": "q", "documents": "a, b, c"\n', "write one JSON object per line"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["data.csv", "data.jsonl"])
def test_tables_are_named(tmp_path: Path, text: str, words: str, packed: bool, name: str) -> None:
    """By their first line, whatever the file is called."""
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    with pytest.raises(InvalidInputError, match=words):
        load_dataset(path)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"PAR1\x15\x04", "Parquet.*to_json"),
        (b"ARROW1\x00\x00", "Arrow.*to_json"),
        (b"\xff\xff\xff\xff\x10\x00", "Arrow stream.*to_json"),
        (b"PK\x03\x04\x14", "zip.*Excel"),
        (b"SQLite format 3\x00", "SQLite.*to_json"),
        (b"\xfd7zXZ\x00", "xz.*gzip"),
        ("query".encode("utf-16"), "UTF-16.*UTF-8"),
    ],
)
def test_binary_files_are_named(tmp_path: Path, start: bytes, words: str) -> None:
    """By their first bytes."""
    path = tmp_path / "data.jsonl"
    path.write_bytes(start + bytes(99))
    with pytest.raises(InvalidInputError, match=words):
        load_dataset(path)
    assert binary(b'{"query": ') is None


@pytest.mark.parametrize("line", ['{"a": 1, "b": 2}', '[{"a": 1},', "", "words", " {broken, line"])
def test_what_may_be_json_is_left_to_its_reader(line: str) -> None:
    """Which says where it breaks."""
    assert instead_of_json(line) is None


@pytest.mark.parametrize("name", ["corpus.parquet", "corpus.csv", "queries.tsv"])
def test_a_folder_of_other_files(tmp_path: Path, name: str) -> None:
    """The names that were found stand in the message."""
    (tmp_path / name).write_text("x")
    with pytest.raises(InvalidInputError, match=f"corpus.jsonl.*found .*{name}"):
        load_dataset(tmp_path)
    qrels = tmp_path / "judged.tsv"
    qrels.write_text("q1\td1\t1\n")
    with pytest.raises(InvalidInputError, match=f"queries.jsonl.*aren't read.*found .*{name}"):
        load_dataset(tmp_path, qrels=qrels)
