"""Which way the server is asked: as the user says, or by what it says of itself. No I/O."""

from __future__ import annotations

from qwen3_sglang import errors
from qwen3_sglang.prompts.truncate import Tokenizer
from qwen3_sglang.protocol.endpoints import AUTO, ENDPOINTS
from qwen3_sglang.protocol.exchange import Steps
from qwen3_sglang.protocol.retry import Patience
from qwen3_sglang.protocol.served import Served
from qwen3_sglang.protocol.ways import Way, ask_answer_ids, ask_way, replaced
from qwen3_sglang.settings import Settings


def find_way(
    settings: Settings, known: Way | None, served: Served, patience: Patience, tokenizer: Tokenizer | None
) -> Steps[Way]:
    """The way to ask the server; `known` is how it was asked before.

    Raises:
        ModelReplacedError: it runs another way than before.
        InvalidInputError: the endpoint needs token ids that nobody knows.
    """
    model = settings.model or served.model
    if settings.endpoint != AUTO:
        return (yield from _named(settings, model, patience, tokenizer))
    found = yield from ask_way(patience, settings.template, model, served.owner, tokenizer)
    if known is not None and found.endpoint != known.endpoint:
        raise replaced(settings.base_url, found.endpoint)
    return found


def _named(settings: Settings, model: str, patience: Patience, tokenizer: Tokenizer | None) -> Steps[Way]:
    if not ENDPOINTS[settings.endpoint].labels:
        return Way(settings.endpoint)
    ids = yield from ask_answer_ids(patience, settings.template, model, tokenizer)
    if ids is None:
        remedy = f"name the tokens of {' and '.join(settings.template.answers)}, or pass tokenizer="
        raise errors.InvalidInputError("template.answer_ids", None, remedy)
    return Way(settings.endpoint, ids)
