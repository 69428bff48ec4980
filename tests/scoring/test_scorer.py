"""What a call tells its log, and what it knows of the model.

Tests of `scoring/telling.py`.
"""

from __future__ import annotations

import logging

import pytest

from fake_server import FakeServer
from modes import call
from qwen3_sglang import RerankClient

LONG = "p=0.4 " + "many words " * 200


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """All that the library logs."""
    caplog.set_level(logging.DEBUG, "qwen3_sglang")
    return caplog


def test_nothing_is_told_where_all_is_well(server: FakeServer, mode: str, told: pytest.LogCaptureFixture) -> None:
    """A log of every call would hide what matters."""
    call(mode, RerankClient(server.url), "score", "q", ["p=0.1", "p=0.2"])
    assert told.messages == []


@pytest.mark.parametrize(
    ("count", "which"), [(1, "1"), (10, "1, 2, 3, 4, 5, 6, 7, 8, 9, 10"), (11, "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …")]
)
def test_which_documents_were_cut(
    server: FakeServer, mode: str, told: pytest.LogCaptureFixture, count: int, which: str
) -> None:
    """By their places in the caller's list, ten of them at most."""
    documents = ["p=0.5", *(f"{LONG}{number}" for number in range(count))]
    call(mode, RerankClient(server.url, max_length=700), "score", "q", documents)
    assert told.messages[-1] == f"{count} of {count + 1} documents were cut to 700 tokens: {which}"
    assert told.records[-1].levelno == logging.INFO


def test_which_documents_have_no_score(server: FakeServer, mode: str, told: pytest.LogCaptureFixture) -> None:
    """A warning, with the first reason; the cut ones beside them are told too."""
    server.refuses = "refuse"
    client = RerankClient(server.url, max_length=700, on_error="passthrough")
    call(mode, client, "rerank", "q", ["refuse p=0.1", LONG, "p=0.5", "refuse p=0.2"])
    cut, none = told.messages[-2:]
    assert cut == "1 of 4 documents were cut to 700 tokens: 1"
    assert none.startswith("2 of 4 documents have no score: 0, 3: ")
    assert "not this one" in none
    assert told.records[-1].levelno == logging.WARNING


def test_a_call_that_fails_as_a_whole_is_one_warning(
    server: FakeServer, mode: str, told: pytest.LogCaptureFixture
) -> None:
    """How many documents it cost, and why."""
    server.fault = 401, {"message": "wrong key"}
    client = RerankClient(server.url, on_error="passthrough")
    call(mode, client, "rerank", "q", ["p=0.1", "p=0.2", "p=0.3"])
    [message] = told.messages
    assert message.startswith("3 documents passed through unscored: ")
    assert "wrong key" in message


@pytest.mark.parametrize(("options", "limit"), [({}, 8191), ({"max_length": 9000}, 8191), ({"max_length": 700}, 700)])
def test_the_lower_limit_counts(server: FakeServer, mode: str, options: dict[str, int], limit: int) -> None:
    """The server's, which keeps a token for itself, or one's own; here a token is a byte."""
    client = RerankClient(server.url, **options)  # type: ignore[arg-type] # by name
    call(mode, client, "score", "q", ["p=0.4 " + "x" * 10_000])
    [prompt] = server.prompts
    assert len(prompt) == limit


def test_what_is_known_of_the_model(server: FakeServer, mode: str) -> None:
    """Nothing before the first call; afterwards it isn't asked for again. A name that is given needs no server."""
    client = RerankClient(server.url)
    assert client._scorer.known_model is None
    assert call(mode, client, "score", "q", ["p=0.4"]) == [0.4]
    assert client._scorer.known_model == "toy"
    call(mode, client, "score", "q", ["p=0.5"])
    assert [path for path, _ in server.asked].count("/v1/models") == 1
    assert RerankClient(server.url, model="mine")._scorer.known_model == "mine"


def test_no_documents_cost_no_request(server: FakeServer, mode: str) -> None:
    """Whatever is asked of them."""
    client = RerankClient(server.url)
    assert call(mode, client, "score", "q", []) == []
    assert call(mode, client, "rerank", "q", []) == []
    assert call(mode, client, "prompts", "q", []) == []
    assert server.asked == []


@pytest.mark.parametrize(("owner", "endpoint", "asked"), [("vllm", "classify", False), ("sglang", "v1/classify", True)])
def test_only_sglang_says_which_way_it_runs(server: FakeServer, owner: str, endpoint: str, asked: bool) -> None:
    """vLLM isn't asked at addresses that it doesn't have; a named endpoint asks nothing until the way is wanted."""
    server.owner = owner
    client = RerankClient(server.url, endpoint=endpoint)
    if asked:
        assert client.score("q", ["p=0.4"]) == [0.4]
        assert server.questions == []
    assert client.way().endpoint == endpoint
    assert bool(server.questions) is asked
