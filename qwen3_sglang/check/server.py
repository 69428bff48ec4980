"""One finding of a check, of a server or of a folder; and the check of a server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwen3_sglang.check.way import in_words
from qwen3_sglang.errors import InvalidInputError, ServerError

if TYPE_CHECKING:
    from qwen3_sglang.client import RerankClient

QUERY = "What is the capital of China?"
RELEVANT = "The capital of China is Beijing."
IRRELEVANT = "Gravity is a force that attracts two bodies towards each other."


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        ok: whether it leaves the server or the checkpoint usable.
        text: what was found, and what to do where it is not as it should be.
        note: usable, but not as it should be.
    """

    ok: bool
    text: str
    note: bool = False


def check_server(client: RerankClient) -> Iterator[Finding]:
    """Reachable, asked the right way, two labels, a relevant text above an irrelevant one; stops at the first fault.

    Raises: nothing; a ServerError, or an endpoint that the server must not be asked at, is a finding.
    """
    try:
        model = client.model()
        yield Finding(True, f"reachable: {client.settings.base_url} serves {model}")
        way, note = in_words(client.way())
        yield Finding(True, way, note=note)
        relevant, irrelevant = client.score(QUERY, [RELEVANT, IRRELEVANT])
    except (ServerError, InvalidInputError) as error:
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
