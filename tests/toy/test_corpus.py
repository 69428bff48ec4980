"""Which texts a toy is built for."""

from __future__ import annotations

from qwen3_sglang.toy.corpus import MOST_CHARACTERS, sample


def test_the_default_is_prose() -> None:
    texts = sample(None)
    assert len(texts) > 500
    assert min(len(text.split()) for text in texts) >= 20


def test_a_large_corpus_is_read_in_part() -> None:
    """Evenly, from its beginning to its end, so that building stays quick."""
    texts = [f"{number:06} {'x' * 993}" for number in range(10_000)]
    kept = sample(iter(texts))
    assert sum(map(len, kept)) <= MOST_CHARACTERS
    assert kept == texts[::5]
