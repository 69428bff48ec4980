"""When what was learned of a server is in doubt."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ctrl_c import ctrl_c_at, ends
from qwen3_sglang import RerankClient
from qwen3_sglang.protocol.endpoints import DEFAULT_ENDPOINT
from qwen3_sglang.protocol.served import Served
from qwen3_sglang.protocol.ways import Way
from qwen3_sglang.scoring.learned import Learned, told


class Clock:
    """Stands still until it is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_server_that_was_silent_for_long_is_in_doubt() -> None:
    """For more than 30 s, until it answers again: another may have taken its place meanwhile."""
    clock = Clock()
    learned = Learned(None, 0, clock)
    clock.now += 30.0
    assert not learned.in_doubt
    clock.now += 0.001
    assert learned.in_doubt
    learned.heard()
    assert not learned.in_doubt


def test_ctrl_c_at_any_place_leaves_what_was_learned_usable() -> None:
    """All calls of a client share it: a lock inside that stayed locked would hold the next call for ever."""
    learned = Learned(None, 0)

    def use() -> None:
        learned.renewed.set()
        learned.found(Way(DEFAULT_ENDPOINT))
        assert not learned.in_doubt

    places = itertools.takewhile(lambda place: ctrl_c_at(use, place), itertools.count())
    assert all(ends(use) for _ in places)


def test_a_new_connection_leaves_doubt() -> None:
    """An answer over it doesn't end that, finding out how the server is asked does."""
    clock = Clock()
    learned = Learned(None, 0, clock)
    learned.renewed.set()
    learned.heard()
    assert learned.in_doubt
    clock.now += 31.0
    learned.found(Way(DEFAULT_ENDPOINT))
    assert not learned.in_doubt
    assert learned.way == Way(DEFAULT_ENDPOINT)


def test_what_there_is_at_the_beginning() -> None:
    """What the user told; scores are remembered only where there is room for any."""
    told = Learned(Served("toy"), 1, way=Way(DEFAULT_ENDPOINT))
    assert (told.served, told.way) == (Served("toy"), Way(DEFAULT_ENDPOINT))
    assert told.cache is not None
    assert Learned(None, 0).cache is None


@pytest.mark.parametrize(
    ("options", "served"),
    [
        ({"model": "toy", "max_length": 99}, Served("toy")),
        ({"model": "toy"}, None),
        ({"max_length": 99}, None),
        ({}, None),
    ],
)
def test_who_names_model_and_limit_costs_no_question(options: dict[str, Any], served: Served | None) -> None:
    """One of them alone leaves something to ask."""
    assert told(RerankClient("http://host", **options).settings) == served
