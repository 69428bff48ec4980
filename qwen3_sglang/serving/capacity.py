"""How many GPUs a load needs, from what was measured; no I/O.

The rule: the time per document is a + b * (new tokens). New tokens are the document's, the template's suffix, and the
document's share of its query's head, which the server computes once per query and not once per document. a and b come
from the two measured lengths that are nearest, at PLANNED_CLIENTS clients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.serving.measured import DOCUMENTS, HEAD, RATES, SUFFIX, Rate, Way

MARGIN = 1 / 3
PLANNED_CLIENTS = 8  # the least that keeps a GPU busy, and every row of the table has it
STRETCH = 2.0  # how far beyond the longest measured document the line is still drawn
FEW_DOCUMENTS = 20  # per query: with fewer, each request's own cost counts, and none was measured


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of the servers.

    Attributes:
        qps: queries per second.
        documents: per query.
        tokens: per document, without template and query.
    """

    qps: float
    documents: int
    tokens: int

    @property
    def docs_per_second(self) -> float:
        """Documents per second of all queries."""
        return self.qps * self.documents

    @property
    def new_tokens(self) -> float:
        """Tokens computed per document."""
        return _new(self.tokens, self.documents)


@dataclass(frozen=True, slots=True)
class Need:
    """What one way of serving needs.

    Attributes:
        way: how SGLang serves.
        gpus: how many.
        docs_per_second: of one GPU, with such documents.
        share: of all GPUs' capacity that the load takes.
        rows: the measurements that say so.
        extrapolated: whether the documents are longer or shorter than any measured.
    """

    way: Way
    gpus: int
    docs_per_second: float
    share: float
    rows: Sequence[Rate]
    extrapolated: bool


def needs(load: Load, model: str, margin: float = MARGIN, rates: Sequence[Rate] = RATES) -> list[Need]:
    """What each measured way of serving `model` needs, the fewest GPUs first.

    Args:
        load: what is asked.
        model: its size, such as 0.6B.
        margin: the share of the capacity that stays free.
        rates: what was measured.

    Raises:
        InvalidInputError: an argument is unusable, or nothing was measured for it.
    """
    _check(load, margin)
    size = _model(model, rates)
    found = [need for way in Way if (need := _need(load, margin, _newest(size, way, rates))) is not None]
    if not found:
        longest = max(rate.tokens for rate in rates if rate.model == size)
        most = f"{longest} tokens are the longest documents measured, and tell up to {longest * STRETCH:.0f}"
        remedy = f"{most}; pass fewer, or measure a server of yours with benchmarks/throughput.py"
        raise InvalidInputError("tokens", load.tokens, remedy)
    return sorted(found, key=lambda need: (need.gpus, -need.docs_per_second))


_LINEAR = (
    "one server per GPU and linear scaling are meant: four 0.6B servers of one host reached 0.9 to 1 of that with "
    "multi-item scoring, 0.6 to 0.9 the ordinary way (docs/scaling.md)"
)


def notes(load: Load, found: Sequence[Need]) -> list[str]:
    """What limits the answer."""
    said = []
    if load.documents < FEW_DOCUMENTS:
        said.append(f"below {FEW_DOCUMENTS} documents per query nothing was measured: each request's own cost is added")
    missing = [way for way in Way if way not in {need.way for need in found}]
    said += [f"{way} serving wasn't measured with this model and such documents" for way in missing]
    if any(need.extrapolated for need in found):
        said.append("documents of that length weren't measured: the line through the measured ones was drawn on")
    if any(need.gpus > 1 for need in found):
        said.append(_LINEAR)
    return said


def _check(load: Load, margin: float) -> None:
    if not 0 < load.qps < math.inf:
        raise InvalidInputError("qps", load.qps, "pass queries per second, above 0")
    for name, value in (("documents", load.documents), ("tokens", load.tokens)):
        if value < 1:
            raise InvalidInputError(name, value, "pass 1 or more")
    if not 0 <= margin < 1:
        raise InvalidInputError("margin", margin, "pass the share that stays free, from 0 to below 1")


def _model(name: str, rates: Sequence[Rate]) -> str:
    """The measured size that a size or a checkpoint's name means."""
    sizes = list(dict.fromkeys(rate.model for rate in rates))
    for size in sizes:
        if name.lower() == size.lower() or name.lower().endswith(f"-{size.lower()}"):
            return size
    raise InvalidInputError("model", name, f"nothing is measured for it; pass {', '.join(sizes)}")


def _newest(model: str, way: Way, rates: Sequence[Rate]) -> list[Rate]:
    """The rows of the setup that was measured last, by length."""
    mine = [rate for rate in rates if (rate.model, rate.way, rate.clients) == (model, way, PLANNED_CLIENTS)]
    if not mine:
        return []
    setup = _setup(mine[-1])
    return sorted((rate for rate in mine if _setup(rate) == setup), key=lambda rate: rate.tokens)


def _setup(rate: Rate) -> tuple[str, ...]:
    return rate.card, rate.server, rate.attention, rate.setup


def _need(load: Load, margin: float, rows: Sequence[Rate]) -> Need | None:
    """None where nothing was measured that tells."""
    if len(rows) < 2 or load.tokens > STRETCH * rows[-1].tokens:  # noqa: PLR2004 - a line takes two points
        return None
    near = _nearest(load.tokens, rows)
    rate = 1 / _seconds(load.new_tokens, near)
    gpus = math.ceil(load.docs_per_second / (rate * (1 - margin)))
    extrapolated = not rows[0].tokens <= load.tokens <= rows[-1].tokens
    return Need(near[0].way, gpus, rate, load.docs_per_second / (gpus * rate), near, extrapolated)


def _nearest(tokens: int, rows: Sequence[Rate]) -> tuple[Rate, Rate]:
    """The two neighbouring rows between which the length lies, or that are nearest to it."""
    above = next((place for place, row in enumerate(rows) if row.tokens >= tokens), len(rows) - 1)
    place = max(above, 1)
    return rows[place - 1], rows[place]


def _seconds(new_tokens: float, rows: tuple[Rate, Rate]) -> float:
    """The time per document, on the line through two rows."""
    short, long = (_new(row.tokens, DOCUMENTS) for row in rows)
    at_short, at_long = (1 / row.docs_per_second for row in rows)
    per_token = (at_long - at_short) / (long - short)
    fixed = at_short - per_token * short
    # Noise in two rows can make the fixed part negative; then time is proportional to tokens.
    return fixed + per_token * new_tokens if fixed >= 0 else at_short * new_tokens / short


def _new(tokens: int, documents: int) -> float:
    return tokens + SUFFIX + HEAD / documents
