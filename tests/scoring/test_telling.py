"""What the log says of a call's documents."""

from __future__ import annotations

import logging

import pytest

from qwen3_sglang.errors import DocumentError
from qwen3_sglang.ranking import Outcome, Score
from qwen3_sglang.scoring.telling import tell

WHOLE, CUT = Score(0.5, 0.0), Score(0.5, 0.0, truncated=True)


@pytest.fixture(autouse=True)
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """All of it."""
    caplog.set_level(logging.DEBUG)
    return caplog


@pytest.mark.parametrize(("count", "end"), [(1, ": 3"), (10, "11, 12"), (11, "11, 12, …"), (12, "11, 12, …")])
def test_the_first_ten_are_named(told: pytest.LogCaptureFixture, count: int, end: str) -> None:
    """By their places in the whole call."""
    tell([CUT] * count, range(3, 3 + count), "9 tokens")
    assert told.messages[0].startswith(f"{count} of {count} documents were cut to 9 tokens: 3")
    assert told.messages[0].endswith(end)


def test_each_kind_has_its_line(told: pytest.LogCaptureFixture) -> None:
    """Cut ones are information, those without a score a warning with the first reason; nothing where all is well."""
    first, second = DocumentError("u", "too odd", [1]), DocumentError("u", "too long", [3])
    tell([WHOLE, first, CUT, second], [10, 11, 12, 13], "9 tokens")
    assert [(one.levelname, one.getMessage()) for one in told.records] == [
        ("INFO", "1 of 4 documents were cut to 9 tokens: 12"),
        ("WARNING", f"2 of 4 documents have no score: 11, 13: {first}"),
    ]
    told.clear()
    tell([WHOLE, WHOLE], [0, 1], "9 tokens")
    assert told.messages == []


@pytest.mark.parametrize("outcomes", [[CUT], [CUT] * 3])
def test_outcomes_are_as_many_as_places(outcomes: list[Outcome]) -> None:
    """Else the wrong document would be named."""
    with pytest.raises(ValueError, match="argument"):
        tell(outcomes, [0, 1], "9 tokens")
