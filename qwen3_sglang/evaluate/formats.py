"""Formats that aren't read: what a file is, by its first bytes or its first line, and how to make JSONL of it."""

from __future__ import annotations

import csv
import json

_BINARY = {
    b"PAR1": "a Parquet file: write it as JSONL first (to_json of datasets; of pandas with lines=True)",
    b"ARROW1": "an Arrow file: write it as JSONL first (to_json of datasets; of pandas with lines=True)",
    b"FEA1": "a Feather file: write it as JSONL first (to_json of pandas with lines=True)",
    b"\xff\xff\xff\xff": "an Arrow stream: write it as JSONL first (to_json of datasets)",
    b"PK\x03\x04": "a zip archive, as Excel's workbooks are: unpack it, or write the table as JSONL",
    b"SQLite f": "an SQLite database: write the table as JSONL first (to_json of pandas with lines=True)",
    b"\xff\xfe": "UTF-16 text: save it as UTF-8",
    b"\xfe\xff": "UTF-16 text: save it as UTF-8",
    b"\x28\xb5\x2f\xfd": "compressed with zstd: unpack it first, or compress it with gzip",
    b"BZh": "compressed with bzip2: unpack it first, or compress it with gzip",
    b"\xfd7zXZ": "compressed with xz: unpack it first, or compress it with gzip",
    b"7z\xbc\xaf": "a 7-Zip archive: unpack it first",
}
LONGEST_MAGIC = max(map(len, _BINARY))
_TABLES = {"\t": "TSV", ",": "CSV", ";": "CSV with semicolons", "|": "CSV with bars"}
_SEPARATOR = {"\t": ', sep="\\t"', ",": "", ";": ', sep=";"', "|": ', sep="|"'}
_QRELS, _RUN, _TWO = 4, 6, 2
_SHOWN = 8


def binary(start: bytes) -> str | None:
    """What a file with these first bytes is, and what to do; None for text and gzip."""
    return next((remedy for magic, remedy in _BINARY.items() if start.startswith(magic)), None)


def instead_of_json(line: str) -> str | None:
    """What a file is whose first line this is, and what to do; None where it may be JSON."""
    if line.lstrip().startswith(("{", "[")):
        return None
    words = line.split()
    if (len(words) == _QRELS and words[1] == "0") or (len(words) == _RUN and words[1].upper() == "Q0"):
        name, flag = ("TREC judgements", "--qrels") if len(words) == _QRELS else ("a TREC run", "--run")
        return f"this looks like {name}: pass a folder with corpus.jsonl and queries.jsonl, and this file by {flag}"
    columns, separator = max((len(columns_of(line, one)), one) for one in _TABLES)
    if columns < _TWO:
        return None
    names = ", ".join(json.dumps(name[:40], ensure_ascii=False) for name in columns_of(line, separator)[:_SHOWN])
    return (
        f"this looks like {_TABLES[separator]} (its first line has {columns} columns: {names}), which isn't read: "
        "write it as JSONL first "
        f'(pandas.read_csv(FILE{_SEPARATOR[separator]}).to_json(NEW, orient="records", lines=True))'
    )


def columns_of(line: str, separator: str) -> list[str]:
    """The columns of a table's line."""
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:  # a field of more than 128 KiB
        return []
