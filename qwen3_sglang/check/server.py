"""The check of a server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from qwen3_sglang.check.finding import Finding
from qwen3_sglang.check.way import way_of
from qwen3_sglang.errors import ServerError

if TYPE_CHECKING:
    from qwen3_sglang.client import RerankClient

QUERY = "What is the capital of China?"
RELEVANT = "The capital of China is Beijing."
IRRELEVANT = "Gravity is a force that attracts two bodies towards each other."


def check_server(client: RerankClient) -> Iterator[Finding]:
    """Reachable, its way of serving, two labels, a relevant text above an irrelevant one; stops at the first fault.

    Raises: nothing; a ServerError is a finding.
    """
    try:
        model = client.model()
        yield Finding(True, f"reachable: {client.settings.base_url} serves {model}")
        yield way_of(client.said())
        relevant, irrelevant = client.score(QUERY, [RELEVANT, IRRELEVANT])
    except ServerError as error:
        yield Finding(False, str(error))
        return
    yield Finding(True, "two labels, probabilities add up to 1, labels the right way round")
    yield _compare(relevant, irrelevant)


def _compare(relevant: float, irrelevant: float) -> Finding:
    scores = f"P(yes) = {relevant:.4f} for a text that answers, {irrelevant:.4f} for one that doesn't"
    if relevant > irrelevant:
        return Finding(True, f"sanity pair: {scores}")
    remedy = "the weights or the head are wrong; convert again with `qwen3-sglang convert SRC DST` and serve DST"
    return Finding(False, f"sanity pair the wrong way round: {scores}: {remedy}")
