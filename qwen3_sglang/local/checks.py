"""What SGLang 0.5 accepts and refuses on the endpoints served here, in its own words; no I/O."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Encode = Callable[[str], list[int]]
Decode = Callable[[list[int], bool], str]
Body = dict[str, Any]


class RejectedError(Exception):
    """A request that is answered with 400.

    Attributes:
        message: what SGLang says.
        kind: its error type; "Bad Request" when the body has the wrong shape, else "BadRequestError".
    """

    def __init__(self, message: str, kind: str = "BadRequestError") -> None:
        super().__init__(message, kind)
        self.message = message
        self.kind = kind


def parse_body(raw: bytes, content_type: str) -> Body:
    """The JSON object in `raw`."""
    if content_type.lower().split(";", maxsplit=1)[0] != "application/json":
        reason = "Unsupported Media Type: Only 'application/json' is allowed"
        raise _malformed(reason, "header", "content-type")
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _malformed("JSON decode error", "body") from error
    if not isinstance(body, dict):
        raise _malformed("Input should be a valid dictionary or object to extract fields from", "body")
    return body


def classify_prompts(body: Body, encode: Encode) -> list[list[int]]:
    """The prompts of a /v1/classify request: one text, a list of texts, or one list of token ids."""
    given = _field(body, "input")
    if not (_is_text(given) or _all_str(given) or _all_int(given)):
        raise _malformed("Input should be a valid string, list[str] or list[int]", "body", "input")
    if not given:
        raise RejectedError("Input cannot be empty")
    if isinstance(given, str):
        if not given.strip():
            raise RejectedError("Input cannot be empty or whitespace only")
        return [encode(given)]
    if _all_int(given):
        _check_ids(given)
        return [list(given)]
    for index, text in enumerate(given):
        if not text.strip():
            raise RejectedError(f"Input at index {index} cannot be empty or whitespace only")
    return [encode(text) for text in given]


def score_prompts(body: Body, encode: Encode) -> list[list[int]]:
    """The prompts of a /v1/score request: the query joined with each item, as texts or as token ids."""
    query, items = body.get("query"), body.get("items")
    if not (query is None or _is_text(query) or _all_int(query)):
        raise _malformed("Input should be a valid string or list[int]", "body", "query")
    if not (items is None or _is_text(items) or _all_str(items) or _all_ids(items)):
        raise _malformed("Input should be a valid string, list[str] or list[list[int]]", "body", "items")
    if items is None:
        raise RejectedError("items must be provided")
    if isinstance(items, str):
        items = [items]
    return _join(query, items, encode, item_first=bool(body.get("item_first", False)))


def _join(query: Any, items: list[Any], encode: Encode, *, item_first: bool) -> list[list[int]]:
    if not items:
        return []
    if isinstance(items[0], str):
        query = "" if query is None else query
        if not isinstance(query, str):
            raise RejectedError("Invalid combination of query/items types for score_request.")
        return [encode(item + query if item_first else query + item) for item in items]
    # SGLang takes a query in text with items in ids, and encodes it.
    ids = encode(query) if isinstance(query, str) else list(query or [])
    return [[*item, *ids] if item_first else [*ids, *item] for item in items]


def tokenize_prompt(body: Body, encode: Encode) -> tuple[Any, Any]:
    """The (tokens, count) of a /tokenize request."""
    prompt = body.get("prompt")
    if not (prompt is None or _is_text(prompt) or _all_str(prompt)):
        raise _malformed("Input should be a valid string or list[str]", "body", "prompt")
    if prompt is None:
        raise _malformed("Exactly one of 'prompt' or 'messages' must be provided.", "body")
    if isinstance(prompt, str):
        tokens = encode(prompt)
        return tokens, len(tokens)
    lists = [encode(text) for text in prompt]
    return lists, [len(tokens) for tokens in lists]


def detokenize_tokens(body: Body, decode: Decode) -> Any:
    """The text, or texts, of a /detokenize request."""
    tokens: Any = body.get("tokens")
    skip = bool(body.get("skip_special_tokens", True))
    if not (_all_int(tokens) or _all_ids(tokens)):
        raise _malformed("Input should be a valid list[int] or list[list[int]]", "body", "tokens")
    if _all_int(tokens):
        return decode(tokens, skip)
    return [decode(ids, skip) for ids in tokens]


def check_prompts(prompts: list[list[int]], max_length: int, vocab_size: int) -> None:
    """Refuse the whole list if one prompt can't be scored, as SGLang does.

    An empty prompt and an id outside the vocabulary take SGLang 0.5.23 on a CPU down; here they are a 400.
    """
    for prompt in prompts:
        if len(prompt) >= max_length:  # SGLang keeps room for a token after the prompt
            size = f"{len(prompt)} tokens) is longer than the model's context length ({max_length} tokens)."
            raise RejectedError(f"The input ({size}")
        if not prompt:
            raise RejectedError("Input cannot be empty")
        _check_ids(prompt)
        if max(prompt) >= vocab_size:
            raise RejectedError(f"Token ID {max(prompt)} is out of vocabulary (vocab size: {vocab_size})")


def _check_ids(ids: list[int]) -> None:
    for index, token in enumerate(ids):
        if token < 0:
            raise RejectedError(f"Token ID at index {index} must be non-negative")


def _field(body: Body, name: str) -> Any:
    if name not in body:
        raise _malformed("Field required", "body", name)
    return body[name]


def _malformed(message: str, *place: str) -> RejectedError:
    return RejectedError(f"1 validation error:\n  {{'loc': {place}, 'msg': {message!r}}}", "Bad Request")


def _is_text(value: object) -> bool:
    """True for a string of whole characters: JSON can hold half a surrogate pair, a tokenizer can't."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _all_str(value: object) -> bool:
    return isinstance(value, list) and all(_is_text(item) for item in value)


def _all_int(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int for item in value)


def _all_ids(value: object) -> bool:
    return isinstance(value, list) and all(_all_int(item) for item in value)
