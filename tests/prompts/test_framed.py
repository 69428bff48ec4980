"""Bodies that are written in one go hold what they would hold one by one."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

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


@pytest.mark.parametrize("together", [True, False])
def test_a_text_that_stands_for_many_takes_no_more_memory(together: bool) -> None:
    """Each of its characters could be replaced by all that prompts share: a gigabyte here."""
    start, texts = "s" * 10**5, [BETWEEN * 10**4, "b"]
    known = as_one(texts, 10**6) if together else texts
    assert known is not None
    body, most = peak(lambda: framed({"a": 1}, "list", start, known, ""))
    assert most < 5 * 10**6
    assert orjson.loads(body)["list"] == [start + text for text in texts]


@pytest.mark.parametrize("texts", [["a" * 2**12] * 99, [*["a" * 2**11] * 99, "\U0001f600"]], ids=["long", "wide"])
def test_long_texts_are_written_one_by_one(texts: list[str]) -> None:
    """Put together they would take several times their memory, all the more where one of them isn't ASCII."""
    plain, most = peak(lambda: orjson.dumps({"a": 1, "list": [f"s{text}e" for text in texts]}))
    assert peak(lambda: framed({"a": 1}, "list", "s", texts, "e")) == (plain, pytest.approx(most, rel=0.1))


def peak(work: Callable[[], bytes]) -> tuple[bytes, int]:
    """What it returns, and the bytes of memory that it takes at most."""
    tracemalloc.start()
    try:
        return work(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
