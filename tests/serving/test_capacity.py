"""From rates to GPUs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.serving.capacity import MARGIN, STRETCH, Load, Need, needs, notes
from qwen3_sglang.serving.measured import DOCUMENT_TOKENS, RATES, SUFFIX, Rate, Way

ONE = Rate(model="1B", card="C", server="S", way=Way.ordinary, attention="A", words=60, clients=8, docs_per_second=1000)
LINE = [ONE, replace(ONE, words=250, docs_per_second=400)]


def one(load: Load, rates: list[Rate] = LINE, margin: float = MARGIN) -> Need:
    """The only way's need."""
    [need] = needs(load, rates[0].model, margin, rates)
    return need


@pytest.mark.parametrize(("tokens", "rate"), [(76, 1000), (316, 400)])
def test_measured_lengths_give_what_was_measured(tokens: int, rate: float) -> None:
    """With as many documents per query as in the measurement."""
    need = one(Load(1, 100, tokens))
    assert need.docs_per_second == pytest.approx(rate)
    assert not need.extrapolated


def test_times_lie_on_a_line_between() -> None:
    """Not rates: half the tokens more cost half the time more."""
    assert 1 / one(Load(1, 100, 196)).docs_per_second == pytest.approx((1 / 1000 + 1 / 400) / 2)


def test_three_lengths_give_two_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each length lies between its neighbours; the nearest line goes on beyond them."""
    monkeypatch.setitem(DOCUMENT_TOKENS, 1000, 1200)
    rows = [*LINE, replace(ONE, words=1000, docs_per_second=120)]
    assert 1 / one(Load(1, 100, 758), rows).docs_per_second == pytest.approx((1 / 400 + 1 / 120) / 2)
    assert one(Load(1, 100, 100), rows).docs_per_second == pytest.approx(one(Load(1, 100, 100)).docs_per_second)


def test_the_margin_stays_free() -> None:
    """Exactly enough without one; one GPU more where the load is a bit more."""
    assert one(Load(10, 100, 76), margin=0).gpus == 1
    assert one(Load(10.1, 100, 76), margin=0).gpus == 2
    need = one(Load(10, 100, 76), margin=0.5)
    assert (need.gpus, need.share) == (2, pytest.approx(0.5))


def test_a_head_is_shared_by_its_documents() -> None:
    """Few documents per query make each dearer."""
    rates = [one(Load(1, documents, 76)).docs_per_second for documents in (1, 10, 100, 1000)]
    assert rates == sorted(rates)
    assert rates[0] < 0.75 * rates[-1]


def test_noise_never_makes_time_negative() -> None:
    """Two rows whose line starts below 0."""
    rows = [ONE, replace(ONE, words=250, docs_per_second=100)]
    assert one(Load(1, 100, 1), rows).docs_per_second > 1000
    assert one(Load(1, 100, 76), rows).docs_per_second == pytest.approx(1000)


@given(st.floats(0.01, 1e4), st.integers(1, 1000), st.integers(1, 632), st.sampled_from(["0.6B", "4B", "8B"]))
def test_any_load(qps: float, documents: int, tokens: int, model: str) -> None:
    """Enough GPUs, and not one too many; the cheapest way first."""
    load = Load(qps, documents, tokens)
    found = needs(load, model)
    assert [need.gpus for need in found] == sorted(need.gpus for need in found)
    for need in found:
        assert need.share <= (1 - MARGIN) * (1 + 1e-9)
        assert (need.gpus - 1) * need.docs_per_second * (1 - MARGIN) < load.docs_per_second


def test_the_newest_setup_counts() -> None:
    """Rows that stand later in the table, whole: two setups are never mixed."""
    newer = [replace(row, server="S2", docs_per_second=row.docs_per_second * 2) for row in LINE]
    need = one(Load(1, 100, 76), [*LINE, *newer])
    assert {row.server for row in need.rows} == {"S2"}
    assert need.docs_per_second == pytest.approx(2000)


def test_ways_are_compared() -> None:
    """The one with fewer GPUs first."""
    faster = [replace(row, way=Way.multi_item, docs_per_second=row.docs_per_second * 2) for row in LINE]
    found = needs(Load(100, 100, 76), "1B", rates=[*LINE, *faster])
    assert [need.way for need in found] == [Way.multi_item, Way.ordinary]
    assert found[0].gpus < found[1].gpus


@pytest.mark.parametrize("name", ["0.6B", "0.6b", "Qwen/Qwen3-Reranker-0.6B"])
def test_a_model_by_its_size_or_name(name: str) -> None:
    """In any case."""
    assert needs(Load(1, 100, 76), name)[0].rows[0].model == "0.6B"


@pytest.mark.parametrize(
    ("load", "model", "field"),
    [
        (Load(0, 50, 400), "4B", "qps"),
        (Load(float("nan"), 50, 400), "4B", "qps"),
        (Load(float("inf"), 50, 400), "4B", "qps"),
        (Load(1, 0, 400), "4B", "documents"),
        (Load(1, 50, 0), "4B", "tokens"),
        (Load(1, 50, 10_000), "4B", "tokens"),
        (Load(1, 50, 400), "32B", "model"),
        (Load(1, 50, 400), "", "model"),
    ],
)
def test_what_nothing_is_measured_for(load: Load, model: str, field: str) -> None:
    """A typed error with what is."""
    with pytest.raises(InvalidInputError) as refused:
        needs(load, model)
    assert refused.value.field == field


@pytest.mark.parametrize("margin", [-0.1, 1.0, float("nan")])
def test_an_unusable_margin(margin: float) -> None:
    """All of the capacity can't stay free."""
    with pytest.raises(InvalidInputError, match="margin"):
        needs(Load(1, 50, 100), "4B", margin)


def test_one_length_tells_nothing() -> None:
    """A line takes two."""
    with pytest.raises(InvalidInputError, match="tokens"):
        needs(Load(1, 100, 76), "1B", rates=[ONE])


def test_what_limits_the_answer_is_said() -> None:
    """Lengths that weren't measured, few documents, more GPUs than were tried, a way without a row."""
    load = Load(500, 5, 600)
    said = " ".join(notes(load, needs(load, "1B", rates=LINE)))
    for part in ("of that length", "below 20 documents", "one server per GPU", "multi-item serving"):
        assert part in said
    plain = Load(1, 100, 76)
    both = [*LINE, *(replace(row, way=Way.multi_item) for row in LINE)]
    assert notes(plain, needs(plain, "1B", rates=both)) == []


def test_the_line_is_drawn_so_far() -> None:
    """Twice the longest measured document, and not a token more."""
    longest = max(rate.tokens for rate in RATES)
    assert needs(Load(1, 100, int(STRETCH * longest)), "0.6B")[0].extrapolated
    with pytest.raises(InvalidInputError):
        needs(Load(1, 100, int(STRETCH * longest) + 1), "0.6B")


def test_new_tokens() -> None:
    """The document, the suffix, and its share of the head."""
    assert Load(1, 73, 100).new_tokens == 100 + SUFFIX + 1
