"""Write the table of measured rates in docs/scaling.md anew: python tests/write_measured.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from qwen3_sglang.serving.measured import RATES, Rate

PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
HEADER = "| model | way | clients | 60 words, docs/s | 250 words, docs/s | measured with |"


def written(text: str, rates: Sequence[Rate] = RATES) -> str:
    """The page, with the table of `rates`."""
    before, _, rest = text.partition(HEADER)
    return before + "\n".join([HEADER, "|---|---|---|---|---|---|", *_rows(rates)]) + "\n\n" + rest.partition("\n\n")[2]


def _rows(rates: Sequence[Rate]) -> Iterator[str]:
    """One line per setup and number of clients, in the table's order."""
    lines: dict[tuple[str, ...], dict[int, float]] = {}
    for rate in rates:
        setup = ", ".join(filter(None, (rate.card, rate.server, rate.attention, rate.setup)))
        lines.setdefault((rate.model, rate.way, str(rate.clients), setup), {})[rate.words] = rate.docs_per_second
    for (model, way, clients, setup), found in lines.items():
        short, long = (f"{found[words]:,.0f}" if words in found else "" for words in (60, 250))
        yield f"| {model} | {way} | {clients} | {short} | {long} | {setup} |"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
