"""The HTTP exchange without the HTTP: payloads out, checked scores in. No I/O.

`ask_served` and `score_documents` are generators of decisions (see `exchange`): they say what to send and when, are
sent what came back, and return the model or the scores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from logging import getLogger
from typing import Any

import orjson

from qwen3_sglang import errors
from qwen3_sglang.prompts import truncate
from qwen3_sglang.prompts.template import Head, Prompt
from qwen3_sglang.protocol.answers import Response, read_json, short
from qwen3_sglang.protocol.diagnosis import MODELS, explained
from qwen3_sglang.protocol.endpoints import DEFAULT_ENDPOINT, ENDPOINTS
from qwen3_sglang.protocol.exchange import Pause, Request, Steps, ask, asks_for_less, queue_is_full
from qwen3_sglang.protocol.retry import Patience
from qwen3_sglang.ranking import Outcome, Score

TOKENIZE, DETOKENIZE = "/tokenize", "/detokenize"
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
        tokenizer: finds out how many it has; None asks the server.
        endpoint: which of ENDPOINTS is asked.
        collect: whether to go on after a document that the server refuses; else that raises.
    """

    model: str
    head: Head
    max_length: int
    patience: Patience
    tokenizer: truncate.Tokenizer | None = None
    endpoint: str = DEFAULT_ENDPOINT
    collect: bool = False


def ask_served(patience: Patience) -> Steps[Served]:
    """The name of the model that is served, and its limit."""
    response = yield from ask(Request(MODELS), patience)
    data = read_json(response, "model list").get("data")
    row = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else {}
    name, context = row.get("id"), row.get("max_model_len")
    if not isinstance(name, str):
        raise errors.NotSGLangError(response.url, "the model list names no model; is this an SGLang server?")
    # SGLang refuses a prompt of exactly its context length: a token has to come after it.
    return Served(name, context - 1 if isinstance(context, int) and context > 1 else None)


def score_documents(call: Call, documents: Sequence[str], where: Where) -> Steps[list[Outcome]]:
    """One score a document, in order, or why it has none.

    A list that finds the server's queue full, or 503 again and again, or that holds a document which the server
    refuses, is halved, so that no document costs another its score. A refusal is explained by asking what is served.

    Args:
        call: what all lists of the call share.
        documents: this list, each document once.
        where: a place in this list -> the document's indices in the caller's list.
    """
    work = _Work(call, where, *(yield from _texts(call, documents)))
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
        texts: what is sent of its documents.
        cut: the places of those of which that isn't all.
        waiting: ranges of its documents, still to be sent.
        found: outcomes by place in the list.
        times_full: how often the queue was full.
        tried: how often what comes next was sent in larger lists.
        explained: whether a refusal was.
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
    scores = endpoint.parse(response, len(part))
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
    """Whatever is left goes in lists of half that size, after a pause."""
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


def _cut(part: range, size: int) -> list[range]:
    return [part[start : start + size] for start in range(0, len(part), size)]


_BY_DOCUMENT = {400, 413}  # what one document of a list can be the cause of


def _texts(call: Call, documents: Sequence[str]) -> Steps[tuple[Sequence[str], Collection[int]]]:
    """What is sent of the documents, and which are cut."""
    if truncate.surely_fit(call.head, documents, call.max_length):  # the usual case: nothing to make of each
        return documents, ()
    fitted = yield from _fit(call, documents)
    return [one.text for one in fitted], {index for index, one in enumerate(fitted) if one.truncated}


def describe_prompts(call: Call, documents: Sequence[str]) -> Steps[list[Prompt]]:
    """The prompts that `score_documents` sends, in order, with their tokens counted where that is possible."""
    fitted = yield from _fit(call, documents)
    counts = yield from _count(call, call.head.prompts([document.text for document in fitted]))
    return [call.head.prompt(f.text, tokens=n, truncated=f.truncated) for f, n in zip(fitted, counts, strict=True)]


def _count(call: Call, texts: list[str]) -> Steps[list[int] | list[None]]:
    if call.tokenizer is not None:
        return [len(ids) for ids in call.tokenizer.encode(texts)]
    asked = truncate.Encode(texts)
    response = yield from ask(_tokenizing(call.model, asked), call.patience)
    if response.status in _NO_TOKENIZER | _NO_LISTS:
        return [None] * len(texts)
    return [len(ids) for ids in _tokenized(response, asked)]


def _fit(call: Call, documents: Sequence[str]) -> Steps[list[truncate.Fitted]]:
    """The documents, cut where they are too long; the server counts where no tokenizer is at hand."""
    if call.tokenizer is not None:
        return truncate.fit_with(call.tokenizer, call.head, documents, call.max_length)
    steps = truncate.fit(call.head, documents, call.max_length)
    try:
        asked = next(steps)
        while True:
            response = yield from ask(_tokenizing(call.model, asked), call.patience)
            if response.status in _NO_TOKENIZER:
                _log.warning(_CUT_BY_BYTES, response.url)
                return truncate.fit_bytes(call.head, documents, call.max_length)
            asked = steps.send(_tokenized(response, asked))
    except StopIteration as stop:
        fitted: list[truncate.Fitted] = stop.value
    return fitted


_NO_TOKENIZER = {404, 405, 501}  # gateways don't route it
_NO_LISTS = {400, 422}  # vLLM's takes one text at a time
_CUT_BY_BYTES = (
    "%s isn't there, so long documents are cut after max_length bytes, not tokens; "
    "pass tokenizer= (the served model's folder) to keep more of them"
)


def _tokenizing(model: str, asked: truncate.Encode | truncate.Decode) -> Request:
    if isinstance(asked, truncate.Encode):
        return Request(TOKENIZE, orjson.dumps({"model": model, "prompt": asked.texts, "add_special_tokens": False}))
    return Request(DETOKENIZE, orjson.dumps({"model": model, "tokens": asked.ids, "skip_special_tokens": False}))


def _tokenized(response: Response, asked: truncate.Encode | truncate.Decode) -> list[Any]:
    encoding = isinstance(asked, truncate.Encode)
    rows = read_json(response, "tokenizer's answer").get("tokens" if encoding else "text")
    count = len(asked.texts) if isinstance(asked, truncate.Encode) else len(asked.ids)
    if (
        not isinstance(rows, list)
        or len(rows) != count
        or not all(isinstance(r, list if encoding else str) for r in rows)
    ):
        raise errors.ProtocolError(response.url, f"{count} lists asked for, {short(rows)} came back; pass tokenizer=")
    return rows
