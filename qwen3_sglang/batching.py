"""Documents -> the lists to send: each distinct document once, at most `batch_size` a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Batches:
    """What to send, and for every document given, which of the distinct ones it is."""

    lists: list[list[str]]
    places: list[int]

    def restore(self, answers: Sequence[Sequence[T]]) -> list[T]:
        """One answer a document, in the order the documents were given."""
        flat = [answer for part in answers for answer in part]
        return [flat[place] for place in self.places]


def split(documents: Sequence[str], batch_size: int) -> Batches:
    """Lists of at most `batch_size`; a document that occurs twice is sent once."""
    seen: dict[str, int] = {}
    places = [seen.setdefault(document, len(seen)) for document in documents]
    distinct = list(seen)
    lists = [distinct[start : start + batch_size] for start in range(0, len(distinct), batch_size)]
    return Batches(lists, places)
