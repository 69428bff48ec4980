"""Every prompt gets its answer, each distinct prompt is sent once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qwen3_sglang.batching import split


@given(st.lists(st.text(max_size=3)), st.integers(1, 5))
def test_answers_come_back_in_order(prompts: list[str], size: int) -> None:
    """Whatever the sizes and duplicates."""
    batches = split(prompts, size)
    assert batches.restore([[p.upper() for p in part] for part in batches.lists]) == [p.upper() for p in prompts]
    assert all(1 <= len(part) <= size for part in batches.lists)
    assert sorted(p for part in batches.lists for p in part) == sorted(set(prompts))
