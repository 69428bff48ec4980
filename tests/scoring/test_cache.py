"""Scores that are remembered, and which are forgotten first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fake_server import FakeServer
from qwen3_sglang import RerankClient
from qwen3_sglang.errors import DocumentError
from qwen3_sglang.ranking import Score
from qwen3_sglang.scoring.cache import ScoreCache

ONE, TWO = Score(0.1, -1.0), Score(0.2, -0.5, truncated=True)


def test_least_recently_used_goes_first() -> None:
    """Looking one up keeps it."""
    cache = ScoreCache(2)
    cache.add("m", "h", {"a": ONE, "b": TWO})
    assert cache.find("m", "h", ["a"]) == {"a": ONE}
    cache.add("m", "h", {"c": ONE})
    assert cache.find("m", "h", ["a", "b", "c"]) == {"a": ONE, "c": ONE}


def test_what_has_no_score_is_not_remembered() -> None:
    """The server may take it next time."""
    cache = ScoreCache(9)
    cache.add("m", "h", {"a": DocumentError("u", "too long", [0]), "b": TWO})
    assert cache.find("m", "h", ["a", "b"]) == {"b": TWO}


def test_model_and_prompt_are_the_key() -> None:
    """The prompt is the same wherever its head is said to end; a model's name can't run into it."""
    cache = ScoreCache(9)
    cache.add("m", "head", {"a": ONE})
    for model, head, document in (("n", "head", "a"), ("mh", "ead", "a"), ("m", "head", "b"), ("m", "heads", "a")):
        assert cache.find(model, head, [document]) == {}
    assert cache.find("m", "hea", ["da"]) == {"da": ONE}


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_what_is_remembered_is_not_sent(server: FakeServer, mode: str) -> None:
    """Another query or instruction is another question; without a cache all is sent again."""

    def ask(client: RerankClient, *args: Any, **options: Any) -> list[float]:
        if mode == "sync":
            return client.score(*args, **options)
        return asyncio.run(client.ascore(*args, **options))

    client = RerankClient(server.url, cache_size=100)
    assert ask(client, "q", ["p=0.1", "p=0.2"]) == [0.1, 0.2]
    assert ask(client, "q", ["p=0.2", "p=0.3", "p=0.1"]) == [0.2, 0.3, 0.1]
    assert ask(client, "q", ["p=0.3"]) == [0.3]
    assert len(server.prompts) == 3
    ask(client, "other", ["p=0.1"])
    ask(client, "q", ["p=0.1"], instruction="Find code")
    assert len(server.prompts) == 5
    for _ in range(2):
        ask(RerankClient(server.url), "q", ["p=0.1"])
    assert len(server.prompts) == 7


def test_what_is_scored_again_is_the_latest() -> None:
    """It takes the place of what was known, and counts as used."""
    cache = ScoreCache(2)
    cache.add("m", "h", {"a": ONE, "b": ONE})
    cache.add("m", "h", {"a": TWO})
    cache.add("m", "h", {"c": ONE})
    assert cache.find("m", "h", ["a", "b", "c"]) == {"a": TWO, "c": ONE}
