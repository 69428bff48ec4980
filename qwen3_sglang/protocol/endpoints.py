"""The endpoints a server can be asked through: one table of path, payload and parser. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qwen3_sglang.prompts.template import SUFFIX
from qwen3_sglang.protocol.answers import Names, Response, parse_classes, parse_items, parse_vllm_classes
from qwen3_sglang.ranking import Score


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One way to ask.

    Attributes:
        path: below base_url.
        payload: (model, the prompts' shared head, documents) -> JSON body.
        parse: (answer, number of documents, the names seen before) -> scores, in order.
        echoes: an answer names the model that was asked for, not the one that gave it.
    """

    path: str
    payload: Callable[[str, str, Sequence[str]], dict[str, Any]]
    parse: Callable[[Response, int, Names | None], list[Score]]
    echoes: bool = False


def _prompts(model: str, head: str, documents: Sequence[str]) -> dict[str, Any]:
    return {"model": model, "input": [f"{head}{document}{SUFFIX}" for document in documents]}


def _items(model: str, head: str, documents: Sequence[str]) -> dict[str, Any]:
    items = [f"{document}{SUFFIX}" for document in documents]
    return {"model": model, "query": head, "items": items, "apply_softmax": True}


DEFAULT_ENDPOINT = "v1/classify"
ENDPOINTS = {
    "v1/classify": Endpoint("/v1/classify", _prompts, parse_classes),  # SGLang; the only one its gateway routes
    "v1/score": Endpoint("/v1/score", _items, parse_items, echoes=True),  # SGLang; sends and tokenises the query once
    "classify": Endpoint("/classify", _prompts, parse_vllm_classes),  # vLLM
}
