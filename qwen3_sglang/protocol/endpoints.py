"""The endpoints that documents can be scored through: one table, a row each. No I/O.

A row is all there is to an endpoint: settings, diagnosis and documentation read this table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from qwen3_sglang.prompts.framed import framed
from qwen3_sglang.prompts.template import Head
from qwen3_sglang.protocol.answers import Names, parse_classes, parse_items, parse_vllm_classes
from qwen3_sglang.protocol.responses import Response
from qwen3_sglang.ranking import Score

SGLANG, VLLM = "sglang", "vllm"  # as `owned_by` in the model lists of the two


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One way to ask.

    Attributes:
        path: below base_url.
        body: (model, the prompts' shared head, documents, more fields) -> JSON.
        parse: (answer, number of documents, the names seen before) -> scores, in order.
        owner: whose server has it, as that server's model list says.
        help: one line for whoever chooses.
        echoes: an answer names the model that was asked for, not the one that gave it.
        labels: the body names the tokens of "no" and "yes": the model is the original, with no head for the two.
        packs: a whole list becomes one sequence of tokens, which has to be shorter than the context.
        list_size: documents per request, where the user names no number.
    """

    path: str
    body: Callable[[str, Head, Sequence[str], Mapping[str, object]], bytes]
    parse: Callable[[Response, int, Names | None], Sequence[Score]]
    owner: str
    help: str
    echoes: bool = False
    labels: bool = False
    packs: bool = False
    list_size: int = 32


def _prompts(model: str, head: Head, documents: Sequence[str], more: Mapping[str, object]) -> bytes:
    return framed({"model": model, **more}, "input", head.text, documents, head.template.suffix)


def _items(model: str, head: Head, documents: Sequence[str], more: Mapping[str, object]) -> bytes:
    # Cut where both sides have the same tokens as the whole: a multi-item server tokenises them apart.
    return framed(_asked(model, head.bare, more), "items", head.joint, documents, head.template.suffix)


def ready_items(
    model: str, query: str | list[int], items: Sequence[str | list[int]], more: Mapping[str, object]
) -> bytes:
    """The body of /v1/score, of items that have the whole of what follows the query."""
    return orjson.dumps({**_asked(model, query, more), "items": items})


def _asked(model: str, query: str | list[int], more: Mapping[str, object]) -> dict[str, object]:
    return {"model": model, "query": query, "apply_softmax": True, **more}


def _score(help_: str, *, labels: bool = False, packs: bool = False) -> Endpoint:
    """A row of /v1/score."""
    more = {"list_size": _IN_A_SEQUENCE} if packs else {}
    return Endpoint("/v1/score", _items, parse_items, SGLANG, help_, echoes=True, labels=labels, packs=packs, **more)


_IN_A_SEQUENCE: Final = 100  # documents; with fewer, a GPU is idle between two lists
CLASSIFY, SCORE, LABELS, PACKED, PACKED_LABELS, VLLM_CLASSIFY = (
    "v1/classify",
    "v1/score",
    "v1/score-labels",
    "v1/score-multi-item",
    "v1/score-labels-multi-item",
    "classify",
)
# Of each owner's rows the first is the one to point to.
ENDPOINTS: Final = {
    CLASSIFY: Endpoint("/v1/classify", _prompts, parse_classes, SGLANG, "SGLang; the only one that its gateway routes"),
    SCORE: _score("SGLang; sends and tokenises the query once per list"),
    LABELS: _score("SGLang with the original checkpoint; no conversion needed", labels=True),
    PACKED: _score("SGLang with --enable-mis; a list is one sequence", packs=True),
    PACKED_LABELS: _score("the same with the original checkpoint", labels=True, packs=True),
    VLLM_CLASSIFY: Endpoint("/classify", _prompts, parse_vllm_classes, VLLM, "vLLM"),
}
DEFAULT_ENDPOINT: Final = CLASSIFY
AUTO: Final = "auto"
ENDPOINT_HELP: Final = "; ".join(
    [
        f"{AUTO} (the server is asked once which way it runs)",
        *(f"{name} ({row.help.replace('; ', ', ')})" for name, row in ENDPOINTS.items()),
    ]
)


def endpoint_of(owner: str | None) -> str:
    """The name of the row to use with this owner's server; the default where it has none of its own."""
    return next((name for name, row in ENDPOINTS.items() if row.owner == owner), DEFAULT_ENDPOINT)
