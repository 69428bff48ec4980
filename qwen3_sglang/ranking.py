"""Scores -> results: order, `top_n`, `min_score`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, starmap
from operator import itemgetter
from typing import Any, NamedTuple, overload

from qwen3_sglang.errors import InvalidInputError, QueryError, Qwen3SGLangError, ServerError

_SECOND = itemgetter(1)


class Chunk(NamedTuple):
    """The best chunk of a long document, with `long_documents="chunks"`.

    Attributes:
        start: its first character's index in the document.
        end: the index behind its last character: `document[start:end]` is the chunk.
        scored: how many chunks of the document were scored.
    """

    start: int
    end: int
    scored: int


class Score(NamedTuple):
    """What the model says of one document.

    Attributes:
        p_yes: P(yes), in [0, 1].
        logit: log(P(yes) / P(no)); still tells two documents apart when P(yes) is 1.0 in float32.
        truncated: the model didn't read the document's end, which didn't fit.
        chunk: the chunk that has this score; None where the document wasn't divided.
    """

    p_yes: float
    logit: float
    truncated: bool = False
    chunk: Chunk | None = None


class Scores(Sequence[Score]):
    """Scores of documents that were read whole, kept as they came: a Score of each is made where one is asked for.

    Attributes:
        pairs: P(no) and P(yes) of each.
    """

    def __init__(self, pairs: list[tuple[float, float]]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    @overload
    def __getitem__(self, place: int) -> Score: ...
    @overload
    def __getitem__(self, place: slice) -> Scores: ...
    def __getitem__(self, place: int | slice) -> Score | Scores:
        return Scores(self.pairs[place]) if isinstance(place, slice) else score_of(*self.pairs[place])

    def __iter__(self) -> Iterator[Score]:
        return starmap(score_of, self.pairs)

    def p_yes(self) -> list[float]:
        """The probabilities alone."""
        return [*map(_SECOND, self.pairs)]

    def logits(self) -> list[float]:
        """The logits alone."""
        try:
            return [math.log(p_yes) - math.log(p_no) for p_no, p_yes in self.pairs]
        except ValueError:  # an exact 0
            return [score.logit for score in self]


@dataclass(slots=True)  # not frozen: that would make a ranking three times as slow, and each is the caller's own
class RerankResult:
    """One document's place in the ranking.

    Attributes:
        index: the document's index in the list that was passed in.
        score: P(yes), in [0, 1].
        logit: log(P(yes) / P(no)), what the order is made by.
        truncated: the model didn't read the document's end: it didn't fit into `max_length`, or into `max_chunks`
            chunks of that length.
        error: why there is no score, with `on_error="passthrough"`: `score` and `logit` are NaN then. None where
            there is one.
        chunk: the best chunk of a long document, whose score this is; None where the document wasn't divided.
    """

    index: int
    score: float
    logit: float
    truncated: bool = False
    error: str | None = None
    chunk: Chunk | None = None

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        """Take a pickle of a version before `chunk`, too."""
        for name, value in {"chunk": None, **state[1]}.items():
            setattr(self, name, value)


_MANY = 10_000  # documents: the memory of fewer doesn't matter

Failure = ServerError | QueryError
Outcome = Score | Failure  # or why there is no score


def p_yes(outcomes: Sequence[Outcome]) -> list[float]:
    """The probabilities alone, of outcomes that are all scores."""
    if isinstance(outcomes, Scores):
        return outcomes.p_yes()
    return [outcome.p_yes for outcome in outcomes if isinstance(outcome, Score)]


def joined(parts: Sequence[Sequence[Outcome]]) -> Sequence[Outcome]:
    """The outcomes of all parts, in order."""
    if len(parts) == 1:
        return parts[0]
    whole = [part.pairs for part in parts if isinstance(part, Scores)]
    if len(whole) == len(parts):
        return Scores([*chain.from_iterable(whole)])
    return [*chain.from_iterable(parts)]


def score_of(p_no: float, p_yes: float) -> Score:
    """Score from the two probabilities; an exact 0 gives an infinite logit, which still sorts."""
    if p_no == 0:
        return Score(p_yes, math.inf)
    if p_yes == 0:
        return Score(p_yes, -math.inf)
    return Score(p_yes, math.log(p_yes) - math.log(p_no))


def best_chunk(spans: Sequence[tuple[int, int]], outcomes: Sequence[Outcome], *, whole: bool) -> Outcome:
    """A document's outcome by those of its chunks: the best score, the first of equals; or why a chunk has none.

    Args:
        spans: start and end of each chunk.
        outcomes: one per chunk.
        whole: the chunks cover the document.
    """
    scores = [one for one in outcomes if isinstance(one, Score)]
    if len(scores) < len(outcomes):
        return next(one for one in outcomes if not isinstance(one, Score))
    if len(scores) == 1 and whole:
        return scores[0]
    place = max(range(len(scores)), key=[one.logit for one in scores].__getitem__)
    return scores[place]._replace(truncated=not whole, chunk=Chunk(*spans[place], len(scores)))


def moved(outcome: Outcome, offsets: Callable[[Sequence[int]], Sequence[int]]) -> Outcome:
    """The same, its chunk's start and end as `offsets` maps them."""
    if not isinstance(outcome, Score) or outcome.chunk is None:
        return outcome
    start, end = offsets(outcome.chunk[:2])
    return outcome._replace(chunk=Chunk(start, end, outcome.chunk.scored))


def chunk_within(chunk: Chunk, read: str, own: str) -> Chunk:
    """A chunk of what the model read as one of `own`, the text in it that the caller knows.

    Where `read` doesn't hold that text, the chunk stays a place in `read`. Where it holds it twice, as metadata may
    repeat it, the place counts that shares more with the chunk. A chunk of metadata alone is empty.
    """
    text = own.strip()
    places = (read.rfind(text), read.find(text))
    found = max(places, key=lambda place: min(chunk.end, place + len(text)) - max(chunk.start, place))
    if found < 0:
        return chunk
    before = found - (len(own) - len(own.lstrip()))
    start, end = (min(max(0, place - before), len(own)) for place in chunk[:2])
    return Chunk(start, end, chunk.scored)


def rank(outcomes: Sequence[Outcome], top_n: int | None = None, min_score: float | None = None) -> list[RerankResult]:
    """Best first by logit, ties in the order given; below `min_score` dropped, then cut to `top_n`.

    What has no score comes last, in the order given; `min_score` says nothing about it.
    """
    if isinstance(outcomes, Scores):
        return _ranked_whole(outcomes.p_yes(), outcomes.logits(), top_n, min_score)
    return _ranked(outcomes, outcomes.__getitem__, top_n, min_score)


def rank_own(
    outcomes: Sequence[Outcome], top_n: int | None = None, min_score: float | None = None
) -> list[RerankResult]:
    """`rank` of outcomes that nobody needs any more: scores are let go before, or as, their results are made."""
    if len(outcomes) < _MANY:
        return rank(outcomes, top_n, min_score)
    if isinstance(outcomes, Scores):
        p_yes, logits = outcomes.p_yes(), outcomes.logits()
        outcomes.pairs.clear()
        return _ranked_whole(p_yes, logits, top_n, min_score)

    def take(place: int) -> Outcome | None:
        one, kept[place] = kept[place], None
        return one

    kept: list[Outcome | None] = list(outcomes)
    if isinstance(outcomes, list):
        outcomes.clear()
    return _ranked(kept, take, top_n, min_score)


def _ranked_whole(
    p_yes: list[float], logits: list[float], top_n: int | None, min_score: float | None
) -> list[RerankResult]:
    """`rank` where every document was read whole and has its score."""
    order = sorted(range(len(logits)), key=logits.__getitem__, reverse=True)  # which leaves ties as they are
    if min_score is not None:
        order = [index for index in order if p_yes[index] >= min_score]
    return [RerankResult(index, p_yes[index], logits[index]) for index in order[:top_n]]


def _ranked(
    outcomes: Sequence[Outcome | None], take: Callable[[int], Any], top_n: int | None, min_score: float | None
) -> list[RerankResult]:
    order = _by_logit(outcomes)
    scores: Sequence[Any] = outcomes  # at the places in `order` they are
    without: list[RerankResult] = []
    if set(map(type, outcomes)) - {Score}:
        without = [unscored(i, error) for i, error in enumerate(outcomes) if isinstance(error, Qwen3SGLangError)]
    if min_score is not None:
        order = [index for index in order if scores[index].p_yes >= min_score]
    if top_n is not None:
        del order[top_n:]
    ranked = [
        RerankResult(index, p, logit, cut, None, chunk) for index in order for p, logit, cut, chunk in [take(index)]
    ]
    return (ranked + without)[:top_n] if without else ranked


def _by_logit(outcomes: Sequence[Outcome | None]) -> list[int]:
    """Places of those that are scores."""
    logits = [one.logit if isinstance(one, Score) else math.nan for one in outcomes]
    order = [index for index, one in enumerate(outcomes) if isinstance(one, Score)]
    order.sort(key=logits.__getitem__, reverse=True)  # which leaves ties as they are
    return order


def unscored(index: int, error: Qwen3SGLangError) -> RerankResult:
    """The result of a document that has no score, and why."""
    return RerankResult(index, math.nan, math.nan, error=str(error))


def check_limits(top_n: object, min_score: object) -> None:
    """Refuse limits that no ranking can meet.

    Raises:
        InvalidInputError: `top_n` isn't an integer of at least 1, or `min_score` isn't in [0, 1].
    """
    if top_n is not None and (isinstance(top_n, bool) or not isinstance(top_n, int) or top_n < 1):
        raise InvalidInputError("top_n", top_n, "pass an integer of at least 1, or None to keep all")
    if min_score is None:
        return
    number = isinstance(min_score, (int, float)) and not isinstance(min_score, bool)
    if not number or not 0 <= min_score <= 1:  # type: ignore[operator]
        raise InvalidInputError("min_score", min_score, "pass a P(yes) between 0 and 1, or None to keep all")
