"""Words: which tokens are forms of one word, and how much each word weighs in a corpus."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

ENDINGS = ("ings", "ing", "ed", "es", "s", "ly")
SHORTEST_STEM = 4
WHOLE_WORD = 6  # letters; a piece of a word that the corpus lacks weighs as its share of so many
LETTER = 0.3  # what a single letter or digit weighs of what its frequency says
STOP_WORDS = """
a about am an and any are as at be been but by can could did do does for from had has have he how i if in into is it
its me my no not of on or our she should so such than that the their them then there these they this those to us was
we were what when where which who whom whose why will with would yes you your
"""
STOP = frozenset(STOP_WORDS.split())
WEIGHTLESS = STOP.union(ENDINGS)  # the endings are tokens of their own
WORD = re.compile(r"[^\W_]+")


def word_of(token: str) -> str | None:
    """The word or piece of one that a token's text spells, in lower case; None where it spells none.

    One character in front that is no letter belongs to the token, not to the word, as in " light" or "(light"; a
    token that begins with an apostrophe is the end of a contraction.
    """
    if token.startswith("'"):
        return None
    word = (token if token[:1].isalnum() else token[1:]).lower()
    return word if WORD.fullmatch(word) else None


def stem(word: str) -> str:
    """The part that a word shares with its other forms: "library" has the one of "libraries"."""
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= SHORTEST_STEM:
            word = word[: -len(ending)]
            break
    if len(word) > SHORTEST_STEM and word.endswith("e"):
        word = word[:-1]
    if len(word) >= SHORTEST_STEM and word.endswith("y"):
        word = f"{word[:-1]}i"
    if len(word) >= SHORTEST_STEM and word[-1] == word[-2] and word[-1] not in "lsz":
        word = word[:-1]
    return word


def weights(words: Mapping[int, str], documents: Sequence[Iterable[int]]) -> dict[int, float]:
    """Token id -> its word's inverse document frequency (BM25's) over the highest there is.

    Stop words and endings have none.

    Args:
        words: the word of each token that spells one.
        documents: the token ids of each document of the corpus.
    """
    stems = {token: stem(word) for token, word in words.items()}
    found: Counter[str] = Counter()
    for document in documents:
        found.update({stems[token] for token in document if token in stems})
    most = _idf(0, len(documents))
    return {
        token: _weight(word, found[stems[token]], len(documents)) / most
        for token, word in words.items()
        if word not in WEIGHTLESS
    }


def _idf(frequency: int, documents: int) -> float:
    return math.log(1 + (documents - frequency + 0.5) / (frequency + 0.5))


def _weight(word: str, frequency: int, documents: int) -> float:
    if len(word) == 1 and word.isascii():
        return LETTER * _idf(frequency, documents)
    known = 1.0 if frequency else min(1.0, len(word) / WHOLE_WORD)
    return known * _idf(frequency, documents)
