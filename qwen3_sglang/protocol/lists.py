"""The HTTP exchange without the HTTP: payloads out, checked scores in. No I/O.

`score_documents` is a generator of decisions (see `exchange`): it says what to send and when, is sent what came back,
and returns the scores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from functools import partial
from logging import getLogger
from typing import cast

from qwen3_sglang import errors
from qwen3_sglang.prompts import truncate
from qwen3_sglang.prompts.template import Prompt
from qwen3_sglang.protocol.call import Call
from qwen3_sglang.protocol.diagnosis import explained
from qwen3_sglang.protocol.endpoints import ENDPOINTS, ready_items
from qwen3_sglang.protocol.exchange import Pause, Request, Steps, ask, asks_for_less, queue_is_full
from qwen3_sglang.protocol.packing import Packable, make_packable
from qwen3_sglang.protocol.served import check_served, check_way
from qwen3_sglang.protocol.tokenizing import TokenCounter
from qwen3_sglang.protocol.ways import chosen
from qwen3_sglang.ranking import Outcome, Score

Where = Callable[[int], Sequence[int]]

_log = getLogger(__name__)


def make_ready(call: Call, documents: Sequence[str]) -> Steps[Packable | errors.QueryError]:
    """The documents as they are sent where a list is one sequence; or why none can be, where the call collects that.

    Raises:
        ServerError: the server's tokenizer can't be asked, or its answers make no sense.
        QueryError: no document fits beside the query.
    """
    try:
        return (yield from make_packable(counter(call), call.head, documents, call.max_length))
    except errors.QueryError as error:
        if not call.collect:
            raise
        return error


def score_documents(
    call: Call, documents: Sequence[str], where: Where, ready: Packable | None = None
) -> Steps[Sequence[Outcome]]:
    """One outcome per document, in order: its score, or why it has none.

    A list that finds the server's queue full, or 503 again and again, or that holds a document which the server
    refuses, is halved, so that no document costs another its score. A refusal is explained by asking what is served.

    Args:
        call: what all lists of the call share.
        documents: this list, each document once.
        where: a place in this list -> the document's indices in the caller's list.
        ready: what `make_ready` made of these documents, and maybe of others.

    Raises:
        ServerError: one of its subclasses, unless the call collects them.
        QueryError: no document fits beside the query; as well.
    """
    if ready is None and (call.fits or truncate.surely_fit(call.head, documents, call.max_length)):
        work = _Work(call, where, documents, ())  # the usual case: nothing to make of each
    else:
        try:
            work = yield from _begin(call, documents, where, ready)
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
            if len(part) == len(documents):  # the usual case: there is nothing to put together
                return scores
            work.found.update(enumerate(scores, part.start))
            continue
        yield from _refused(work, part, failure)
    return [*map(work.found.__getitem__, range(len(documents)))]


class _Work:
    """How far a list has come.

    Attributes:
        query: what stands before each of them, where it isn't the call's head.
        texts: its documents as they are sent.
        cut: indices of truncated documents.
        waiting: ranges of its documents, still to be sent.
        found: outcomes by place in the list.
        times_full: how often the queue was full.
        tried: how often the next documents were sent before, in larger lists.
        explained: whether a refusal has been diagnosed.
    """

    def __init__(
        self,
        call: Call,
        where: Where,
        texts: Sequence[str | list[int]],
        cut: Collection[int],
        query: str | list[int] | None = None,
    ) -> None:
        self.call = call
        self.query = query
        self.where = where
        self.texts = texts
        self.cut = cut
        self.waiting = deque([range(len(texts))])
        self.found: dict[int, Outcome] = {}
        self.times_full = 0
        self.tried = 0
        self.explained = False


def _score(work: _Work, part: range) -> Steps[Sequence[Score]]:
    call, endpoint = work.call, ENDPOINTS[work.call.endpoint]
    request, tried, work.tried = Request(endpoint.path, _body(work, part)), work.tried, 0
    again = partial(check_way, call)
    response = yield from ask(request, call.patience, splits=len(part) > 1, tried=tried, before_retry=again)
    if response.fresh:
        call.renewed.set()
    scores = endpoint.parse(response, len(part), call.answered)
    if endpoint.echoes and response.fresh:  # a connection lasts no longer than the server behind it
        yield from check_served(call)
    return _marked(scores, part.start, work.cut) if work.cut else scores


def _marked(scores: Sequence[Score], start: int, cut: Collection[int]) -> list[Score]:
    """Those of truncated documents say so; `start` is the first one's index."""
    return [one._replace(truncated=True) if index in cut else one for index, one in enumerate(scores, start)]


def _body(work: _Work, part: range) -> bytes:
    call, endpoint, texts = work.call, ENDPOINTS[work.call.endpoint], work.texts
    if len(part) < len(texts):  # else as they are: they may be more than a list
        texts = texts[part.start : part.stop]
    more = {"label_token_ids": call.answer_ids} if endpoint.labels else {}
    if work.query is None:
        return endpoint.body(call.model, call.head, cast(Sequence[str], texts), more)
    return ready_items(call.model, work.query, texts, more)


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
        _runs_otherwise(work.call, failure)
    if not isinstance(failure, errors.RequestRejectedError) or failure.status not in _BY_DOCUMENT:
        raise failure
    if len(part) > 1:
        work.waiting.extendleft(reversed(_cut(part, -(-len(part) // 2))))
        return
    [place] = part
    guilty = errors.DocumentError(failure.url, failure.message, work.where(place), status=failure.status)
    if not work.call.collect:
        raise guilty
    work.found[place] = guilty


def _runs_otherwise(call: Call, failure: errors.ServerError) -> None:
    """Where the endpoint was chosen by what the server said, a failure that says otherwise has the call begun anew.

    Raises:
        ModelReplacedError: the server runs another way than before.
    """
    converted = call.said is not None and not ENDPOINTS[chosen(call.said)].labels
    if converted and isinstance(failure, errors.UnconvertedModelError):
        raise errors.ModelReplacedError(failure.url, f"another model than before is served: {failure.message}")


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


def _begin(call: Call, documents: Sequence[str], where: Where, ready: Packable | None) -> Steps[_Work]:
    """The documents as they are sent, and which are cut."""
    if ready is not None:
        items = [ready.items[document] for document in documents]
        cut = {index for index, item in enumerate(items) if item.truncated}
        return _Work(call, where, [item.sent for item in items], cut, ready.query)
    fitted = yield from counter(call).fit(call.head, documents, call.max_length)
    cut = {index for index, one in enumerate(fitted) if one.truncated}
    return _Work(call, where, [one.text for one in fitted], cut)


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
