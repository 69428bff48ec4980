"""What a server serves, asked from it, and whether it still does. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from logging import getLogger
from typing import Any

from msgspec.structs import replace

from qwen3_sglang import errors
from qwen3_sglang.protocol.call import Call
from qwen3_sglang.protocol.diagnosis import MODELS, owner_of
from qwen3_sglang.protocol.endpoints import ENDPOINTS
from qwen3_sglang.protocol.exchange import Request, Steps, ask
from qwen3_sglang.protocol.responses import Response, read_json
from qwen3_sglang.protocol.retry import Patience
from qwen3_sglang.protocol.ways import Said, ask_said, chosen, replaced

_SHARE = 1 / 3  # of a call's time, for the list of a model that the user named
_MAY_ANSWER_LATER = (errors.ServerUnreachableError, errors.ServerTimeoutError, errors.ServerOverloadedError)

_log = getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """What a server serves.

    Attributes:
        model: its name there.
        max_length: tokens that a prompt may have; None where the server doesn't say.
        owner: whose server it is, in the words of its model list.
        certain: whether asking again would say no more.
    """

    model: str
    max_length: int | None = None
    owner: str | None = None
    certain: bool = field(default=True, compare=False)


def ask_served(patience: Patience, model: str | None = None, seconds: float | None = None) -> Steps[Served]:
    """The name of the model that is served, and its limit; `model` says which, where there are several.

    `seconds`: how long one request may take; None: as long as the call.

    Raises:
        ServerError: one of its subclasses; NotSGLangError where the list names no model.
    """
    response = yield from ask(Request(MODELS, seconds=seconds), patience)
    served = _listed(response)
    if not served:
        raise errors.NotSGLangError(response.url, "the model list names no model; is this an SGLang server?")
    return _of_name(served, model)


def _of_name(served: Sequence[Served], name: str | None) -> Served:
    """The model of that name; a server of one alone may know it by another name. Else its limit isn't known."""
    if name is None or len(served) == 1:
        return served[0]
    return next((one for one in served if one.model == name), Served(name))


def _listed(response: Response) -> list[Served]:
    """The models of /v1/models."""
    data = read_json(response, "model list").get("data")
    rows = [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []
    return [Served(row["id"], _limit(row), owner_of(row)) for row in rows if isinstance(row.get("id"), str)]


def _limit(row: dict[str, Any]) -> int | None:
    """SGLang refuses a prompt of exactly its context length: a token has to come after it."""
    limit = row.get("max_model_len")
    return limit - 1 if isinstance(limit, int) and limit > 1 else None


def check_served(call: Call) -> Steps[None]:
    """Check, once and without retry, that the server still serves the same model, as far as it says so.

    Raises:
        ModelReplacedError: another model, or less context than the call counts on.
    """
    reply = yield Request(MODELS)
    try:
        served = _listed(reply) if isinstance(reply, Response) else []
    except errors.ServerError:  # not every gateway has a list
        return
    if not served:
        return
    call.listed.confirm(reply.url, *(one.model for one in served))
    limit = _of_name(served, call.model).max_length
    if limit is not None and limit < call.max_length:
        message = f"it takes {limit} tokens now, fewer than the {call.max_length} that it took before: call again"
        raise errors.ModelReplacedError(reply.url, message)


def served_or_named(patience: Patience, model: str | None) -> Steps[Served]:
    """The served model; where the server has no usable model list, `model`, if the user named it.

    A named model's list may take a third of the call's time, retries included: the scores come without it too.

    Raises: ServerError, one of its subclasses, as `ask_served`.
    """
    if model is None:
        return (yield from ask_served(patience))
    left = patience.left()
    hasty = replace(patience, left=lambda: patience.left() - left * (1 - _SHARE))
    try:
        return (yield from ask_served(hasty, model, left * _SHARE))
    except errors.ServerError as failure:
        # Not its message: the server's words may hold the key, which is hidden only in what leaves the client.
        why = failure.status or type(failure).__name__
        _log.info(
            "%s: no usable model list (%s), so the server's own limit isn't known (max_length=)", failure.url, why
        )
        return Served(model, certain=not isinstance(failure, _MAY_ANSWER_LATER))


def check_way(call: Call) -> Steps[None]:
    """Check, once and without retry, that the server still runs the way by which its endpoint was chosen.

    Raises:
        ModelReplacedError: it runs another way.
    """
    if call.said is None:
        return
    said = yield from ask_said(call.patience)
    if said != Said() and chosen(said) != chosen(call.said):
        raise replaced(ENDPOINTS[call.endpoint].path, chosen(said))
