"""The embedded server's routes in one table, and the OpenAPI description made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qwen3_sglang.local.checks import MAX_ITEMS

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
IDS: Schema = {"type": "array", "items": {"type": "integer"}}
NUMBERS: Schema = {"type": "array", "items": {"type": "number"}}


def _lists(items: Schema) -> Schema:
    return {"type": "array", "items": items, "maxItems": MAX_ITEMS}


def _object(required: str, **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": required.split()}


TEXTS = _lists(TEXT)
NONE: Schema = {"type": "null"}
USAGE = _object("prompt_tokens total_tokens", prompt_tokens=COUNT, total_tokens=COUNT, completion_tokens=COUNT)
CLASS = _object(
    "index label probs num_classes",
    index=COUNT,
    label=TEXT,
    probs={**NUMBERS, "minItems": 2, "maxItems": 2},
    num_classes={"const": 2},
)
CARD = _object("id max_model_len owned_by", id=TEXT, max_model_len=COUNT, owned_by={"const": "sglang"})
ERROR = _object("object message type code", object={"const": "error"}, message=TEXT, type=TEXT, code=COUNT)
ANY_FLAG: Schema = {}  # SGLang takes numbers and words for true and false, too


@dataclass(frozen=True, slots=True)
class Operation:
    """One route.

    Attributes:
        handler: the method of `Endpoints` that answers.
        summary: what it is for.
        answer: schema of a 200; None where that has no body.
        body: schema of what is posted; None means GET.
    """

    handler: str
    summary: str
    answer: Schema | None
    body: Schema | None = None

    @property
    def method(self) -> str:
        """GET or POST."""
        return "GET" if self.body is None else "POST"


_TOKENIZE = Operation(
    "tokenize",
    "Token ids of one text, or of each text.",
    _object("tokens count max_model_len", tokens={"type": "array"}, count={}, max_model_len=COUNT),
    _object("prompt", model=TEXT, prompt={"anyOf": [TEXT, TEXTS]}),
)
_DETOKENIZE = Operation(
    "detokenize",
    "The text of token ids, or of each list of them.",
    _object("text", text={"anyOf": [TEXT, TEXTS]}),
    _object("tokens", model=TEXT, tokens={"anyOf": [IDS, _lists(IDS)]}, skip_special_tokens=ANY_FLAG),
)
OPERATIONS = {
    "/v1/classify": Operation(
        "classify",
        "P(no) and P(yes) of each prompt.",
        _object("object model data usage", object=TEXT, model=TEXT, data=_lists(CLASS), usage=USAGE),
        _object("input", model=TEXT, input={"anyOf": [TEXT, TEXTS, IDS]}),
    ),
    "/v1/score": Operation(
        "score",
        "P(no) and P(yes), or the logits, of the query joined with each item.",
        _object("scores model usage object", scores=_lists(NUMBERS), model=TEXT, usage=USAGE, object=TEXT),
        _object(
            "items",
            model=TEXT,
            query={"anyOf": [TEXT, IDS, NONE]},
            items={"anyOf": [TEXT, TEXTS, _lists(IDS)]},
            apply_softmax=ANY_FLAG,
            item_first=ANY_FLAG,
            label_token_ids={"anyOf": [IDS, _lists(IDS), NONE]},
            temperature={"type": "number", "exclusiveMinimum": 0},
            return_token_logprobs=ANY_FLAG,
        ),
    ),
    "/tokenize": _TOKENIZE,
    "/v1/tokenize": _TOKENIZE,
    "/detokenize": _DETOKENIZE,
    "/v1/detokenize": _DETOKENIZE,
    "/v1/models": Operation("models", "The model that is served.", _object("data", data=_lists(CARD))),
    "/model_info": Operation("model_info", "What kind of model it is.", _object("architectures", architectures=TEXTS)),
    "/server_info": Operation(
        "server_info",
        "Whether it does multi-item scoring.",
        _object("enable_mis served_model_name", enable_mis={"type": "boolean"}, served_model_name=TEXT),
    ),
    "/health": Operation("health", "200 while the server answers; needs no key.", None),
    "/openapi.json": Operation("openapi", "This description.", {"type": "object"}),
}
_REFUSALS = {
    "400": "Refused, in SGLang's words.",
    "408": "The body came too slowly.",
    "413": "Too much at once.",
    "503": "It takes longer than the client waits (X-Request-Timeout), or too much is being read.",
}


def describe(version: str, *, with_key: bool) -> Schema:
    """The OpenAPI 3.1 description of OPERATIONS."""
    document: Schema = {
        "openapi": "3.1.0",
        "info": {"title": "qwen3-sglang's embedded server", "version": version},
        "paths": {path: {operation.method.lower(): _describe(operation)} for path, operation in OPERATIONS.items()},
    }
    if with_key:
        document["components"] = {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}}
        document["security"] = [{"key": []}]
        document["paths"]["/health"]["get"]["security"] = []
    return document


def _describe(operation: Operation) -> Schema:
    responses: Schema = {"200": {"description": operation.summary, **_json(operation.answer)}}
    described: Schema = {"summary": operation.summary, "responses": responses}
    if operation.handler != "health":
        responses["401"] = {"description": "The key is missing or wrong.", **_json(_object("error", error=TEXT))}
    if operation.body is not None:
        described["requestBody"] = {"required": True, **_json(operation.body)}
        responses |= {status: {"description": words, **_json(ERROR)} for status, words in _REFUSALS.items()}
    return described


def _json(schema: Schema | None) -> Schema:
    return {} if schema is None else {"content": {"application/json": {"schema": schema}}}
