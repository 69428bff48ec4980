"""The endpoints that documents can be scored through: one table, a row each. No I/O.

A row is all there is to an endpoint: settings, diagnosis and documentation read this table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from qwen3_sglang.prompts.template import Head
from qwen3_sglang.protocol.answers import Names, Response, parse_classes, parse_items, parse_vllm_classes
from qwen3_sglang.ranking import Score

SGLANG, VLLM = "sglang", "vllm"  # as `owned_by` in the model lists of the two


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One way to ask.

    Attributes:
        path: below base_url.
        payload: (model, the prompts' shared head, documents) -> JSON body.
        parse: (answer, number of documents, the names seen before) -> scores, in order.
        owner: whose server has it, as that server's model list says.
        help: one line for whoever chooses.
        echoes: an answer names the model that was asked for, not the one that gave it.
    """

    path: str
    payload: Callable[[str, Head, Sequence[str]], dict[str, Any]]
    parse: Callable[[Response, int, Names | None], list[Score]]
    owner: str
    help: str
    echoes: bool = False


def _prompts(model: str, head: Head, documents: Sequence[str]) -> dict[str, Any]:
    return {"model": model, "input": head.prompts(documents)}


def _items(model: str, head: Head, documents: Sequence[str]) -> dict[str, Any]:
    return {"model": model, "query": head.text, "items": head.rests(documents), "apply_softmax": True}


# Of each owner's rows the first is the one to point to.
ENDPOINTS: Final = {
    "v1/classify": Endpoint(
        "/v1/classify", _prompts, parse_classes, SGLANG, "SGLang; the only one that its gateway routes"
    ),
    "v1/score": Endpoint(
        "/v1/score", _items, parse_items, SGLANG, "SGLang; sends and tokenises the query once per list", echoes=True
    ),
    "classify": Endpoint("/classify", _prompts, parse_vllm_classes, VLLM, "vLLM"),
}
DEFAULT_ENDPOINT: Final = "v1/classify"
ENDPOINT_HELP: Final = "; ".join(f"{name} ({row.help.replace('; ', ', ')})" for name, row in ENDPOINTS.items())


def endpoint_of(owner: str | None) -> str:
    """The name of the row to use with this owner's server; the default where it has none of its own."""
    return next((name for name, row in ENDPOINTS.items() if row.owner == owner), DEFAULT_ENDPOINT)
