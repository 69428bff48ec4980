"""Judgements and runs as TREC and BEIR write them: a line each, in columns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.evaluate.grades import HIGHEST, grade_of
from qwen3_sglang.evaluate.lines import lines

Qrels = dict[str, dict[str, int]]
Run = dict[str, list[str]]
_BEIR, _TREC = 3, 4  # columns
_QRELS = (
    "write query id, document id and a whole number with tabs between, or TREC's four columns: query 0 document grade"
)
_RUN = "write 6 columns: query id, Q0, document id, rank, score, name; rank and score are finite numbers"
_HEADER = re.compile(r"_?(q|query|topic)[-_ ]?(id|no|num|number)?")
_GRADE = {"score", "grade", "relevance", "rel", "label", "relevant", "relevancy", "judgment", "judgement", "qrel"}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_LONGEST = 60  # characters of a number; 1e300 is one, thousands of digits are none


def read_qrels(path: Path) -> Qrels:
    """Grades by query and document, from BEIR's three columns or TREC's four.

    A header is taken for one by the words in it, never by its place alone.

    Raises:
        InvalidInputError: an unusable file or line, a document judged twice with two grades, or no judgement.
    """
    qrels: Qrels = {}
    seen: dict[tuple[str, str], str] = {}
    for where, query, document, written in _judgements(path):
        grade = grade_of(f"{where}, grade of {document}", written, least=-HIGHEST)
        earlier = qrels.setdefault(query, {}).setdefault(document, grade)
        first = seen.setdefault((query, document), where)
        if earlier != grade:
            remedy = f"{first} judged it {earlier} for query {query}; leave one of the two lines out"
            raise InvalidInputError(f"{where}, grade of {document}", grade, remedy)
    if not qrels:
        raise InvalidInputError("qrels", str(path), "holds no judgement; name another with --split or --qrels")
    return qrels


def _judgements(path: Path) -> Iterator[tuple[str, str, str, str]]:
    """(where, query, document, grade) of each line, all of one layout."""
    width, first = 0, ""
    for number, (where, line) in enumerate(lines(path)):
        columns = _columns(line)
        if number == 0 and _is_header(columns):
            width, first = len(columns), where
            continue
        if len(columns) not in {_BEIR, _TREC} or not all(columns):
            raise InvalidInputError(where, line, f"found {len(line.split())} columns: {_QRELS}")
        if width not in {0, len(columns)}:
            remedy = f"found {len(columns)} columns, but {width} in {first}: use one layout in a file"
            raise InvalidInputError(where, line, remedy)
        width, first = len(columns), first or where
        yield where, columns[0], columns[-2], columns[-1]


def _columns(line: str) -> list[str]:
    """Between tabs where that gives a layout's number of them, since ids may hold spaces; else TREC's, by any space."""
    by_tab = [column.strip() for column in line.split("\t")]
    return by_tab if len(by_tab) in {_BEIR, _TREC} else _by_space(line)


def _by_space(line: str) -> list[str]:
    columns = line.split()
    return columns if len(columns) == _TREC else []


def _is_header(columns: list[str]) -> bool:
    return len(columns) > 1 and bool(_HEADER.fullmatch(columns[0].lower())) and columns[-1].lower() in _GRADE


def read_run(path: Path) -> Run:
    """Documents by query, best first: by score, ties by rank.

    Raises:
        InvalidInputError: an unusable file or line, a document twice for a query, or an empty run.
    """
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for where, line in lines(path):
        try:
            query, _, document, rank, score, _ = line.split()
            place = (-_number(score), _number(rank))
        except ValueError:
            raise InvalidInputError(where, line, _RUN) from None
        if document in found.setdefault(query, {}):
            raise InvalidInputError(where, document, f"query {query} has this document twice; leave one out")
        found[query][document] = place
    if not found:
        raise InvalidInputError("run", str(path), "holds no line; name the right file")
    return {query: sorted(places, key=places.__getitem__) for query, places in found.items()}


def _number(written: str) -> float:
    value = float(written) if len(written) <= _LONGEST and _NUMBER.fullmatch(written) else float("inf")
    if value - value != 0:  # not finite
        raise ValueError(written)
    return value
