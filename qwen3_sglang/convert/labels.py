"""Which label of a classifier means yes: what its config says, and what its weights say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from qwen3_sglang.names import LABELS

# Compared without case, spaces and punctuation. Numbers count only where they stand the wrong way round.
YES_WORDS = {"yes", "y", "true", "t", "relevant", "positive", "pos", "match", "是", "相关"}
NO_WORDS = {
    *{"no", "n", "false", "f", "irrelevant", "notrelevant", "nonrelevant", "unrelated", "negative", "neg"},
    *{"nomatch", "否", "不是", "不相关", "无关"},
}
ALIKE = 0.5  # cosine; the rows that converters write have 1 or -1, a head that was trained anew is anywhere


def label_names(config: Mapping[str, Any]) -> list[str]:
    """The labels that transformers, and SGLang with it, reads from a config; `num_labels` wins over `id2label`."""
    given, count = config.get("id2label"), config.get("num_labels")
    if given is not None and not isinstance(given, dict):
        return []
    if given is not None and (count is None or count == len(given)):
        return [str(given.get(str(number), f"LABEL_{number}")) for number in range(len(given))]
    known = type(count) is int and 0 <= count <= len(LABELS) + 1
    return [f"LABEL_{number}" for number in range(count if known else len(LABELS))]  # type: ignore[arg-type]


def said_yes(config: Mapping[str, Any], labels: int) -> int | None:
    """Which of `labels` labels the names in a config call yes; None where they don't say.

    `id2label` counts; `label2id` where that says nothing.
    """
    names = label_names(config)
    told = _yes(names) if len(names) == labels else None
    return _yes(_from_label2id(config, labels)) if told is None else told


def says_no(config: Mapping[str, Any]) -> bool:
    """Whether the name of the first label is a word for no."""
    return _plain((label_names(config) or [""])[0]) in NO_WORDS


def _from_label2id(config: Mapping[str, Any], labels: int) -> list[str]:
    given = config.get("label2id")
    pairs = given.items() if isinstance(given, dict) else ()
    by_number = {number: str(name) for name, number in pairs if type(number) is int}
    return [by_number.get(number, "") for number in range(labels)]


def _yes(names: Sequence[str]) -> int | None:
    words = [_plain(name) for name in names]
    signs = [(word in YES_WORDS) - (word in NO_WORDS) for word in words]
    if len(words) == len(LABELS) and words == ["1", "0"]:
        return 0
    if len(set(signs)) == 1:  # both are words for yes, both for no, or neither is known
        return 0 if signs == [1] else None
    return signs.index(max(signs))


def _plain(name: str) -> str:
    word = "".join(letter for letter in name.casefold() if letter.isalnum())
    return word.removeprefix("label") or word


def minus(one: Sequence[float], other: Sequence[float]) -> list[float]:
    """one - other."""
    return [a - b for a, b in zip(one, other, strict=True)]


def dot(one: Sequence[float], other: Sequence[float]) -> float:
    """The scalar product."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def cosine(one: Sequence[float], other: Sequence[float] | None) -> float | None:
    """Cosine of the angle between two rows; None where one is missing, zero, not finite, or of another length."""
    if other is None or len(one) != len(other):
        return None
    lengths = math.hypot(*one) * math.hypot(*other)
    return dot(one, other) / lengths if lengths and math.isfinite(lengths) else None
