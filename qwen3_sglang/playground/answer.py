"""What the playground's page asks, and what it is answered; no I/O, no framework."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.prompts.template import (
    DEFAULT_INSTRUCTION,
    SPECIAL_TOKENS,
    SUFFIX,
    Prompt,
    check_documents,
    check_text,
    escape_special_tokens,
    prompt_head,
)
from qwen3_sglang.ranking import RerankResult

Part = dict[str, str]

_FIELDS = {"query", "documents", "instruction"}
_TEMPLATE_TOKENS = re.compile("(" + "|".join(map(re.escape, SPECIAL_TOKENS)) + ")")
_BROKEN_TOKENS = re.compile("(" + "|".join(re.escape(escape_special_tokens(token)) for token in SPECIAL_TOKENS) + ")")


@dataclass(frozen=True, slots=True)
class Ask:
    """One question of the page.

    Attributes:
        query: the query.
        documents: at least one.
        instruction: the task; Qwen's own where the page sends none.
    """

    query: str
    documents: list[str]
    instruction: str = DEFAULT_INSTRUCTION


@dataclass(frozen=True, slots=True)
class Ranked:
    """What a model said to an `Ask`.

    Attributes:
        results: every document, best first: threshold and top_n are the page's to apply.
        prompts: what the model read, in the documents' order.
        model: its name.
        milliseconds: from the question to the last score.
    """

    results: Sequence[RerankResult]
    prompts: Sequence[Prompt]
    model: str
    milliseconds: float


def read_ask(raw: bytes) -> Ask:
    """The question in a request's body: {"query": str, "documents": [str], "instruction": str, left out for Qwen's}.

    Raises:
        InvalidInputError: the body is something else; a blank query, no documents, an unknown field.
    """
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidInputError("body", raw[:80], f"send a JSON object ({error})") from None
    if not isinstance(body, dict):
        raise InvalidInputError("body", body, "send a JSON object with query and documents")
    for name in body.keys() - _FIELDS:
        raise InvalidInputError(name, body[name], f"leave it out; the fields are {', '.join(sorted(_FIELDS))}")
    query, documents = body.get("query", ""), body.get("documents", [])
    instruction = body.get("instruction", DEFAULT_INSTRUCTION)
    check_text("query", query)
    check_text("instruction", instruction)
    check_documents(documents)
    if not documents:
        raise InvalidInputError("documents", documents, "pass at least one document")
    return Ask(query, documents, instruction)


def answer(ask: Ask, ranked: Ranked) -> dict[str, Any]:
    """The JSON that the page shows.

    `prompt.before`, a result's `document` and `prompt.after` are parts {"kind", "text"} whose texts, joined, are the
    prompt as it was sent. Kinds: "special" (a token of the template), "template", "instruction", "query", "document",
    and "broken" (a special token inside one of the texts, sent as plain characters). `logit` is null where it is
    infinite, `tokens` where nobody could count them.
    """
    head = _head(ask)
    counts = [prompt.tokens for prompt in ranked.prompts]
    return {
        "model": ranked.model,
        "milliseconds": round(ranked.milliseconds, 1),
        "tokens": sum(count or 0 for count in counts) if None not in counts else None,
        "prompt": {"before": _before(ask), "after": _marked(SUFFIX, "template", _TEMPLATE_TOKENS, "special")},
        "results": [_result(result, ranked.prompts[result.index], head) for result in ranked.results],
    }


def _result(result: RerankResult, prompt: Prompt, head: str) -> dict[str, Any]:
    sent = prompt.text[len(head) : len(prompt.text) - len(SUFFIX)]
    return {
        "index": result.index,
        "score": result.score,
        "logit": result.logit if math.isfinite(result.logit) else None,
        "tokens": prompt.tokens,
        "truncated": result.truncated,
        "document": _marked(sent, "document", _BROKEN_TOKENS, "broken"),
    }


def _head(ask: Ask) -> str:
    return prompt_head(escape_special_tokens(ask.query), escape_special_tokens(ask.instruction))


def _before(ask: Ask) -> list[Part]:
    """The head in parts: the template is filled with two marks, and cut at them."""
    opening, rest = prompt_head("\1", instruction="\0").split("\0")
    between, end = rest.split("\1")
    return [
        *_marked(opening, "template", _TEMPLATE_TOKENS, "special"),
        *_marked(escape_special_tokens(ask.instruction), "instruction", _BROKEN_TOKENS, "broken"),
        {"kind": "template", "text": between},
        *_marked(escape_special_tokens(ask.query), "query", _BROKEN_TOKENS, "broken"),
        {"kind": "template", "text": end},
    ]


def _marked(text: str, kind: str, tokens: re.Pattern[str], token_kind: str) -> list[Part]:
    """`text` in parts; what `tokens` matches is of `token_kind`, the rest of `kind`."""
    pieces = tokens.split(text)  # one group: plain, token, plain, token, …, plain
    parts = [{"kind": (kind, token_kind)[place % 2], "text": piece} for place, piece in enumerate(pieces)]
    return [part for part in parts if part["text"]]
