"""What a call tells its log, and what it knows of the model.

Tests of `scoring/telling.py`.
"""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fake_server import FakeServer
from modes import call
from qwen3_sglang import RerankClient
from qwen3_sglang.errors import InvalidInputError, QueryError, ServerTimeoutError
from qwen3_sglang.prompts.template import QWEN3
from qwen3_sglang.protocol.endpoints import DEFAULT_ENDPOINT, LABELS, PACKED, SCORE
from qwen3_sglang.protocol.exchange import Request, Run
from qwen3_sglang.protocol.packing import Item, Packable
from qwen3_sglang.protocol.responses import Response
from qwen3_sglang.protocol.served import Served
from qwen3_sglang.protocol.ways import Way
from qwen3_sglang.ranking import Score
from qwen3_sglang.scoring.aside import MUCH
from qwen3_sglang.scoring.asked import Asked
from qwen3_sglang.scoring.finding import find_way
from qwen3_sglang.scoring.queries import Group
from qwen3_sglang.scoring.work import Sending, Work
from qwen3_sglang.transport.deadline import Deadline
from steps import PATIENCE

HEAD = QWEN3.head("q")
LONG = "p=0.4 " + "many words " * 200


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """All that the library logs, but for the line of each request."""
    caplog.set_level(logging.INFO, "qwen3_sglang")
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


@pytest.mark.parametrize(
    ("owner", "endpoint", "asked"),
    [("vllm", "classify", False), ("sglang", "v1/classify", True), ("xinference", "v1/classify", True)],
)
def test_only_sglang_says_which_way_it_runs(server: FakeServer, owner: str, endpoint: str, asked: bool) -> None:
    """vLLM isn't asked at addresses that it doesn't have; a named endpoint asks nothing until the way is wanted."""
    server.owner = owner
    client = RerankClient(server.url, endpoint=endpoint)
    if asked:
        assert client.score("q", ["p=0.4"]) == [0.4]
        assert server.questions == []
    assert client.way().endpoint == endpoint
    assert bool(server.questions) is asked


def test_connections_of_the_first_call_leave_no_doubt(server: FakeServer, mode: str) -> None:
    """They are as new as what it learned of the server, so that the next call asks nothing."""
    server.barrier = threading.Barrier(2)  # two lists in flight: one of them needs a connection of its own
    client = RerankClient(server.url, batch_size=1)
    assert call(mode, client, "score", "q", ["p=0.1", "p=0.2"]) == [0.1, 0.2]
    asked = list(server.questions)
    assert asked
    assert not client._scorer._learned.in_doubt
    server.barrier = None
    if mode == "sync":  # asyncio.run closes the loop's connections
        assert client.score("q", ["p=0.3"]) == [0.3]
        assert server.questions == asked


def test_a_new_connection_of_a_later_call_leaves_doubt(server: FakeServer) -> None:
    """Another server may listen there: the call after it asks which way it runs."""
    client = RerankClient(server.url)
    for p, questions in ((0.1, 1), (0.2, 1), (0.3, 2)):
        assert client.score("q", [f"p={p}"]) == [p]
        assert len(server.questions) == questions
        client.close()  # the next one has to connect


def sent(work: Work[Any], *replies: list[Any]) -> Sending:
    """What work sends after these replies, which nobody has carried."""
    sending = next(work)
    for reply in replies:
        sending = work.send(reply)
    return sending


@pytest.mark.parametrize(("count", "questions"), [(1, 1), (32, 1), (33, 2)])
def test_how_many_prompts_are_described_together(count: int, questions: int) -> None:
    """32: a tokenizer's answer about all of them has to fit within its limit."""
    scorer = RerankClient("http://host", model="toy", max_length=300)._scorer
    group = Group(HEAD, [f"d{number}" for number in range(count)], range(count))
    assert len(sent(scorer.prompts(group), [Way(DEFAULT_ENDPOINT)]).steps) == questions


@pytest.mark.parametrize(("limit", "room"), [(None, 8192), (2000, 2000), (9000, 9000)])
def test_a_list_that_is_one_sequence_has_the_servers_room(limit: int | None, room: int) -> None:
    """All that the server takes, not what a prompt may have; where it says nothing, what the model takes."""
    scorer = RerankClient("http://host", max_length=300)._scorer
    group = Group(HEAD, [f"d{number}" for number in range(30)], range(30))
    ready = Packable("q", 92, {text: Item(text, 100, truncated=False) for text in group.texts})
    work = scorer._outcomes(Asked([30], lambda _: [group]), Deadline(9.0), list)
    lists = sent(work, [Served("toy", limit)], [Way(PACKED)], [ready]).steps
    assert len(lists) == -(-30 // ((room - 92) // 100))


def test_outcomes_are_as_many_as_documents() -> None:
    """Else another's score would be remembered for one."""
    client = RerankClient("http://host", model="toy", max_length=300, cache_size=9)
    asked = Asked([2], lambda _: [Group(HEAD, ["a", "b"], range(2))])
    work = client._scorer._outcomes(asked, Deadline(9.0), list)
    sent(work, [Way(DEFAULT_ENDPOINT)])
    with pytest.raises(ValueError, match="argument"):
        work.send([[Score(0.5, 0.0)]])


@pytest.mark.parametrize("ids", [(5, 9), None])
def test_an_endpoint_that_needs_the_answers_ids(ids: tuple[int, int] | None) -> None:
    """The template's, where no tokenizer can be asked; without any, nothing can be asked there."""
    template = replace(QWEN3, answer_ids=ids)
    settings = RerankClient("http://host", endpoint=LABELS, template=template).settings
    run = Run(find_way(settings, None, Served("toy"), PATIENCE, None))
    assert isinstance(run.step(), Request)
    if ids is None:
        with pytest.raises(InvalidInputError, match="name the tokens of no and yes"):
            run.step(Response("u", 404, b"{}"))
    else:
        assert run.step(Response("u", 404, b"{}")) is None
        assert run.result == Way(LABELS, ids)


@pytest.mark.parametrize(
    ("wanted", "limit", "endpoint", "found"),
    [
        (None, None, SCORE, 8192),
        (300, None, PACKED, 300),
        (None, 2000, SCORE, 2000),
        (None, 2000, PACKED, 1998),
        (300, 2000, PACKED, 300),
        (1999, 2000, PACKED, 1998),
        (1999, 2000, SCORE, 1999),
    ],
)
def test_how_long_a_prompt_may_be(wanted: int | None, limit: int | None, endpoint: str, found: int) -> None:
    """The lower limit; in one sequence of a list two delimiters stand beside the one prompt."""
    limits: list[int] = []

    def groups(most: int) -> list[Group]:
        limits.append(most)
        return [Group(HEAD, ["d"], range(1))]

    scorer = RerankClient("http://host", max_length=wanted)._scorer
    sent(scorer._outcomes(Asked([1], groups), Deadline(9.0), list), [Served("toy", limit)], [Way(endpoint)])
    assert limits == [found]


@pytest.mark.parametrize(
    ("endpoint", "cache_size", "groups", "asks"),
    [
        (SCORE, 0, ["a"], False),
        (SCORE, 0, ["a", "b"], True),
        (SCORE, 0, ["ab"], True),
        (SCORE, 9, ["a"], True),
        (DEFAULT_ENDPOINT, 0, ["a", "b"], False),
        (DEFAULT_ENDPOINT, 9, ["a"], False),
        (SCORE, 0, ["a", None], False),
        (SCORE, 0, ["ab", None], True),
        (SCORE, 9, [None], False),
    ],
)
def test_several_lists_are_of_one_model(endpoint: str, cache_size: int, groups: list[str | None], asks: bool) -> None:
    """Where answers don't name it, the server is asked at the end: about more than one list, or one to remember."""
    client = RerankClient("http://host", model="toy", max_length=300, batch_size=1, cache_size=cache_size)
    made, count = list[Group](), 0
    for texts in groups:  # None: of a query that can't be asked
        failure = QueryError("query", "", "say something") if texts is None else None
        made.append(Group(HEAD, list(texts or "xy"), range(count, count + len(texts or "xy")), failure))
        count += len(texts or "xy")
    replies = [[Way(endpoint)], *([[Score(0.5, 0.0)] for _ in texts] for texts in groups if texts)]
    run = client._scorer._outcomes(Asked([count], lambda _: made), Deadline(9.0), list)
    if not asks:
        with pytest.raises(StopIteration):
            sent(run, *replies)
        return
    [question] = sent(run, *replies).steps
    assert getattr(next(question), "path", None) == "/v1/models"


@pytest.mark.parametrize(("named", "model"), [(None, "served"), ("mine", "mine")])
def test_which_model_is_asked(named: str | None, model: str) -> None:
    """The one that was named, else the one that the server lists."""
    scorer = RerankClient("http://host", model=named)._scorer
    work = scorer._outcomes(Asked([1], lambda _: [Group(HEAD, ["d"], range(1))]), Deadline(9.0), list)
    [steps] = sent(work, [Served("served")], [Way(DEFAULT_ENDPOINT)]).steps
    asked = next(steps)
    assert isinstance(asked, Request)
    assert json.loads(asked.body or b"")["model"] == model


def test_a_tokenizer_is_loaded_once(server: FakeServer, causal_toy: Path) -> None:
    """By the first call, and then the server's isn't asked."""
    client = RerankClient(server.url, tokenizer=causal_toy, max_length=300)
    assert client._scorer._tokenizer is None
    client.score("q", [LONG])
    loaded = client._scorer._tokenizer
    assert loaded is not None
    client.score("q", [LONG, LONG + "x"])
    assert client._scorer._tokenizer is loaded
    assert not {"/tokenize", "/detokenize"} & {path for path, _ in server.asked}


@pytest.mark.parametrize(("size", "elsewhere"), [(0, False), (MUCH, False), (MUCH + 1, True)])
def test_only_what_takes_long_is_done_in_another_thread(size: int, elsewhere: bool) -> None:
    """So that it can end with the call's time; a thread costs more than what is little."""
    scorer = RerankClient("http://host")._scorer
    thread = scorer.score(Asked([], lambda _: [], size=size), None, lambda _: threading.get_ident())
    assert (thread != threading.get_ident()) is elsewhere


@pytest.mark.parametrize("size", [0, MUCH + 1])
def test_a_call_whose_time_is_over_has_no_more(size: int) -> None:
    """However much there is to do: reading its arguments was part of it."""
    scorer, go = RerankClient("http://host")._scorer, threading.Event()
    with pytest.raises(ServerTimeoutError):
        scorer.score(Asked([], lambda _: [], size=size), Deadline(0.01), lambda _: go.wait(5))
    go.set()
