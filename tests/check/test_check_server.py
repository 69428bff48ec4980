"""What a check of a server finds, one by one, and where it stops."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fake_server import FakeServer
from qwen3_sglang import RerankClient
from qwen3_sglang.check import IRRELEVANT, QUERY, RELEVANT, Finding, check_server
from qwen3_sglang.prompts.template import QWEN3, build_prompts


def findings(server: FakeServer, relevant: float, irrelevant: float) -> list[Finding]:
    """Of a server that gives the two texts these scores."""
    prompts = build_prompts(QUERY, [RELEVANT, IRRELEVANT])
    server.scores = dict(zip(prompts, (relevant, irrelevant), strict=True))
    with RerankClient(server.url) as client:
        return list(check_server(client))


def test_a_server_that_is_usable(server: FakeServer) -> None:
    """Each thing that was looked at."""
    reachable, way, labels, pair = findings(server, 0.9, 0.0125)
    assert (reachable.ok, reachable.text) == (True, f"reachable: {server.url} serves toy")
    assert (way.ok, way.note) == (True, False)
    assert way.text.startswith("asked at /v1/classify")
    assert (labels.ok, labels.text) == (True, "two labels, probabilities add up to 1, labels the right way round")
    scores = "P(yes) = 0.9000 for a text that answers, 0.0125 for one that doesn't"
    assert (pair.ok, pair.text) == (True, f"sanity pair: {scores}")


@pytest.mark.parametrize(("relevant", "irrelevant"), [(0.2, 0.7), (0.5, 0.5)])
def test_a_pair_the_wrong_way_round(server: FakeServer, relevant: float, irrelevant: float) -> None:
    """The server answers as it should, and its scores mean nothing; two equal ones as well."""
    *others, pair = findings(server, relevant, irrelevant)
    assert [one.ok for one in others] == [True] * 3
    assert not pair.ok
    assert pair.text.startswith(f"sanity pair the wrong way round: P(yes) = {relevant:.4f} for")
    assert pair.text.endswith("convert again with `qwen3-sglang convert SRC DST` and serve DST")


def test_a_server_that_refuses(server: FakeServer) -> None:
    """What was found before stays; nothing is looked at after it."""
    server.fault = (400, {"message": "no such thing"})
    *others, last = findings(server, 0.9, 0.1)
    assert [one.ok for one in others] == [True, True]
    assert not last.ok
    assert "no such thing" in last.text


def test_nobody_listens(nobody: str) -> None:
    """One finding."""
    with RerankClient(nobody, max_retries=0) as client:
        [found] = check_server(client)
    assert not found.ok
    assert not found.note
    assert nobody in found.text


def test_a_way_that_needs_what_nobody_knows(server: FakeServer) -> None:
    """An endpoint that can't be asked is a finding too, not an exception."""
    unknown = replace(QWEN3, answer_ids=None)
    with RerankClient(server.url, endpoint="v1/score-labels", template=unknown) as client:
        reachable, found = check_server(client)
    assert reachable.ok
    assert not found.ok
    assert "template.answer_ids" in found.text
