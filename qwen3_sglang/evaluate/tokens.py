"""Texts of any script -> the tokens that BM25 counts.

* Scripts with spaces: words, in any case, with their accents; English stop words are left out.
* Identifiers: the whole and its parts, so that `maxLength`, `max_length` and "max length" meet.
* Scripts without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese and the like) and Korean, whose particles are
  written onto the words: ICU's words where icu4py is installed, and always pairs of neighbouring characters, which
  meet whatever the words' borders are. Lucene's CJKAnalyzer does the same.
"""

from __future__ import annotations

import itertools
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache, lru_cache

_LUCENES = (
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they this "
    "to was will with"
)
STOP_WORDS = frozenset([*_LUCENES.split(), "s", "t"])  # the letters are what an apostrophe leaves of "it's", "don't"
# Characters that alone say nothing, as English stop words; inside pairs they stay.
_PARTICLES = frozenset("的了是在和与有也就都而及之其这那不吗呢吧着過过什么麼何怎样嗎們们个個一")
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\u1780-\u17ff\u19e0-\u19ff"  # Thai, Lao, Burmese, Khmer
    "\u0f00-\u0fff\u1950-\u19df\u1a20-\u1aaf\uaa80-\uaadf\u1b00-\u1b7f\ua980-\ua9df"  # Tibetan, Tai, Balinese, Javanese
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3100-\u312f\u31a0-\u31bf"  # kana, Bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\u1100-\u11ff\u3130-\u318f\uac00-\ud7ff"  # Hangul
    "\ua000-\ua4cf"  # Yi
)
_HAN = re.compile("[\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7ff]")  # ICU has no dictionary for it
_JOINERS = {0x200B: None, 0x200C: None, 0x200D: None, 0xAD: None, 0x2060: None}  # they are written or left out at will
_ASCII = re.compile(r"\w+", re.ASCII)
_PARTS = re.compile(r"\d+|[^\d_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
Splitter = Callable[[str], list[str]]


def tokens(text: str) -> list[str]:
    """What BM25 counts of a text, in the text's order."""
    if text.isascii():  # most of most corpora, in a fifth of the time
        return [word for run in _ASCII.findall(text) for word in _words(run)]
    return list(_tokens(unicodedata.normalize("NFKC", text).translate(_JOINERS)))


def has_unspaced(text: str) -> bool:
    """Whether any of it is in a script whose words aren't set apart by spaces, or in Korean."""
    return _patterns()[1].search(text) is not None


def how() -> str:
    """How such scripts are cut, in words."""
    return "character pairs" if _icu() is None else "ICU's words and character pairs"


def _tokens(text: str) -> Iterator[str]:
    runs, unspaced = _patterns()
    for run in runs.findall(text):
        yield from _unspaced(run) if unspaced.match(run) else _words(run)


@lru_cache(maxsize=1 << 16)  # few words make most of a text
def _words(run: str) -> tuple[str, ...]:
    """The word, and of an identifier also its parts; no stop words."""
    whole = run.replace("_", "").casefold()
    parts = [part.casefold() for piece in _PARTS.findall(run) for part in _CAMEL.split(piece)]
    found = [whole, *parts] if len(parts) > 1 else [whole]
    return tuple(word for word in found if word and word not in STOP_WORDS)


def _unspaced(run: str) -> Iterator[str]:
    """Pairs of characters, a character being what it is with its marks; a single one where it stands alone."""
    characters = _characters(run)
    if len(characters) == 1:
        yield run
        return
    pairs = {"".join(pair) for pair in itertools.pairwise(characters)}
    yield from ("".join(pair) for pair in itertools.pairwise(characters))
    yield from (one for one in characters if _HAN.match(one) and one not in _PARTICLES)
    words = _icu()
    if words is not None:
        known = (word for word in words(run) if word not in pairs and not _HANGUL.match(word))
        yield from (word for word in known if len(_characters(word)) > 1)


def _characters(run: str) -> list[str]:
    found: list[str] = []
    for character in run:
        if found and unicodedata.category(character).startswith("M"):
            found[-1] += character
        else:
            found.append(character)
    return found


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Runs of one kind, and those of them that aren't words; `\\w` lacks the marks that many scripts need."""
    marks = "".join(_mark_ranges())
    spaced = rf"(?:(?![{_UNSPACED}])[\w{marks}])+"
    return re.compile(rf"{spaced}|(?:(?=[{_UNSPACED}])[\w{marks}])+"), re.compile(rf"(?=[{_UNSPACED}])[\w{marks}]")


def _mark_ranges() -> Iterator[str]:
    marks = (code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)).startswith("M"))
    for _, group in itertools.groupby(enumerate(marks), lambda pair: pair[1] - pair[0]):
        codes = [code for _, code in group]
        yield f"{chr(codes[0])}-{chr(codes[-1])}"


@cache
def _icu() -> Splitter | None:
    """ICU's dictionaries; None where icu4py isn't installed."""
    try:
        from icu4py.breakers import WordBreaker  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return lambda run: list(WordBreaker(run, "root"))
