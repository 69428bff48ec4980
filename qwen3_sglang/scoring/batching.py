"""Documents -> the lists to send: each distinct document once, at most `batch_size` a list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")
_END: Callable[[str], str] = itemgetter(slice(-32, None))
Join = Callable[[Sequence[Sequence[T]]], Sequence[T]]


def flat(parts: Sequence[Sequence[T]]) -> list[T]:
    """What is in all parts, in order."""
    return [*chain.from_iterable(parts)]


class Batches(Struct, Generic[T], frozen=True):
    """What to send.

    Attributes:
        lists: the distinct documents whose answer isn't known.
        documents: all documents, as given.
        known: answers that needn't be asked for.
    """

    lists: Sequence[Sequence[str]]
    documents: Sequence[str]
    known: Mapping[str, T]

    def where(self, part: Sequence[str], place: int) -> list[int]:
        """The indices, in the list that was given, of the document at that place of one of `lists`."""
        return [index for index, document in enumerate(self.documents) if document == part[place]]

    def restore(self, answers: Sequence[Sequence[T]], join: Join[T] = flat) -> Sequence[T]:
        """One answer per document, in the order the documents were given; `join` puts those of all lists together."""
        if self._is_whole():
            return join(answers)
        found = dict(self.known)
        for sent, answer in zip(self.lists, answers, strict=True):
            found.update(zip(sent, answer, strict=True))
        return [found[document] for document in self.documents]

    def _is_whole(self) -> bool:
        """Whether the lists hold just the documents, in their order: the usual case."""
        if len(self.lists) == 1 and self.lists[0] is self.documents:
            return True
        return not self.known and flat(self.lists) == self.documents


def unknown(documents: Sequence[str], known: Mapping[str, T]) -> Sequence[str]:
    """Each document once, those that are known left out."""
    # All differ where their ends do, which are hashed much faster than the whole texts.
    differ = len(set(map(_END, documents))) == len(documents)
    distinct = documents if differ else [*dict.fromkeys(documents)]
    return [document for document in distinct if document not in known] if known else distinct


def split(documents: Sequence[str], batch_size: int, known: Mapping[str, T] | None = None) -> Batches[T]:
    """Lists of at most `batch_size`; a repeated document is sent once, a known one never."""
    known = known or {}
    distinct = unknown(documents, known)
    if 0 < len(distinct) <= batch_size:  # the usual case: as they are
        return Batches([distinct], documents, known)
    lists = [distinct[start : start + batch_size] for start in range(0, len(distinct), batch_size)]
    return Batches(lists, documents, known)
