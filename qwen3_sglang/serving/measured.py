"""What GPUs have been measured to score: the one table that docs/scaling.md and `qwen3-sglang plan` are made from.

To add a measurement, add a `Rate` to RATES, after older ones of the same model and way, and run
`python tests/write_measured.py`, which writes the table in docs/scaling.md. A card, a server or a way that is new
needs nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

HEAD = 73  # tokens of the template, the default instruction and a query of eight words
SUFFIX = 9  # tokens of the template after the document
DOCUMENT_TOKENS = {60: 76, 250: 316}  # of the measured documents, by their words; mean of 500, Qwen3's tokenizer
DOCUMENTS = 100  # per query, where a row's setup says nothing else


class Way(StrEnum):
    """How SGLang serves."""

    ordinary = "ordinary"
    multi_item = "multi-item"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Documents per second of one GPU.

    Attributes:
        model: size of the checkpoint's shape, such as 0.6B; the weights may be random, speed doesn't depend on them.
        card: the GPU, as NVIDIA calls it.
        server: the server's name and version.
        way: how it serves.
        attention: which kernels compute the attention.
        words: per document, which DOCUMENT_TOKENS gives in tokens.
        clients: how many asked at the same time.
        docs_per_second: of all clients together.
        setup: what else differs from `qwen3-sglang serve`; "" for nothing.
    """

    model: str
    card: str
    server: str
    way: Way
    attention: str
    words: int
    clients: int
    docs_per_second: float
    setup: str = ""

    @property
    def tokens(self) -> int:
        """Per document, without template and query."""
        return DOCUMENT_TOKENS[self.words]


_H100, _H200 = "H100 80GB HBM3", "H200"
_GRAPHS_OFF = "prefill CUDA graphs off"
_FREEZE = "after /freeze_gc"
_FEWER = "at 250 words 50 documents per query"
_FEWEST = f"{_FEWER}, with 32 clients half as many"


def _rows(base: Rate, *measured: tuple[int, int, float]) -> list[Rate]:
    """The same setup with other (words, clients, documents per second)."""
    return [
        replace(base, words=words, clients=clients, docs_per_second=docs_per_second)
        for words, clients, docs_per_second in measured
    ]


_ORDINARY = Rate(
    model="0.6B",
    card=_H100,
    server="SGLang 0.5.16",
    way=Way.ordinary,
    attention="Triton",
    words=60,
    clients=1,
    docs_per_second=0,
    setup=_FREEZE,
)
_4B = replace(_ORDINARY, model="4B")
_4B_ITEMS = replace(_4B, way=Way.multi_item, attention="FlashInfer")
_H200_ORDINARY = replace(_ORDINARY, card=_H200, attention="FlashAttention 3")
_H200_ITEMS = replace(_H200_ORDINARY, way=Way.multi_item, attention="FlashInfer", setup="by `ascore` with tokenizer=")
_8B = replace(_H200_ORDINARY, model="8B")
_HALF = "50 documents per query, with 32 clients half as many"
# The last rows of a model and a way are those that are planned with.
RATES = [
    *_rows(_H200_ORDINARY, (60, 1, 1669), (60, 8, 3472), (60, 32, 3280), (250, 8, 1334)),
    *_rows(
        replace(_H200_ORDINARY, setup=f"{_FREEZE}, {_GRAPHS_OFF}"),
        *((60, 1, 1347), (60, 8, 2796), (60, 32, 2682), (250, 1, 940), (250, 8, 1323)),
    ),
    *_rows(_H200_ITEMS, (60, 1, 2013), (60, 8, 4415), (60, 32, 4328), (250, 1, 817), (250, 8, 1141)),
    *_rows(_ORDINARY, (60, 1, 1215), (60, 8, 2300), (60, 32, 2825), (250, 1, 834), (250, 8, 1095), (250, 32, 1100)),
    *_rows(
        replace(_ORDINARY, attention="FlashAttention 3", setup=f"{_FREEZE}, {_GRAPHS_OFF}"),
        *((60, 1, 1134), (60, 8, 2311), (60, 32, 2198), (250, 8, 1048)),
    ),
    *_rows(
        replace(_ORDINARY, way=Way.multi_item, attention="FlashInfer", setup="lists of 100, token ids"),
        *((60, 1, 2177), (60, 8, 4341), (60, 16, 4413), (250, 8, 1129)),
    ),
    *_rows(
        replace(_ORDINARY, way=Way.multi_item, attention="FlashInfer", setup="by `ascore` with tokenizer="),
        *((60, 1, 1937), (60, 8, 4290), (60, 32, 4307), (250, 1, 821), (250, 8, 1094)),
    ),
    *_rows(
        replace(_H200_ORDINARY, model="4B", setup=f"{_FREEZE}, {_GRAPHS_OFF}, {_HALF}"),
        *((60, 8, 751), (60, 32, 744), (250, 8, 224)),
    ),
    *_rows(
        replace(_H200_ITEMS, model="4B", setup=f"token ids made beforehand, {_HALF}"),
        *((60, 8, 812), (60, 32, 796), (250, 8, 221)),
    ),
    *_rows(replace(_ORDINARY, model="4B", setup=_GRAPHS_OFF), (60, 8, 719), (250, 8, 211)),
    *_rows(
        replace(_4B, attention="FlashAttention 3", setup=f"{_FREEZE}, {_GRAPHS_OFF}, {_FEWER}"),
        *((60, 8, 748), (60, 32, 769), (250, 8, 221), (250, 32, 224)),
    ),
    *_rows(
        replace(_4B_ITEMS, setup=f"token ids made beforehand, {_FEWER}"),
        *((60, 1, 773), (60, 8, 830), (60, 32, 827), (250, 8, 218), (250, 32, 217)),
    ),
    *_rows(
        replace(_8B, setup=f"{_FREEZE}, {_GRAPHS_OFF}, {_FEWEST}"),
        (60, 8, 417),
        (60, 32, 427),
        (250, 8, 126),
        (250, 32, 126),
    ),
    *_rows(
        replace(_8B, way=Way.multi_item, attention="FlashInfer", setup=f"token ids made beforehand, {_FEWEST}"),
        (60, 8, 494),
        (60, 32, 488),
        (250, 8, 128),
        (250, 32, 128),
    ),
    *_rows(
        replace(_8B, card=_H100, setup=f"{_FREEZE}, {_GRAPHS_OFF}, {_HALF}"),
        *((60, 8, 409), (60, 32, 419), (250, 8, 126), (250, 32, 126)),
    ),
    *_rows(
        replace(
            _8B, card=_H100, way=Way.multi_item, attention="FlashInfer", setup=f"token ids made beforehand, {_HALF}"
        ),
        *((60, 8, 481), (60, 32, 479), (250, 8, 127), (250, 32, 128)),
    ),
]
