"""What a list under `relevant` means: labels, one per document, or the indices of the relevant ones, or their ids.

One row alone often can't tell: [1, 0] are the labels of two documents, or the indices of both. So every row says
which readings it allows, and the file as a whole decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.evaluate.documents import Given
from qwen3_sglang.evaluate.grades import grade_of

READINGS = ("ids", "indices", "labels")  # the first that a file allows; "ids" only where its documents have ids
_DIGITS = 10  # of an index at most: int() takes no more than thousands
Grades = list[int]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A row's list, not yet understood.

    Attributes:
        where: file and line.
        name: the key that it stands under.
        values: the list.
        documents: the row's.
    """

    where: str
    name: str
    values: list[object]
    documents: Sequence[Given]

    def grades(self, reading: str) -> Grades:
        """A grade per document.

        Raises:
            InvalidInputError: the list has no such meaning.
        """
        return {"indices": self._by_index, "labels": self._by_label, "ids": self._by_id}[reading]()

    def readings(self) -> dict[str, Grades]:
        """What the list may mean, and the grades that this gives."""
        found = {}
        for reading in READINGS:
            try:
                found[reading] = self.grades(reading)
            except InvalidInputError:
                continue
        return found

    def _by_label(self) -> Grades:
        if len(self.values) != len(self.documents):
            remedy = f"found {len(self.values)} labels for {len(self.documents)} documents: give each document one"
            raise InvalidInputError(f"{self.where}, {self.name}", self.values, remedy)
        return [grade_of(f"{self.where}, {self.name}[{n}]", value) for n, value in enumerate(self.values)]

    def _by_index(self) -> Grades:
        return self._marked(lambda value: index_of(f"{self.where}, {self.name}", value, len(self.documents)))

    def _by_id(self) -> Grades:
        places = {document.id: place for place, document in enumerate(self.documents) if document.id is not None}

        if not places:
            raise InvalidInputError(f"{self.where}, {self.name}", self.values, "the documents of this row have no ids")

        def place(value: object) -> int:
            name = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else None
            if name is None or name not in places:
                raise InvalidInputError(f"{self.where}, {self.name}", value, "no document of this row has this id")
            return places[name]

        return self._marked(place)

    def _marked(self, place: Callable[[object], int]) -> Grades:
        grades = [0] * len(self.documents)
        for value in self.values:
            index = place(value)
            if grades[index]:
                raise InvalidInputError(f"{self.where}, {self.name}", value, "this document is named twice")
            grades[index] = 1
        return grades


def index_of(where: str, value: object, count: int) -> int:
    """A place among `count` documents, from 0.

    Raises:
        InvalidInputError: it is none.
    """
    if not is_index(value, count):
        raise InvalidInputError(where, value, f"pass an index from 0 to {count - 1}, or a label for each document")
    return int(value)  # type: ignore[call-overload, no-any-return]


def is_index(value: object, count: int) -> bool:
    """Whether this is a place among `count` documents: an integer, or its digits, since JSON has no other keys."""
    if isinstance(value, str):
        return value.isascii() and value.isdigit() and len(value) < _DIGITS and int(value) < count
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < count


def decide(judgements: Sequence[Judgement], wanted: str | None) -> list[Grades]:
    """The grades of every row, by the one reading that all rows allow.

    Args:
        judgements: the lists of the file.
        wanted: the reading that the user named; None: whatever the file allows.

    Raises:
        InvalidInputError: a row allows none, two rows contradict each other, or the file allows two readings that
            differ; the message says which lines, and asks for `--relevant`.
    """
    if wanted is not None:
        return [one.grades(wanted) for one in judgements]
    allowed = [one.readings() for one in judgements]
    left = [name for name in READINGS if all(name in readings for readings in allowed)]
    if not left:
        raise _contradiction(judgements, allowed)
    for judgement, readings in zip(judgements, allowed, strict=True):
        if any(readings[name] != readings[left[0]] for name in left):
            said = " or ".join(left)
            remedy = f"this may be {said}, and no line of the file tells which: pass --relevant {said}"
            raise InvalidInputError(f"{judgement.where}, {judgement.name}", judgement.values, remedy)
    return [readings[left[0]] for readings in allowed]


def _contradiction(judgements: Sequence[Judgement], allowed: Sequence[dict[str, Grades]]) -> InvalidInputError:
    """Which line allows no reading at all, or which two exclude each other's."""
    for judgement, readings in zip(judgements, allowed, strict=True):
        if not readings:
            return _unreadable(judgement)
    first = judgements[0]
    for judgement, readings in zip(judgements, allowed, strict=True):
        if not set(readings) & set(allowed[0]):
            theirs, ours = " or ".join(allowed[0]), " or ".join(readings)
            remedy = f"these are {ours}, but {first.where} has {theirs}: write one kind in a file, or pass --relevant"
            return InvalidInputError(f"{judgement.where}, {judgement.name}", judgement.values, remedy)
    kinds = ", ".join(sorted({name for readings in allowed for name in readings}))
    remedy = f"the file's lines allow no common reading ({kinds}): write one kind in a file"
    return InvalidInputError(f"{first.where}, {first.name}", first.values, remedy)


def _unreadable(judgement: Judgement) -> InvalidInputError:
    """Why the list is neither; its length says what was meant."""
    try:
        judgement.grades("labels" if len(judgement.values) == len(judgement.documents) else "indices")
    except InvalidInputError as error:
        return error
    raise AssertionError(judgement)  # whoever calls this has seen both fail
