"""Files line by line; what is wrong with one is said with its number."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qwen3_sglang.errors import InvalidInputError


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """(where, line) of each line that isn't blank.

    Raises:
        InvalidInputError: the file is missing, unreadable or not UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:  # -sig: what Windows editors put in front
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"{path.name} line {number}", line.rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError("file", str(path), f"name a readable UTF-8 file ({error})") from None


def rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, object) of each line of a JSONL file.

    Raises:
        InvalidInputError: as `lines`, or a line that is no JSON object.
    """
    for where, line in lines(path):
        try:
            row = json.loads(line)
            if "\\ud" in line.lower():  # half of a surrogate pair is JSON, but no text: it can't be sent or written
                json.dumps(row, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise InvalidInputError(where, line, f"write one JSON object a line ({error})") from None
        if not isinstance(row, dict):
            raise InvalidInputError(where, line, "write one JSON object a line")
        yield where, row


def text_of(where: str, row: dict[str, Any], field: str) -> str:
    """The text in `field`.

    Raises:
        InvalidInputError: it is missing, blank or no string.
    """
    value = row.get(field)
    if not isinstance(value, str) or not value.strip():
        raise InvalidInputError(where, row, f'give "{field}" a text that isn\'t blank')
    return value
