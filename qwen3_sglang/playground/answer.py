"""Requests of the playground's page and their answers, as data; no I/O, no framework."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import orjson

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.prompts.template import Prompt
from qwen3_sglang.prompts.texts import check_documents, check_text
from qwen3_sglang.ranking import RerankResult

_FIELDS = {"query", "documents", "instruction", "long_documents"}
LongDocuments = Literal["truncate", "chunks"]


@dataclass(frozen=True, slots=True)
class Ask:
    """One question of the page.

    Attributes:
        query: the query.
        documents: at least one.
        instruction: the task; None, where the page sends none, stands for the template's own.
        long_documents: what becomes of a document that doesn't fit, as `RerankClient` takes it.
    """

    query: str
    documents: list[str]
    instruction: str | None = None
    long_documents: LongDocuments = "truncate"


@dataclass(frozen=True, slots=True)
class Ranked:
    """What a model said to an `Ask`.

    Attributes:
        results: every document, best first: threshold and top_n are the page's to apply.
        prompts: what the model read, in the documents' order, each with its parts; of a document that was scored in
            chunks, the best chunk's.
        model: its name.
        milliseconds: from the question to the last score.
    """

    results: Sequence[RerankResult]
    prompts: Sequence[Prompt]
    model: str
    milliseconds: float


def read_ask(raw: bytes) -> Ask:
    """The question in a request's body: {"query": str, "documents": [str], "instruction": str, "long_documents": str}.

    The last two may be left out: the template's own instruction, and "truncate".

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
    instruction = body.get("instruction")
    check_text("query", query)
    if "instruction" in body:
        check_text("instruction", instruction)
    how = body.get("long_documents", "truncate")
    if how not in get_args(LongDocuments):
        raise InvalidInputError("long_documents", how, 'send "truncate" or "chunks"')
    check_documents(documents)
    if not documents:
        raise InvalidInputError("documents", documents, "pass at least one document")
    return Ask(query, documents, instruction, how)


def answer(ranked: Ranked) -> dict[str, Any]:
    """The JSON that the page shows.

    `prompt.before`, a result's `document` and `prompt.after` are parts {"kind", "text"} whose texts, joined, are the
    prompt as it was sent. Kinds: "special" (a token of the template), "template", "instruction", "query", "document",
    and "broken" (a special token inside one of the texts, sent as plain characters). `logit` is null where it is
    infinite, `tokens` where nobody could count them, and those of all prompts where some aren't shown: of a document
    that was scored in chunks, `prompt` is the best chunk's, and `chunk` its place.
    """
    divided = any(result.chunk for result in ranked.results)
    counts = [None if divided else prompt.tokens for prompt in ranked.prompts]
    before, _, after = _parts(ranked.prompts[0])
    return {
        "model": ranked.model,
        "milliseconds": round(ranked.milliseconds, 1),
        "tokens": sum(count or 0 for count in counts) if None not in counts else None,
        "prompt": {"before": before, "after": after},
        "results": [_result(result, ranked.prompts[result.index]) for result in ranked.results],
    }


def _result(result: RerankResult, prompt: Prompt) -> dict[str, Any]:
    _, document, _ = _parts(prompt)
    return {
        "index": result.index,
        "score": result.score,
        "logit": result.logit if math.isfinite(result.logit) else None,
        "tokens": prompt.tokens,
        "truncated": result.truncated,
        "chunk": None if result.chunk is None else result.chunk._asdict(),
        "document": document,
    }


def _parts(prompt: Prompt) -> list[list[dict[str, str]]]:
    """The parts before the document, of it, and after it, as the page reads them."""
    return [[part._asdict() for part in parts] for parts in prompt.parts or ()]
