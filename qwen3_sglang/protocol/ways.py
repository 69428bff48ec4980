"""Which way a server runs, by what it says of itself, and the endpoint that is right for it. No I/O.

What is asked for here helps a call, and never fails it: what can't be asked isn't known, and `v1/classify` is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from qwen3_sglang.errors import InvalidInputError, ModelReplacedError
from qwen3_sglang.names import FRONTEND, SOURCE_CLASS
from qwen3_sglang.prompts.template import Template
from qwen3_sglang.prompts.tokenizer import TokenizerFailedError
from qwen3_sglang.prompts.truncate import Tokenizer
from qwen3_sglang.protocol.endpoints import (
    CLASSIFY,
    ENDPOINTS,
    LABELS,
    PACKED,
    PACKED_LABELS,
    SCORE,
    VLLM,
    VLLM_CLASSIFY,
)
from qwen3_sglang.protocol.exchange import Request, Steps, computed
from qwen3_sglang.protocol.responses import Response, is_success
from qwen3_sglang.protocol.retry import Patience
from qwen3_sglang.protocol.tokenizing import TOKENIZE

SERVER_INFO, MODEL_INFO = "/server_info", "/model_info"
_SHARE, _MOST_SECONDS = 8, 5.0  # of a call's time, for each question
REFUSED = (
    'the server runs multi-item scoring, and one such request would end its scheduler: pass endpoint="auto", '
    f'or endpoint="{PACKED}"'
)


@dataclass(frozen=True, slots=True)
class Way:
    """How a server is asked.

    Attributes:
        endpoint: the row of ENDPOINTS.
        answer_ids: the tokens of "no" and "yes" there, where the endpoint's body names them.
        said: what the server said, where it was asked.
    """

    endpoint: str
    answer_ids: tuple[int, int] | None = None
    said: Said | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What a server says of itself; None where it can't be asked.

    Attributes:
        multi_item: whether it runs multi-item scoring.
        architecture: the model's.
        embedded: whether it is this project's embedded server.
    """

    multi_item: bool | None = None
    architecture: str | None = None
    embedded: bool = False


def ask_said(patience: Patience) -> Steps[Said]:
    """What the server says of itself. Raises nothing.

    What refuses the first question, as a gateway does, would refuse the second with the same words. Two requests with
    one answer would end the transport's doubts of an answer that comes twice.
    """
    model = yield _question(MODEL_INFO, patience)
    if isinstance(model, Response) and not is_success(model.status):
        return Said()
    multi_item = _multi_item((yield _question(SERVER_INFO, patience)))
    return Said(multi_item, _architecture(model), _field(model, "frontend") == FRONTEND)


def ask_way(
    patience: Patience, template: Template, model: str, owner: str | None, tokenizer: Tokenizer | None = None
) -> Steps[Way]:
    """The way to ask this server. Raises nothing.

    Args:
        patience: how much time the call has.
        template: the model's.
        model: its name there.
        owner: whose server it is, as its model list says.
        tokenizer: one on this machine.
    """
    if owner == VLLM:
        return Way(VLLM_CLASSIFY)
    said = yield from ask_said(patience)
    endpoint = chosen(said)
    if not ENDPOINTS[endpoint].labels:
        return Way(endpoint, said=said)
    ids = yield from ask_answer_ids(patience, template, model, tokenizer)
    # Without them nothing can be asked; the refusal of /v1/classify says what to do.
    return Way(CLASSIFY, said=said) if ids is None else Way(endpoint, ids, said)


def chosen(said: Said) -> str:
    """The endpoint for a server that says so."""
    original = said.architecture == SOURCE_CLASS
    if said.multi_item:
        return PACKED_LABELS if original else PACKED
    if original:
        return LABELS
    if said.multi_item is None and said.architecture is not None:
        return SCORE  # SGLang behind a proxy that hides /server_info: the one that no kind of server ends at
    return CLASSIFY


def ask_answer_ids(
    patience: Patience, template: Template, model: str, tokenizer: Tokenizer | None = None
) -> Steps[tuple[int, int] | None]:
    """The tokens of the template's answers: by the tokenizer here, by the server's, or as the template says.

    Raises nothing.
    """
    words = list(template.answers)
    if tokenizer is not None:
        try:
            found: object = yield from computed(lambda: tokenizer.encode(words))
        except TokenizerFailedError:
            found = None
    else:
        body = orjson.dumps({"model": model, "prompt": words, "add_special_tokens": False})
        found = _field((yield _question(TOKENIZE, patience, body)), "tokens")
    return _pair(found) or template.answer_ids


def _question(path: str, patience: Patience, body: bytes | None = None) -> Request:
    """Asked once, and not for long: the call has its own work."""
    return Request(path, body, seconds=min(_MOST_SECONDS, patience.left() / _SHARE))


def _multi_item(reply: object) -> bool | None:
    """`enable_mis` of /server_info. The rest of the answer, in which SGLang shows its keys, is kept nowhere."""
    found = _field(reply, "enable_mis")
    return found if isinstance(found, bool) else None


def _architecture(reply: object) -> str | None:
    names = _field(reply, "architectures")
    return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None


def _field(reply: object, name: str) -> object:
    """That field of an answer, without a word of the rest in any error."""
    if not isinstance(reply, Response) or not is_success(reply.status):
        return None
    try:
        parsed = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return None
    return parsed.get(name) if isinstance(parsed, dict) else None


def _pair(found: object) -> tuple[int, int] | None:
    """The ids, where each word is one token of its own."""
    match found:
        case [[int(no)], [int(yes)]] if no != yes and bool not in {type(no), type(yes)}:
            return no, yes
    return None


def replaced(url: str, endpoint: str) -> ModelReplacedError:
    """The error of a server that is to be asked at another endpoint than before."""
    return ModelReplacedError(
        url, f"the server runs another way than before, and is asked at {endpoint} now: call again"
    )


def refused(named: str, said: Said) -> InvalidInputError | None:
    """Why a named endpoint must not be asked on a server that says so; None where it may."""
    if said.multi_item and ENDPOINTS[named].path != ENDPOINTS[SCORE].path:
        return InvalidInputError("endpoint", named, REFUSED)
    return None
