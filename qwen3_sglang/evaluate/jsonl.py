"""JSONL -> Dataset, in the layouts in which judged queries are kept.

* ranked: `query`, `documents` in retrieval order, and `relevant`, `labels` or `positive`;
* sides: `query`, `positive`, `negative`; one row per query, or several as in triplets;
* pairs: `query`, `document`, `label`; one row per document.

Only the first has an order of a first stage. The others get BM25's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.evaluate.bm25 import order
from qwen3_sglang.evaluate.dataset import Dataset, Document, Query, make_dataset
from qwen3_sglang.evaluate.documents import Given, read_documents
from qwen3_sglang.evaluate.grades import grade_of
from qwen3_sglang.evaluate.lines import id_of, keys_of, one_of, rows
from qwen3_sglang.evaluate.readings import Grades, Judgement, decide, index_of, is_index

_DOCUMENTS = ("documents", "docs", "passages")
_DOCUMENT = ("document", "doc", "passage")
_POSITIVE = ("positive", "pos", "positives")
_NEGATIVE = ("negative", "neg", "negatives")
_RELEVANT = ("relevant", "labels", "label")
_LABEL = ("label", "relevant", "labels", "relevance", "grade")
_ID = ("id", "query_id", "qid")
_LAYOUTS = (
    'give "query" and "documents" with "relevant" or "labels"; or "query", "positive" and "negative"; or "query", '
    '"document" and "label"'
)
_ORDERED = "the documents' order in the file"
_UNORDERED = "BM25 over each query's own documents, since the file has no order"
_TELLING = 3  # rows; fewer may be in this order by chance
_TOLD = (
    "in every query the relevant documents come first, as in a list sorted by label: if it is one, the figures before "
    "reranking are no retriever's"
)


@dataclass(slots=True)
class _Row:
    """One query as read: its judgement is a list of grades, or what the file as a whole must tell."""

    where: str
    id: str | None
    query: str
    documents: list[Given]
    judgement: Judgement | None = None
    grades: Grades = field(default_factory=list)
    missed: int = 0  # relevant documents that the first stage didn't find
    ordered: bool = True


def read_jsonl(path: Path, relevant: str | None = None) -> Dataset:
    """The queries of a JSONL file, of whichever layout.

    Args:
        path: the file, plain or gzip.
        relevant: what lists under "relevant" mean, "indices" or "labels"; None: what the file tells.

    Raises:
        InvalidInputError: an unusable file or line (the message has its number and what was found), judgements
            that contradict each other or may mean two things, or nothing to measure.
        MissingDependencyError: the file has no order, and bm25s isn't installed.
    """
    found = [_row(where, row) for where, row in rows(path)]
    for one in found[1:]:
        if one.ordered != found[0].ordered:
            remedy = f"only one of this line and {found[0].where} gives documents in an order: use one layout in a file"
            raise InvalidInputError(one.where, one.query, remedy)
    open_ones = [row for row in found if row.judgement is not None]
    judgements = [row.judgement for row in open_ones if row.judgement is not None]
    for row, grades in zip(open_ones, decide(judgements, relevant), strict=True):
        row.grades = grades
    if found and not found[0].ordered:
        return make_dataset(path.name, _UNORDERED, _by_bm25(_merged(found)))
    _check_same_texts(found)
    notes = [_TOLD] if _sorted_by_grade(found) else []
    return make_dataset(path.name, _ORDERED, _named(found), notes)


def _row(where: str, row: dict[str, Any]) -> _Row:
    name, query = one_of(where, row, _ID), row.get("query")
    if not isinstance(query, str):
        raise InvalidInputError(where, row, f'give "query" a text; found {keys_of(row)}')
    read = _Row(where, None if name is None else id_of(where, name, row[name]), query, [])
    several, one = one_of(where, row, _DOCUMENTS), one_of(where, row, _DOCUMENT)
    positive, negative = one_of(where, row, _POSITIVE), one_of(where, row, _NEGATIVE)
    if several is not None:
        return _ranked(read, row, several, positive)
    read.ordered = False
    sides = [
        [name for name in (one, *_numbered(row, names)) if name is not None]
        for one, names in ((positive, _POSITIVE), (negative, _NEGATIVE))
    ]
    if any(sides):
        return _sides(read, row, *sides)
    label = one_of(where, row, _LABEL)
    if one is None or label is None:
        raise InvalidInputError(where, row, f"found {keys_of(row)}: {_LAYOUTS}")
    read.documents = read_documents(where, one, row[one])
    read.grades = [grade_of(f"{where}, {label}", row[label])] * len(read.documents)
    return read


def _ranked(read: _Row, row: dict[str, Any], several: str, positive: str | None) -> _Row:
    where, value = read.where, row[several]
    if not isinstance(value, list) or not value:
        raise InvalidInputError(where, value, f'give "{several}" a list of texts, at least one')
    read.documents = read_documents(where, several, value)
    name = one_of(where, row, (*_RELEVANT, *((positive,) if positive else ())))
    own = [document.judged for document in read.documents]
    if name is None and all(one is not None for one in own):
        read.grades = [grade_of(f"{where}, {several}[{n}]", one) for n, one in enumerate(own)]
        return read
    if name is None or any(one is not None for one in own):
        remedy = (
            f'found {keys_of(row)}: judge by "relevant" (indices, or {{index: grade}}), or by "labels", one for each'
        )
        raise InvalidInputError(where, row.get("relevant"), remedy)
    _judge(read, name, row[name], by_text=name == positive)
    return read


def _judge(read: _Row, name: str, value: object, *, by_text: bool) -> None:
    where = read.where
    if by_text:
        _mark_texts(read, read_documents(where, name, value))
    elif isinstance(value, dict):
        read.grades = _by_key(f"{where}, {name}", value, read)
    elif not isinstance(value, list):
        raise InvalidInputError(where, value, f'give "{name}" a list of indices or labels, or {{index: grade}}')
    elif name == "relevant":
        read.judgement = Judgement(where, name, value, read.documents)
    else:
        read.grades = Judgement(where, name, value, read.documents).grades("labels")


def _mark_texts(read: _Row, positives: list[Given]) -> None:
    """Documents that are among the positives, by their text; positives that aren't there were missed."""
    wanted = {one.text for one in positives}
    read.grades = [int(document.text in wanted) for document in read.documents]
    read.missed = len(wanted - {document.text for document in read.documents})


def _by_key(what: str, relevant: dict[str, object], read: _Row) -> Grades:
    """Grades by index, or by id where the documents have ids."""
    ids = {document.id: place for place, document in enumerate(read.documents) if document.id is not None}
    count = len(read.documents)
    named = bool(relevant) and all(key in ids for key in relevant)
    if named and any(is_index(key, count) and ids[key] != int(key) for key in relevant):
        raise InvalidInputError(what, relevant, "these are ids, and also indices of other documents: use other ids")
    grades = [0] * count
    for key, value in relevant.items():
        place = ids[key] if named else index_of(what, key, count)
        grades[place] = grade_of(f"{read.where}, grade of {key}", value)
    return grades


def _numbered(row: dict[str, Any], names: Sequence[str]) -> list[str]:
    """Keys such as "negative_1" and "negative_2", as sentence-transformers' hard negatives come."""
    return [key for key in row if re.sub(r"_?\d+$", "", key) in names and key not in names and row[key] is not None]


def _sides(read: _Row, row: dict[str, Any], positive: Sequence[str], negative: Sequence[str]) -> _Row:
    good, bad = (
        [one for key in keys for one in read_documents(read.where, key, row[key])] for keys in (positive, negative)
    )
    if not good and not bad:
        raise InvalidInputError(read.where, row, 'give "positive" or "negative" at least one document')
    read.documents, read.grades = [*good, *bad], [1] * len(good) + [0] * len(bad)
    return read


def _merged(found: Sequence[_Row]) -> list[_Row]:
    """One row per query text, each document once."""
    merged: dict[str, _Row] = {}
    seen: dict[tuple[str, str], tuple[int, str]] = {}
    for row in found:
        into = merged.setdefault(row.query, _Row(row.where, row.id, row.query, []))
        for document, grade in zip(row.documents, row.grades, strict=True):
            first, where = seen.setdefault((row.query, document.text), (grade, ""))
            if first != grade:
                raise _two_grades(row.where, document, grade, first, where)
            if not where:
                seen[row.query, document.text] = grade, row.where
                into.documents.append(document)
                into.grades.append(grade)
    return list(merged.values())


def _check_same_texts(found: Sequence[_Row]) -> None:
    """Refuse a document with two grades for one query; ids set documents and queries of the same text apart."""
    seen: dict[tuple[str | None, ...], tuple[int, str]] = {}
    for row in found:
        for document, grade in zip(row.documents, row.grades, strict=True):
            key = (row.id, row.query, document.id, document.text)
            first, where = seen.setdefault(key, (grade, row.where))
            if first != grade:
                raise _two_grades(row.where, document, grade, first, "the same line" if where == row.where else where)


def _two_grades(where: str, document: Given, grade: int, first: int, at: str) -> InvalidInputError:
    remedy = f"this document has grade {grade} here and {first} in {at}; leave one of the two out"
    return InvalidInputError(where, document.text, remedy)


def _by_bm25(found: Sequence[_Row]) -> list[Query]:
    orders = order([(row.query, [document.text for document in row.documents]) for row in found])
    for row, places in zip(found, orders, strict=True):
        row.documents = [row.documents[place] for place in places]
        row.grades = [row.grades[place] for place in places]
    return _named(found)


def _named(found: Sequence[_Row]) -> list[Query]:
    """The rows as queries; the line's number stands in for an id, and a document's index for its."""
    queries: dict[str, Query] = {}
    for row in found:
        name = row.id or row.where.rpartition(" ")[2]
        if name in queries:
            raise InvalidInputError(row.where, name, 'this "id" was used before; give each query its own')
        documents = tuple(Document(one.id or str(place), one.text) for place, one in enumerate(row.documents))
        if len({document.id for document in documents}) < len(documents):
            raise InvalidInputError(row.where, row.query, "two documents of this query have one id; give each its own")
        grades = {document.id: grade for document, grade in zip(documents, row.grades, strict=True)}
        grades |= {f"missed {number}": 1 for number in range(1, row.missed + 1)}
        queries[name] = Query(name, row.query, documents, grades)
    return list(queries.values())


def _sorted_by_grade(found: Sequence[_Row]) -> bool:
    """Whether the order looks like a sorting by label: everywhere the relevant documents come first."""
    telling = [row.grades for row in found if len(set(row.grades)) > 1]
    return len(telling) >= _TELLING and all(grades == sorted(grades, reverse=True) for grades in telling)
