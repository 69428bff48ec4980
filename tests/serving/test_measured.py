"""The table of what was measured, and the page that shows it."""

from __future__ import annotations

from collections import Counter

from qwen3_sglang.serving.capacity import PLANNED_CLIENTS
from qwen3_sglang.serving.measured import DOCUMENT_TOKENS, DOCUMENTS, HEAD, RATES, SUFFIX
from write_measured import PAGE, written


def test_the_page_has_the_table() -> None:
    """`python tests/write_measured.py` writes it."""
    text = PAGE.read_text(encoding="utf-8")
    assert written(text) == text


def test_every_row_can_be_planned_with() -> None:
    """Known words, a rate above 0, and each model and way with two lengths."""
    assert all(rate.words in DOCUMENT_TOKENS and rate.docs_per_second > 0 and rate.clients > 0 for rate in RATES)
    planned = Counter((rate.model, rate.way) for rate in RATES if rate.clients == PLANNED_CLIENTS)
    assert set(planned) == {(rate.model, rate.way) for rate in RATES}
    assert min(planned.values()) >= 2


def test_no_row_stands_twice() -> None:
    """A measurement that is repeated replaces the older one, or differs in its setup."""
    rows = [(r.model, r.card, r.server, r.way, r.attention, r.setup, r.words, r.clients) for r in RATES]
    assert [row for row, count in Counter(rows).items() if count > 1] == []


def test_what_was_counted_with_qwen3s_tokenizer() -> None:
    """Tokens of the template, of a query of eight words and of the measured documents; documents per query."""
    assert (HEAD, SUFFIX, DOCUMENTS) == (73, 9, 100)
    assert DOCUMENT_TOKENS == {60: 76, 250: 316}
