"""The original checkpoint behind /v1/score: `label_token_ids`, as SGLang takes them; no I/O.

SGLang computes the whole vocabulary's logits and answers with those of the tokens named. Here only the rows of "no" and
"yes" are in memory, so only these two can be named, and only their softmax is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qwen3_sglang.local import checks
from qwen3_sglang.local.checks import Body, RejectedError, malformed

NO_CLASSES = (
    "This model does not appear to be an embedding model by default. Please add `--is-embedding` when launching the "
    "server or try another model."
)
Pair = tuple[float, float]
Order = tuple[int, ...]


def read_orders(body: Body, count: int, known: tuple[int, int] | None, *, softmax: bool) -> list[Order] | None:
    """For each item, which of the two logits stand in its row, and in which order; None: both, as they are.

    Args:
        body: the request.
        count: number of items.
        known: the tokens of "no" and "yes"; None where the model has two labels, which needs no tokens.
        softmax: whether probabilities of the named tokens alone are wanted.

    Raises:
        RejectedError: in SGLang's words where it refuses too.
    """
    given = body.get("label_token_ids")
    if not (given is None or checks.all_int(given) or checks.all_ids(given)):
        raise malformed("Input should be a valid list", "body", "label_token_ids", "list[int]")
    if known is None:
        return None
    if given is None:
        raise RejectedError("label_token_ids is required for generation (CausalLM) models.")
    if not given:
        raise RejectedError("label_token_ids must be a nonempty list")
    rows = given if checks.all_ids(given) else [given] * count
    if len(rows) != count:
        raise RejectedError("label_token_ids must have one list per item")
    orders = [_order(row, known) for row in rows]
    if not softmax:  # that would be probabilities among all tokens
        raise RejectedError("this server answers label_token_ids with apply_softmax only")
    return orders


def in_order(pair: Pair, order: Order) -> Pair:
    """The logits of the tokens that were named."""
    return tuple(pair[index] for index in order)  # type: ignore[return-value] # one where one was named


def _order(row: Sequence[Any], known: tuple[int, int]) -> Order:
    if not row:
        raise RejectedError("each item must have a nonempty candidate list")
    if any(token < 0 for token in row):
        raise RejectedError("label_token_ids must contain nonnegative integers")
    if len(set(row)) != len(row):
        raise RejectedError("label_token_ids must not contain duplicate tokens")
    if not set(row) <= set(known):
        raise RejectedError(f"this server knows the tokens {known[0]} (no) and {known[1]} (yes) only")
    return tuple(map(known.index, row))
