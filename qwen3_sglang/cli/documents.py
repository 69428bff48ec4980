"""A file's text -> documents: lines, JSON lines, or a JSON array. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qwen3_sglang.errors import InvalidInputError

_OBJECT = re.compile(r'\s*\[?\s*\{\s*"')  # begins one, or an array of them: no prose does


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file.

    Attributes:
        text: what is scored.
        id: its "id", or "_id", in the file; None where it has none.
    """

    text: str
    id: object = None


@dataclass(frozen=True, slots=True)
class _Broken:
    """What isn't JSON, and why."""

    why: str


def read_documents(text: str, field: str = "text") -> list[Document]:
    """Documents of a text: a JSON array, JSON strings or objects one per line, else the lines that aren't blank.

    A file with an object on one of its lines, whole or broken, is JSON lines; a line that isn't JSON is an error there,
    not a document.

    Args:
        text: the whole file.
        field: where a JSON object has its text.

    Raises:
        InvalidInputError: a JSON line that can't be read, or an object without `field`; the message has its number.
    """
    text = text.removeprefix("\ufeff")  # what Windows editors put in front
    array = _array(text)
    if array is not None:
        return [_document(row, field, f"document {number}") for number, row in enumerate(array, 1)]
    # Not splitlines: JSON may hold U+2028 and its like as they are.
    lines = {number: line for number, line in enumerate(text.split("\n"), 1) if line.strip()}
    rows = {number: _parsed(line) for number, line in lines.items()}
    strings = all(isinstance(row, str) for row in rows.values())
    if not strings and not any(_OBJECT.match(line) for line in lines.values()):
        return [Document(line) for line in lines.values()]
    for number, row in rows.items():
        if isinstance(row, _Broken):
            raise InvalidInputError(f"line {number}", lines[number], f"isn't JSON ({row.why}): mend or remove it")
    return [_document(row, field, f"line {number}") for number, row in rows.items()]


def _array(text: str) -> list[Any] | None:
    """The text as one JSON array of strings or objects; None where it is no such array."""
    if not text.lstrip().startswith("["):
        return None
    whole = _parsed(text)
    usable = isinstance(whole, list) and bool(whole) and all(isinstance(row, (str, dict)) for row in whole)
    return whole if usable and isinstance(whole, list) else None


def _parsed(text: str) -> object:
    try:
        found: object = json.loads(text)
    except json.JSONDecodeError as error:
        return _Broken(f"{error.msg}, character {error.pos + 1}")
    except RecursionError:
        return _Broken("brackets in brackets, too deep")
    except ValueError:  # Python's words for it name functions
        return _Broken("a number with thousands of digits")
    return found


def _document(row: object, field: str, where: str) -> Document:
    if isinstance(row, str):
        return Document(row)
    value = row.get(field) if isinstance(row, dict) else None
    if not isinstance(row, dict) or not isinstance(value, str):
        shown = sorted(row) if isinstance(row, dict) else row
        raise InvalidInputError(where, shown, f'has no text in "{field}"; name the right field with --field')
    return Document(value, row.get("id", row.get("_id")))


def first_lines(text: str, lines: int = 2, width: int = 160) -> str:
    """The start of a long document, as a table has room for it; "…" where it goes on."""
    kept = [line.strip() for line in text.splitlines() if line.strip()]
    shown = "\n".join(line if len(line) <= width else f"{line[: width - 1]}…" for line in kept[:lines])
    return f"{shown} …" if len(kept) > lines else shown


def as_rows(results: Sequence[Any], documents: Sequence[Document]) -> list[dict[str, Any]]:
    """The ranking as JSON has it; null: a logit beyond what JSON can hold, the chunk of a text that wasn't divided."""
    rows = []
    for result in results:
        found = documents[result.index]
        logit = result.logit if abs(result.logit) != float("inf") else None
        row = {"index": result.index, "id": found.id, "score": result.score, "logit": logit}
        chunk = None if result.chunk is None else result.chunk._asdict()
        rows.append(row | {"truncated": result.truncated, "chunk": chunk, "document": found.text})
    return rows
