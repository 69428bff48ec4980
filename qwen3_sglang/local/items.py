"""What a /v1/score request asks for: one query and a list of items, scored one by one or as one sequence; no I/O.

By itself SGLang joins the query with each item and scores each prompt. With multi-item scoring (`--enable-mis`) it
tokenises query and items apart and puts them into one sequence, "query D item D item … D", in which an item sees the
query and itself only, and positions go on from the query: each item scores as the prompt "query item" does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from qwen3_sglang.local import checks
from qwen3_sglang.local.checks import Body, Encode, RejectedError, malformed

DEFAULT_MODEL = "default"
_TRUE = (True, "true", "t", "yes", "y", "on", "1")
_FALSE = (False, "false", "f", "no", "n", "off", "0")


@dataclass(frozen=True, slots=True)
class Asked:
    """The body of a /v1/score request, checked.

    Attributes:
        query: text or token ids.
        items: all texts, or all token ids, as the query.
        item_first: whether each item comes before the query; multi-item scoring ignores it.
        softmax: whether probabilities are wanted; else logits.
        temperature: divides the logits before the softmax.
        model: the name in the request, which the response repeats.
    """

    query: Any
    items: list[Any]
    item_first: bool
    softmax: bool
    temperature: float
    model: str

    def scores(self, logits: tuple[float, float]) -> list[float]:
        """One row of the response."""
        return softmax(logits, self.temperature) if self.softmax else list(logits)


@dataclass(frozen=True, slots=True)
class Prompts:
    """What is computed, and what it counts as.

    Attributes:
        ids: token ids of each prompt.
        tokens: how many SGLang would report.
    """

    ids: list[list[int]]
    tokens: int


def softmax(logits: Sequence[float], temperature: float = 1.0) -> list[float]:
    """Probabilities of the logits, divided by the temperature."""
    top = max(logits)
    powers = [math.exp((logit - top) / temperature) for logit in logits]
    total = sum(powers)
    return [power / total for power in powers]


def read_score(body: Body) -> Asked:
    """The request in a body.

    Raises:
        RejectedError: it is refused; with the status and the words of SGLang.
    """
    query, items = body.get("query"), body.get("items")
    if not (query is None or checks.is_text(query) or checks.all_int(query)):
        raise malformed("Input should be a valid string or list[int]", "body", "query")
    if not (items is None or checks.is_text(items) or checks.all_str(items) or checks.all_ids(items)):
        raise malformed("Input should be a valid string, list[str] or list[list[int]]", "body", "items")
    softmax, first, temperature = _flag(body, "apply_softmax"), _flag(body, "item_first"), _temperature(body)
    if temperature != 1 and not softmax:
        raise RejectedError("temperature requires apply_softmax=True")
    if _flag(body, "return_token_logprobs"):
        raise RejectedError("return_token_logprobs is only supported for CausalLM models")
    if items is None:
        raise RejectedError("items must be provided")
    items = [items] if isinstance(items, str) else items
    checks.check_items(items)
    return Asked(_query(query, items), items, first, softmax, temperature, body.get("model", DEFAULT_MODEL))


def prompts_apart(asked: Asked, encode: Encode, max_length: int, vocab_size: int) -> Prompts:
    """The query joined with each item, as prompts of their own.

    Raises:
        RejectedError: a prompt is empty, too long, or holds an unknown id.
    """
    ids = list(checks.check_prompts(_joined(asked, encode), max_length, vocab_size))
    return Prompts(ids, sum(map(len, ids)))


def prompts_of_sequence(asked: Asked, encode: Encode, max_length: int, vocab_size: int) -> Prompts:
    """The prompts that the items of one sequence stand for: the query's tokens, and then the item's.

    Raises:
        RejectedError: the sequence is not shorter than the context, an item is empty, or an id is unknown.
    """
    if not asked.items:
        return Prompts([], 0)
    query, *items = checks.counted(_ids(part, encode) for part in (asked.query, *asked.items))
    tokens = len(query) + sum(map(len, items)) + len(items) + 1  # a delimiter before each item, and one at the end
    if tokens >= max_length:
        raise checks.too_long(tokens, max_length)
    for index, item in enumerate(items):
        if not item:
            raise RejectedError(f"items[{index}] is empty, and its score is read at its last token; leave it out")
    for part in (query, *items):
        checks.check_ids(part, vocab_size)
    return Prompts(list(checks.counted([*query, *item] for item in items)), tokens)


def refuse_classify() -> RejectedError:
    """The refusal of every route that scores single prompts, on a server with multi-item scoring."""
    return RejectedError(
        "this server scores several items per sequence (enable_mis) and answers POST /v1/score only, since on SGLang "
        "another route ends the scheduler; ask /v1/score, or start the server without --multi-item"
    )


def _joined(asked: Asked, encode: Encode) -> Iterator[list[int]]:
    """One at a time: joined all at once, a long query and many items would take their product in memory."""
    for item in asked.items:
        one, other = (item, asked.query) if asked.item_first else (asked.query, item)
        yield _ids(one + other, encode)


def _ids(part: Any, encode: Encode) -> list[int]:
    return encode(part) if isinstance(part, str) else list(part)


def _query(query: Any, items: list[Any]) -> Any:
    """The query in the form of the items: an omitted one is empty.

    SGLang 0.5.23 writes the digits of token ids behind a query in text, and scores that as text. Nobody means it.
    """
    textual = all(isinstance(item, str) for item in items)
    if query is None:
        return "" if textual else []
    if items and isinstance(query, str) is not textual:
        raise RejectedError("Invalid combination of query/items types for score_request.")
    return query


def _flag(body: Body, name: str) -> bool:
    """A truth value, in the forms that SGLang's pydantic takes."""
    value = body.get(name, False)
    word = value.lower() if isinstance(value, str) else value
    if isinstance(word, bool | int | float | str):
        for known, meant in ((_TRUE, True), (_FALSE, False)):
            if word in known:
                return meant
    raise malformed("Input should be a valid boolean", "body", name)


def _temperature(body: Body) -> float:
    value = body.get("temperature", 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise malformed("Input should be a valid number", "body", "temperature")
    if not 0 < value < math.inf:
        raise malformed("Input should be greater than 0", "body", "temperature")
    return float(value)
