"""Checks of the texts that callers pass, and how they are read.

A wrong type is a programmer's mistake, and is refused. The content of a string is data that comes at run time: a lone
surrogate, which UTF-8 can't hold, is read as U+FFFD.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache

from qwen3_sglang.errors import InvalidInputError, QueryError
from qwen3_sglang.prompts.records import TEXT_FIELDS, text_field

SLICE = 2**16  # characters that are worked on in one go: more would keep other threads waiting for too long
NFC_GROWTH = 3  # NFC makes UTF-8 at most 3 times longer, or shorter (UAX #15, "Maximum Expansion Factors")
# A string subclass as the string that it is: an enum or Jinja's Markup turns into other text where it is put together.
plain: Callable[[str], str] = str.__str__

BETWEEN = "\x7f"  # one byte, which JSON leaves as it is
TOGETHER = 2**18  # characters: shorter texts are looked at as one, which is done in a fraction of the time
_BLANK = 2**20  # characters: more than any prompt has, so that a text which starts with as many is blank
_SURROGATE = re.compile("[\ud800-\udfff]")
# Every combining mark, and some symbols that do no harm here. Texts have a few in a row, UAX #15 allows 30.
_MARK = r"[^\w\s\x00-\u02ff\u2000-\u20cf\u2100-\u2bff\u3000-\u3029\u3030-\u303f\ufe30-\uffff\U0001f000-\U0001ffff]"
_LONG_RUN = re.compile(_MARK + "{32,}")
_LAST_COMPOSED = 0x20000  # the planes behind have ideographs alone
_RANKS = 256  # canonical combining classes lie below
# Most characters that no character before them composes with: each side of one can be normalised alone.
_ALONE = re.compile("[\x00-\u02ff\u0400-\u0482\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff\uac00-\ud7a3]")


def check_text(field: str, value: object) -> None:
    """Refuse a value that is no string, or only white space.

    Raises:
        InvalidInputError: names `field`; a QueryError where a query is blank.
    """
    if not isinstance(value, str):
        raise InvalidInputError(field, value, "pass a string")
    if value[:_BLANK].isspace() or not value:
        kind = QueryError if field == "query" else InvalidInputError
        raise kind(field, value, "pass a text that isn't blank")


def check_encodable(field: str, value: str) -> None:
    """Refuse a name that UTF-8 can't hold.

    Raises:
        InvalidInputError: names `field`.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(field, value, "pass a name without lone surrogates") from None


def check_documents(documents: object) -> bool:
    """Refuse one string (it would be read letter by letter) and any item that isn't a string.

    Returns whether all items are just that, none of a subclass.

    Raises:
        InvalidInputError: names `documents`, or the item.
    """
    if isinstance(documents, (str, bytes)) or not isinstance(documents, Sequence):
        several = isinstance(documents, Iterable) and not isinstance(documents, (str, bytes, Mapping))
        more = ": list(documents)" if several else ""
        raise InvalidInputError("documents", documents, f"pass a list of strings{more}")
    if set(map(type, documents)) <= {str}:  # the usual case, in a third of the time
        return True
    for index, document in enumerate(documents):
        if not isinstance(document, str):
            raise InvalidInputError(f"documents[{index}]", document, f"pass a string{_where_its_text_is(document)}")
    return False


def _where_its_text_is(document: object) -> str:
    """How to get at the text of other libraries' documents."""
    if isinstance(document, Mapping):
        field = text_field(document)
        return "" if field is None else f': document["{field}"]'
    if callable(getattr(document, "get_content", None)):  # LlamaIndex's nodes
        return ": document.get_content()"
    return next((f": document.{name}" for name in TEXT_FIELDS if isinstance(getattr(document, name, None), str)), "")


def readable(text: str, most: int) -> str:
    """The first `most` characters of `text`, with U+FFFD in place of each lone surrogate.

    The length comes first, so that nothing walks through the rest of a huge text.
    """
    text = plain(text)[:most]
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join(_SURROGATE.sub("\ufffd", text[start : start + SLICE]) for start in range(0, len(text), SLICE))
    return text


class Together(list[str]):
    """Plain strings that were looked at as one, where `readable` changes none of them.

    Attributes:
        whole: all of them, with `BETWEEN` between each two.
        longest: characters of the longest.
    """

    __slots__ = ("longest", "whole")

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__(texts)
        # Of what is in the list, which is read once: another thread may write to `texts`.
        self.whole = BETWEEN.join(self)
        self.longest = max(map(len, self), default=0)


def as_one(texts: Sequence[str], most: int) -> Together | None:
    """Plain strings looked at as one; None where each has to be looked at."""
    if sum(map(len, texts)) > min(most, TOGETHER):
        return None
    together = Together(texts)
    try:
        return together if together.whole.isascii() or together.whole.encode() else None
    except UnicodeEncodeError:
        return None


def all_readable(texts: Sequence[str], most: int) -> list[str]:
    """`readable` of each text."""
    if set(map(type, texts)) <= {str} and short_ascii(texts, most):
        return list(texts)
    return [readable(text, most) for text in texts]


def short_ascii(texts: Sequence[str], most: int) -> bool:
    """Whether all are ASCII, of `most` characters at most: the usual case, told in a fraction of the time of a loop."""
    if isinstance(texts, Together):
        return texts.longest <= most and texts.whole.isascii()
    return all(map(str.isascii, texts)) and max(map(len, texts), default=0) <= most


def bytes_in_nfc(text: str, enough: int) -> int:
    """Bytes of UTF-8 that `text` has in NFC, or more, in linear time.

    Exact unless there are more than `enough`, or a run of combining marks is longer than any in real text.
    """
    if text.isascii():
        return len(text)
    size = len(text.encode())
    if size > NFC_GROWTH * enough:
        return size
    if _LONG_RUN.search(text):
        return NFC_GROWTH * size
    return len(unicodedata.normalize("NFC", text).encode())


def nfc(text: str, length: int) -> str:
    """The start of `text` in NFC, of `length` characters at least where there are so many, in linear time.

    unicodedata.normalize takes quadratic time for a run of combining marks that isn't in canonical order.
    """
    made: list[str] = []
    for piece in _pieces(text):
        made.append(unicodedata.normalize("NFC", _LONG_RUN.sub(_in_order, piece)))
        length -= len(made[-1])
        if length <= 0:
            break
    return "".join(made)


def source_length(text: str, length: int) -> int:
    """Characters of `text` whose NFC has at most `length` characters: as many as there are."""
    if text.isascii():
        return min(length, len(text))
    enough = length + 1  # to see that there are more
    return bisect_right(range(1, len(text) + 1), length, key=lambda size: len(nfc(text[:size], enough)))


def _pieces(text: str) -> Iterator[str]:
    """`text` in parts that can be normalised alone, of little more than SLICE characters wherever that is possible."""
    start = 0
    while start < len(text):
        found = None
        if len(text) - start > SLICE:
            found = _ALONE.search(text, start + SLICE, start + 2 * SLICE) or _all_alone().search(text, start + SLICE)
        end = found.start() if found else len(text)
        yield text[start:end]
        start = end


@cache
def _all_alone() -> re.Pattern[str]:
    """Every character that nothing before it composes with, or is sorted behind; about 50 ms to find them, once."""
    composed = (unicodedata.decomposition(chr(code)) for code in range(_LAST_COMPOSED))
    seconds = {chr(int(pair.split()[1], 16)) for pair in composed if " " in pair and "<" not in pair}
    seconds.update(map(chr, (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))))  # Hangul's are computed

    def joins(character: str) -> bool:
        first = unicodedata.normalize("NFD", character)[0]
        return bool(unicodedata.combining(first)) or first in seconds

    return re.compile(f"[^{''.join(filter(joins, map(chr, range(0x300, _LAST_COMPOSED))))}]")


def _in_order(run: re.Match[str]) -> str:
    """Decomposed, and the marks after each starter in the order of their classes, as the first steps of NFC do it."""
    apart = {one: unicodedata.normalize("NFD", one) for one in set(run[0])}
    decomposed = "".join([apart[one] for one in run[0]])
    ordered: dict[int, list[str]] = {}
    starters = 0
    for character in decomposed:
        rank = unicodedata.combining(character)
        starters += rank == 0
        ordered.setdefault(starters * _RANKS + rank, []).append(character)
    return "".join(character for key in sorted(ordered) for character in ordered[key])
