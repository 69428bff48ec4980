"""The HTTP exchange without the HTTP: payloads out, checked scores in. No I/O.

`ask_served` and `score_documents` are generators of decisions (see `exchange`): they say what to send and when, are
sent what came back, and return the model or the scores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from logging import getLogger

import orjson

from qwen3_sglang import errors
from qwen3_sglang.prompts import truncate
from qwen3_sglang.prompts.template import Head, Prompt
from qwen3_sglang.protocol.answers import Names, Response, read_json
from qwen3_sglang.protocol.diagnosis import MODELS, explained
from qwen3_sglang.protocol.endpoints import DEFAULT_ENDPOINT, ENDPOINTS
from qwen3_sglang.protocol.exchange import Pause, Request, Steps, ask, asks_for_less, queue_is_full
from qwen3_sglang.protocol.retry import Patience
from qwen3_sglang.protocol.tokenizing import TokenCounter
from qwen3_sglang.ranking import Outcome, Score

Where = Callable[[int], Sequence[int]]

_log = getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """What a server serves.

    Attributes:
        model: its name there.
        max_length: tokens that a prompt may have; None where the server doesn't say.
    """

    model: str
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """What all lists of one call share.

    Attributes:
        model: name the server knows the model by.
        head: the prompts' common start, and with it the template that they are made by.
        max_length: tokens that a prompt may have.
        patience: whether and when to send a request again.
        tokenizer: counts a prompt's tokens; None asks the server.
        endpoint: which of ENDPOINTS is asked.
        collect: whether to go on after a document that the server refuses; else that raises.
        answered: names that the answers to this client gave.
        listed: names that the server's model list gave it.
        fits: every document is known to fit: it isn't measured again.
    """

    model: str
    head: Head
    max_length: int
    patience: Patience
    tokenizer: truncate.Tokenizer | None = None
    endpoint: str = DEFAULT_ENDPOINT
    collect: bool = False
    answered: Names = field(default_factory=Names)
    listed: Names = field(default_factory=Names)
    fits: bool = False


def ask_served(patience: Patience, model: str | None = None) -> Steps[Served]:
    """The name of the model that is served, and its limit; `model` says which, where there are several.

    Raises:
        ServerError: one of its subclasses; NotSGLangError where the list names no model.
    """
    response = yield from ask(Request(MODELS), patience)
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
    # SGLang refuses a prompt of exactly its context length: a token has to come after it.
    return [
        Served(row["id"], limit - 1 if isinstance(limit := row.get("max_model_len"), int) and limit > 1 else None)
        for row in rows
        if isinstance(row.get("id"), str)
    ]


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

    Raises: ServerError, one of its subclasses, as `ask_served`.
    """
    try:
        return (yield from ask_served(patience, model))
    except errors.ServerError as failure:
        if model is None or isinstance(failure, _MAY_ANSWER_LATER):
            raise
        # Not its message: the server's words may hold the key, which is hidden only in what leaves the client.
        why = failure.status or type(failure).__name__
        _log.info(
            "%s: no usable model list (%s), so the server's own limit isn't known (max_length=)", failure.url, why
        )
        return Served(model)


_MAY_ANSWER_LATER = (errors.ServerUnreachableError, errors.ServerTimeoutError, errors.ServerOverloadedError)


def score_documents(call: Call, documents: Sequence[str], where: Where) -> Steps[list[Outcome]]:
    """One outcome per document, in order: its score, or why it has none.

    A list that finds the server's queue full, or 503 again and again, or that holds a document which the server
    refuses, is halved, so that no document costs another its score. A refusal is explained by asking what is served.

    Args:
        call: what all lists of the call share.
        documents: this list, each document once.
        where: a place in this list -> the document's indices in the caller's list.

    Raises:
        ServerError: one of its subclasses, unless the call collects them.
        QueryError: no document fits beside the query; as well.
    """
    try:
        work = _Work(call, where, *(yield from _texts(call, documents)))
    except errors.QueryError as error:
        if not call.collect:
            raise
        return [error] * len(documents)
    while work.waiting:
        part = work.waiting.popleft()
        try:
            scores = yield from _score(work, part)
        except errors.ServerError as error:
            failure = error
        else:
            work.found.update(zip(part, scores, strict=True))
            continue
        yield from _refused(work, part, failure)
    return [work.found[index] for index in range(len(documents))]


class _Work:
    """How far a list has come.

    Attributes:
        texts: its documents as they are sent.
        cut: indices of truncated documents.
        waiting: ranges of its documents, still to be sent.
        found: outcomes by place in the list.
        times_full: how often the queue was full.
        tried: how often the next documents were sent before, in larger lists.
        explained: whether a refusal has been diagnosed.
    """

    def __init__(self, call: Call, where: Where, texts: Sequence[str], cut: Collection[int]) -> None:
        self.call = call
        self.where = where
        self.texts = texts
        self.cut = cut
        self.waiting = deque([range(len(texts))])
        self.found: dict[int, Outcome] = {}
        self.times_full = 0
        self.tried = 0
        self.explained = False


def _score(work: _Work, part: range) -> Steps[list[Score]]:
    call, endpoint = work.call, ENDPOINTS[work.call.endpoint]
    body = endpoint.payload(call.model, call.head, work.texts[part.start : part.stop])
    request, tried, work.tried = Request(endpoint.path, orjson.dumps(body)), work.tried, 0
    response = yield from ask(request, call.patience, splits=len(part) > 1, tried=tried)
    scores = endpoint.parse(response, len(part), call.answered)
    if endpoint.echoes and response.fresh:  # a connection lasts no longer than the server behind it
        yield from check_served(call)
    if not work.cut:
        return scores
    return [s._replace(truncated=True) if i in work.cut else s for i, s in zip(part, scores, strict=True)]


def _refused(work: _Work, part: range, failure: errors.ServerError) -> Steps[None]:
    """Put smaller parts in line, or note why a document has no score, or raise."""
    if asks_for_less(failure) and len(part) > 1:
        yield from _make_smaller(work, part, failure)
        return
    if not work.explained:
        work.explained = True
        if isinstance(failure, errors.RequestRejectedError) and _too_long(failure):
            yield from check_served(work.call)
        failure = yield from explained(failure, work.call.endpoint)
    if not isinstance(failure, errors.RequestRejectedError) or failure.status not in _BY_DOCUMENT:
        raise failure
    if len(part) > 1:
        work.waiting.extendleft(reversed(_cut(part, -(-len(part) // 2))))
        return
    guilty = errors.DocumentError(failure.url, failure.message, work.where(part[0]), status=failure.status)
    if not work.call.collect:
        raise guilty
    work.found[part[0]] = guilty


def _make_smaller(work: _Work, part: range, failure: errors.ServerError) -> Steps[None]:
    """After a pause, send the rest in lists of half that size."""
    if queue_is_full(failure):  # its lists were never taken, so nothing is sent again
        work.times_full += 1
        seconds = work.call.patience.pause(work.times_full, failure.retry_after)
    else:
        work.tried = failure.attempts
        seconds = work.call.patience.delay(failure, work.tried)
    if seconds is None:
        raise failure
    size = len(part) // 2
    _log.info("%s: no room for a list of %d; %d from now on (batch_size=)", failure.url, len(part), size)
    work.waiting = deque(piece for whole in (part, *work.waiting) for piece in _cut(whole, size))
    yield Pause(seconds)


def _too_long(refusal: errors.ServerError) -> bool:
    """Whether the refusal may be about the context length: servers word it differently."""
    return any(word in refusal.message.lower() for word in ("length", "token", "long"))


def _cut(part: range, size: int) -> list[range]:
    return [part[start : start + size] for start in range(0, len(part), size)]


_BY_DOCUMENT = {400, 413}  # what one document of a list can be the cause of


def _texts(call: Call, documents: Sequence[str]) -> Steps[tuple[Sequence[str], Collection[int]]]:
    """The documents as they are sent, and which are cut."""
    if call.fits or truncate.surely_fit(
        call.head, documents, call.max_length
    ):  # the usual case: nothing to make of each
        return documents, ()
    fitted = yield from counter(call).fit(call.head, documents, call.max_length)
    return [one.text for one in fitted], {index for index, one in enumerate(fitted) if one.truncated}


def describe_prompts(call: Call, documents: Sequence[str]) -> Steps[list[Prompt]]:
    """The prompts that `score_documents` sends, in order, with their tokens counted where that is possible.

    Raises:
        ServerError: one of its subclasses.
        QueryError: no document fits beside the query.
    """
    counting = counter(call)
    fitted = yield from counting.fit(call.head, documents, call.max_length)
    counts = yield from counting.count(call.head.prompts([document.text for document in fitted]))
    return [call.head.prompt(f.text, tokens=n, truncated=f.truncated) for f, n in zip(fitted, counts, strict=True)]


def counter(call: Call) -> TokenCounter:
    """Who counts the call's tokens."""
    return TokenCounter(call.model, call.patience, call.tokenizer)
