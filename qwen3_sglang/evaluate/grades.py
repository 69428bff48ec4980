"""Grades of relevance: whole numbers of a size that metrics can take."""

from __future__ import annotations

import math
import re

from qwen3_sglang.errors import InvalidInputError

HIGHEST = 1000  # trec_eval counts documents by grade in an array as long as the highest grade
_WRITTEN = re.compile(r"([+-]?\d{1,300})(\.0*)?", re.ASCII)


def grade_of(where: str, value: object, least: int = 0) -> int:
    """The grade that `value` says: an integer, a float without decimals, true, false, or one of these as text.

    Args:
        where: file, line and which judgement, for the message.
        value: what the file says.
        least: the lowest that is allowed; TREC marks spam by grades below 0.

    Raises:
        InvalidInputError: anything else, numbers that aren't finite and huge ones included.
    """
    grade = as_grade(value)
    if grade is None:
        remedy = "write a whole number as grade: 0 for not relevant, 1 for relevant, or levels such as 0 to 3"
        raise InvalidInputError(where, value, remedy)
    if grade < least:
        raise InvalidInputError(where, value, f"pass a whole number of at least {least}; 0 means not relevant")
    if grade > HIGHEST:
        raise InvalidInputError(where, value, f"pass a grade of at most {HIGHEST:,}, such as levels from 0 to 3")
    return grade


def as_grade(value: object) -> int | None:
    """`value` as a whole number of any size; None where it is none."""
    if isinstance(value, int):  # True and False are 1 and 0
        return int(value)
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and value == int(value) else None
    written = _WRITTEN.fullmatch(value.strip()) if isinstance(value, str) else None
    return int(written[1]) if written else None
