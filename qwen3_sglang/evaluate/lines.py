"""Files line by line, compressed or not; what is wrong with one is said with its number."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TextIO, cast

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.evaluate.formats import LONGEST_MAGIC, binary, instead_of_json

_GZIP = b"\x1f\x8b"


class _RepeatedKeyError(ValueError):
    """An object with two values under one key."""


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """(where, line) of each line that isn't blank; gzip is told by the file's first bytes, not by its name.

    Raises:
        InvalidInputError: the file is missing, unreadable or not UTF-8.
    """
    number = 0
    try:
        with _opened(path) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"{path.name} line {number}", line.rstrip("\r\n")
    except (OSError, UnicodeDecodeError, EOFError, zlib.error) as error:
        after = f" after line {number}" if number else ""
        raise InvalidInputError("file", str(path), f"name a readable UTF-8 file ({error}{after})") from None


def _opened(path: Path) -> TextIO:
    """The file as text; the caller closes it."""
    with path.open("rb") as file:
        start = file.read(LONGEST_MAGIC)
    other = binary(start)
    if other is not None:
        raise InvalidInputError("file", str(path), f"this is {other}")
    # utf-8-sig: what Windows editors put in front is no part of the text.
    if start.startswith(_GZIP):
        return cast(TextIO, gzip.open(path, "rt", encoding="utf-8-sig"))
    return path.open(encoding="utf-8-sig")


def rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, object) of each line of a JSONL file, or of each item of a JSON array.

    Raises:
        InvalidInputError: as `lines`, or a line that is no JSON object.
    """
    numbered = lines(path)
    first = next(numbered, None)
    if first is None:
        return
    if first[1].lstrip().startswith("["):
        yield from _items(path, "\n".join([first[1], *(line for _, line in numbered)]))
        return
    other = instead_of_json(first[1])
    if other is not None:
        raise InvalidInputError(first[0], first[1], other)
    for where, line in chain([first], numbered):
        row = _parsed(where, line, "write one JSON object per line")
        if not isinstance(row, dict):
            raise InvalidInputError(where, line, "write one JSON object per line")
        yield where, row


def _items(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, item in enumerate(_parsed(path.name, text, "write a JSON array, or one JSON object per line"), 1):
        if not isinstance(item, dict):
            raise InvalidInputError(f"{path.name} item {number}", item, "write a JSON object")
        yield f"{path.name} item {number}", item


def _parsed(where: str, text: str, remedy: str) -> Any:
    try:
        value = json.loads(text, object_pairs_hook=_object)
        if "\\ud" in text.lower():  # half of a surrogate pair is JSON, but no text: it can't be sent or written
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise InvalidInputError(where, text, f"{half} is half of a character: write all of it, or remove it") from None
    except (json.JSONDecodeError, _RepeatedKeyError, RecursionError) as error:
        raise InvalidInputError(where, text, f"{remedy} ({error})") from None
    except ValueError:  # Python's words for it name functions
        remedy = "a number has thousands of digits: write an id in quotes, and a grade as a small number"
        raise InvalidInputError(where, text, remedy) from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys differ: of two values under one key, json would keep the last."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _RepeatedKeyError(f"{json.dumps(twice)} is there twice: leave one out")
    return made


def keys_of(row: dict[str, Any]) -> str:
    """What a row has, for a message: its first keys."""
    return some([json.dumps(str(name)[:40], ensure_ascii=False) for name in row])


def some(names: Sequence[str], most: int = 12) -> str:
    """The first of these names, for a message."""
    return ", ".join(names[:most]) + (", …" if len(names) > most else "") or "nothing"


def one_of(where: str, row: dict[str, Any], names: tuple[str, ...]) -> str | None:
    """Which of these names the row uses for one thing; None where it has none of them.

    Raises:
        InvalidInputError: it has two.
    """
    found = [name for name in names if row.get(name) is not None]
    if len(found) > 1:
        pair = " and ".join(f'"{name}"' for name in found)
        raise InvalidInputError(where, found, f"leave one of {pair} out: they mean the same")
    return found[0] if found else None


def text_of(where: str, row: dict[str, Any], name: str) -> str:
    """The text under `name`; it may be blank.

    Raises:
        InvalidInputError: it is missing or no string.
    """
    value = row.get(name)
    if not isinstance(value, str):
        raise InvalidInputError(where, row, f'give "{name}" a text; found {keys_of(row)}')
    return value


def id_of(where: str, name: str, value: object) -> str:
    """An id as text: a string that isn't blank, or an integer.

    Raises:
        InvalidInputError: anything else.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip():
        raise InvalidInputError(where, value, f'write a text or a whole number as "{name}"')
    return str(value)
