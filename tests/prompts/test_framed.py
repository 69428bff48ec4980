"""Bodies that are written in one go hold what they would hold one by one."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qwen3_sglang.prompts.framed import framed
from qwen3_sglang.prompts.texts import BETWEEN, as_one

PARTS = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(f'"\\,]{BETWEEN}\0')), max_size=9)


@given(PARTS, st.lists(PARTS, max_size=5), PARTS)
@example("s", [f"a{BETWEEN}", "b"], "e")
@example(BETWEEN, ["a", "b"], BETWEEN)
@example("s", [",", '","', "\\", '\\"', ""], "e")
@example("s", [f"{BETWEEN}{BETWEEN}"], "e")
def test_each_text_stands_between_start_and_end(start: str, texts: list[str], end: str) -> None:
    """Byte by byte what orjson writes of the texts put together, whatever they hold."""
    plain = orjson.dumps({"a": 1, "list": [f"{start}{text}{end}" for text in texts]})
    assert framed({"a": 1}, "list", start, texts, end) == plain
    together = as_one(texts, 10**6)
    assert together is not None
    assert framed({"a": 1}, "list", start, together, end) == plain


@pytest.mark.parametrize("texts", [["a", "\ud800"], [f"a{BETWEEN}", "\ud800"]])
def test_half_a_character_is_not_written(texts: list[str]) -> None:
    """As by orjson: whoever calls has replaced it."""
    with pytest.raises(TypeError, match="surrogates"):
        framed({"a": 1}, "list", "", texts, "")
