"""What SGLang 0.5 accepts and refuses on the endpoints served here, in its own words; no I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Encode = Callable[[str], list[int]]
Decode = Callable[[list[int], bool], str]
Body = dict[str, Any]

# In one request. SGLang has no limits, but one request shouldn't keep a CPU busy for hours, nor fill the memory.
MAX_ITEMS = 1024
MAX_TOKENS = 2**20
MAX_TOKENIZED = 2**20  # characters of one text that is only to be tokenised
_IDS_END = 2**32  # what a tokenizer can look up at all


class RejectedError(Exception):
    """A request that is answered with an error.

    Attributes:
        message: what SGLang says.
        kind: its error type; "Bad Request" when the body has the wrong shape, else "BadRequestError".
        status: HTTP's.
        headers: further ones of the answer.
    """

    def __init__(
        self,
        message: str,
        kind: str = "BadRequestError",
        status: int = 400,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, kind, status)
        self.message = message
        self.kind = kind
        self.status = status
        self.headers = dict(headers or {})


def parse_body(raw: bytes, content_type: str) -> Body:
    """The JSON object in `raw`.

    Raises:
        RejectedError: the request is refused; it holds the status and the message that SGLang would answer.
    """
    if content_type.lower().split(";", maxsplit=1)[0] != "application/json":
        reason = "Unsupported Media Type: Only 'application/json' is allowed"
        raise malformed(reason, "header", "content-type")
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise malformed("JSON decode error", "body") from error
    if not isinstance(body, dict):
        raise malformed("Input should be a valid dictionary or object to extract fields from", "body")
    if "model" in body and not is_text(body["model"]):
        raise malformed("Input should be a valid string", "body", "model")
    return body


def classify_prompts(body: Body, encode: Encode) -> Iterable[list[int]]:
    """The prompts of a /v1/classify request: one text, a list of texts, or one list of token ids.

    Raises: as `parse_body`; for single prompts while iterating.
    """
    given = _field(body, "input")
    if not (is_text(given) or all_str(given) or all_int(given)):
        raise malformed("Input should be a valid string, list[str] or list[int]", "body", "input")
    if not given:
        raise RejectedError("Input cannot be empty")
    if isinstance(given, str):
        if not given.strip():
            raise RejectedError("Input cannot be empty or whitespace only")
        return [encode(given)]
    if all_int(given):
        check_ids(given)
        return [given]
    check_items(given)
    for index, text in enumerate(given):
        if not text.strip():
            raise RejectedError(f"Input at index {index} cannot be empty or whitespace only")
    return map(encode, given)


def tokenize_prompt(body: Body, encode: Encode) -> tuple[Any, Any]:
    """The (tokens, count) of a /tokenize request. Raises: as `parse_body`."""
    prompt = body.get("prompt")
    if not (prompt is None or is_text(prompt) or all_str(prompt)):
        raise malformed("Input should be a valid string or list[str]", "body", "prompt")
    if prompt is None:
        raise malformed("Exactly one of 'prompt' or 'messages' must be provided.", "body")
    if isinstance(prompt, str):
        [tokens] = _tokenized([prompt], encode)
        return tokens, len(tokens)
    check_items(prompt)
    lists = _tokenized(prompt, encode)
    return lists, [len(tokens) for tokens in lists]


def _tokenized(texts: list[str], encode: Encode) -> list[list[int]]:
    """Token ids of each text; 413 for more than one request may have."""
    longest = max(map(len, texts), default=0)
    if longest > MAX_TOKENIZED:
        raise _too_much(f"a text of {longest} characters, at most {MAX_TOKENIZED} are taken")
    return list(counted(map(encode, texts)))


def counted(lists: Iterable[list[int]]) -> Iterator[list[int]]:
    """The same lists; 413 once they have more tokens than one request may have."""
    tokens = 0
    for ids in lists:
        tokens += len(ids)
        if tokens > MAX_TOKENS:
            raise _too_much(f"more than {MAX_TOKENS} tokens at once")
        yield ids


def detokenize_tokens(body: Body, decode: Decode) -> Any:
    """The text, or texts, of a /detokenize request. Raises: as `parse_body`."""
    tokens: Any = body.get("tokens")
    skip = bool(body.get("skip_special_tokens", True))
    if not (all_int(tokens) or all_ids(tokens)):
        raise malformed("Input should be a valid list[int] or list[list[int]]", "body", "tokens")
    for ids in [tokens] if all_int(tokens) else tokens:
        check_ids(ids, _IDS_END)
    if all_int(tokens):
        return decode(next(counted([tokens])), skip)
    check_items(tokens)
    list(counted(tokens))
    return [decode(ids, skip) for ids in tokens]


def check_prompts(prompts: Iterable[list[int]], max_length: int, vocab_size: int) -> Iterator[list[int]]:
    """The prompts; refuses the whole list at the first that can't be scored, as SGLang does.

    An empty prompt and an id outside the vocabulary take SGLang 0.5.23 on a CPU down; here they are a 400.

    Raises: RejectedError, while iterating.
    """
    for prompt in counted(prompts):
        if len(prompt) >= max_length:  # SGLang keeps room for a token after the prompt
            raise too_long(len(prompt), max_length)
        if not prompt:
            raise RejectedError("Input cannot be empty")
        check_ids(prompt, vocab_size)
        yield prompt


def too_long(tokens: int | str, max_length: int) -> RejectedError:
    """The refusal of a prompt of that many tokens."""
    size = f"{tokens} tokens) is longer than the model's context length ({max_length} tokens)."
    return RejectedError(f"The input ({size}")


def check_ids(ids: list[int], end: int | None = None) -> None:
    for index, token in enumerate(ids):
        if token < 0:
            raise RejectedError(f"Token ID at index {index} must be non-negative")
        if end is not None and token >= end:
            raise RejectedError(f"Token ID {token} is out of vocabulary (vocab size: {end})")


def check_items(items: list[Any]) -> None:
    if len(items) > MAX_ITEMS:
        raise _too_much(f"{len(items)} items in one list, at most {MAX_ITEMS} are taken")


def _too_much(message: str) -> RejectedError:
    return RejectedError(f"{message}; send fewer", status=413)


def _field(body: Body, name: str) -> Any:
    if name not in body:
        raise malformed("Field required", "body", name)
    return body[name]


def malformed(message: str, *place: str) -> RejectedError:
    return RejectedError(f"1 validation error:\n  {{'loc': {place}, 'msg': {message!r}}}", "Bad Request")


def is_text(value: object) -> bool:
    """True for a string of whole characters: JSON can hold half a surrogate pair, a tokenizer can't."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def all_str(value: object) -> bool:
    return isinstance(value, list) and all(is_text(item) for item in value)


def all_int(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int for item in value)


def all_ids(value: object) -> bool:
    return isinstance(value, list) and all(all_int(item) for item in value)
