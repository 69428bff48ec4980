"""Is the server behind a URL usable? The answer in plain words, as `qwen3-sglang check` prints it."""

from __future__ import annotations

from collections.abc import Iterator

from qwen3_sglang.client import RerankClient
from qwen3_sglang.errors import ServerError
from qwen3_sglang.findings import Finding

QUERY = "What is the capital of China?"
RELEVANT = "The capital of China is Beijing."
IRRELEVANT = "Gravity is a force that attracts two bodies towards each other."


def check_server(client: RerankClient) -> Iterator[Finding]:
    """Reachable, right model with two labels, a relevant text above an irrelevant one; stops at the first fault."""
    try:
        model = client.model()
        yield Finding(True, f"reachable: {client.settings.base_url} serves {model}")
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
