"""JSONL -> Dataset: one object a line with `query`, `documents` and `relevant`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.evaluate.dataset import Dataset, Document, Query, make_dataset
from qwen3_sglang.evaluate.lines import rows, text_of

_DIGITS = 10  # of an index at most: int() takes no more than thousands


def read_jsonl(path: Path) -> Dataset:
    """Lines such as ``{"query": "…", "documents": ["…", "…"], "relevant": [1]}``, documents in retrieval order.

    `relevant` is a list of indices into `documents`, or grades by index: ``{"1": 2}``. An `id` is optional.

    Raises:
        InvalidInputError: an unusable file or line (the message has its number), or nothing to measure.
    """
    queries: list[Query] = []
    seen: set[str] = set()
    for where, row in rows(path):
        query = _query(where, row)
        if query.id in seen:
            raise InvalidInputError(where, query.id, 'this "id" was used before; give each query its own')
        seen.add(query.id)
        queries.append(query)
    return make_dataset(path.name, "the documents' order in the file", queries)


def _query(where: str, row: dict[str, Any]) -> Query:
    name = row.get("id", where.rpartition(" ")[2])
    if isinstance(name, bool) or not isinstance(name, (str, int)) or not str(name).strip():
        raise InvalidInputError(where, name, 'write a text or a number as "id", or leave it out')
    texts = row.get("documents")
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise InvalidInputError(where, texts, 'give "documents" a list of texts, at least one')
    documents = tuple(Document(str(index), text) for index, text in enumerate(texts))
    return Query(str(name), text_of(where, row, "query"), documents, _grades(where, row.get("relevant"), len(texts)))


def _grades(where: str, relevant: object, count: int) -> dict[str, int]:
    if isinstance(relevant, list):
        relevant = dict.fromkeys(map(_hashable, relevant), 1)
    if not isinstance(relevant, dict):
        raise InvalidInputError(where, relevant, 'give "relevant" a list of indices, or {index: grade}')
    for index, grade in relevant.items():
        if not _is_index(index, count):
            raise InvalidInputError(f"{where}, relevant", index, f"pass an index from 0 to {count - 1}")
        if isinstance(grade, bool) or not isinstance(grade, int) or grade < 0:
            raise InvalidInputError(f"{where}, grade of {index}", grade, "pass a whole number of at least 0")
    return {str(int(index)): grade for index, grade in relevant.items()}


def _hashable(index: object) -> object:
    return index if isinstance(index, (int, str)) else repr(index)


def _is_index(index: object, count: int) -> bool:
    if isinstance(index, str):  # JSON has no other keys
        return index.isascii() and index.isdigit() and len(index) < _DIGITS and int(index) < count
    return isinstance(index, int) and not isinstance(index, bool) and 0 <= index < count
