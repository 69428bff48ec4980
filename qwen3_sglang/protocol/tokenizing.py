"""Long documents cut or divided, and prompts counted, by a tokenizer on this machine or by the server's. No I/O.

What computes for long is yielded as Compute, so that whoever drives these steps can do it where it holds nobody up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from logging import getLogger
from typing import Any, TypeVar

import orjson

from qwen3_sglang import errors
from qwen3_sglang.prompts import truncate
from qwen3_sglang.prompts.chunks import Chunking, Divided, divide, divide_bytes
from qwen3_sglang.prompts.template import Head
from qwen3_sglang.prompts.tokenizer import TokenizerFailedError
from qwen3_sglang.prompts.truncate import Decode, Encode, Fitted
from qwen3_sglang.protocol.exchange import Request, Steps, ask, computed
from qwen3_sglang.protocol.responses import Response, read_json, short
from qwen3_sglang.protocol.retry import Patience

T = TypeVar("T")
TOKENIZE, DETOKENIZE = "/tokenize", "/detokenize"
PORTION = 2**18  # characters that are cut together: in UTF-8 mostly below 1 MiB, the usual limit of a proxy
_NO_TOKENIZER = {404, 405, 501}  # gateways don't route it
_NO_LISTS = {400, 422}  # vLLM's takes one text at a time
_TOO_LARGE = 413
_CUT_BY_BYTES = (
    "%s, so prompts of long documents hold max_length bytes, not tokens; "
    "pass tokenizer= (the served model's folder) to let more of them into a prompt"
)

_log = getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TokenCounter:
    """Asks for tokens.

    Attributes:
        model: name the server knows the model by.
        patience: whether and when to send a request again.
        tokenizer: one on this machine; None asks the server.
    """

    model: str
    patience: Patience
    tokenizer: truncate.Tokenizer | None = None

    def fit(self, head: Head, documents: Sequence[str], limit: int) -> Steps[list[Fitted]]:
        """The documents, cut where a prompt would have more than `limit` tokens; by bytes where no tokenizer can count.

        Raises:
            QueryError: the query and the instruction leave no room for a document.
            InvalidInputError: `tokenizer` isn't the model's.
            ServerError: the server's tokenizer can't be asked, or its answers make no sense.
        """
        return (
            yield from self._in_portions(
                head, documents, limit, partial(truncate.fit, limit=limit), partial(truncate.fit_bytes, limit=limit)
            )
        )

    def divide(self, head: Head, documents: Sequence[str], limit: int, how: Chunking) -> Steps[list[Divided]]:
        """The chunks of each document; by bytes where no tokenizer can count. Raises: as `fit`."""
        return (
            yield from self._in_portions(
                head,
                documents,
                limit,
                partial(divide, limit=limit, how=how),
                partial(divide_bytes, limit=limit, how=how),
            )
        )

    def _in_portions(
        self,
        head: Head,
        documents: Sequence[str],
        limit: int,
        by_tokens: Callable[[Head, Sequence[str]], truncate.Steps[list[T]]],
        by_bytes: Callable[[Head, Sequence[str]], list[T]],
    ) -> Steps[list[T]]:
        found: list[T] = []
        for part in truncate.portions(documents, limit, PORTION):
            if truncate.surely_fit(head, documents[part], limit):
                found += by_bytes(head, documents[part])  # which leaves them as they are, and asks nobody
                continue
            try:
                found += yield from self._answered(by_tokens(head, documents[part]))
            except _NobodyCountsError as reason:
                _log.warning(_CUT_BY_BYTES, reason)
                rest = documents[len(found) :]
                return found + (yield from computed(partial(by_bytes, head, rest)))
        return found

    def count(self, prompts: Sequence[str]) -> Steps[list[int] | list[None]]:
        """Number of tokens of each prompt; None where no tokenizer can count.

        Raises:
            ServerError: as `fit`.
        """
        try:
            found = yield from self._answer(Encode(list(prompts)))
        except _NobodyCountsError:
            return [None] * len(prompts)
        except errors.RequestRejectedError as failure:
            if failure.status not in _NO_LISTS:
                raise
            return [None] * len(prompts)
        return list(map(len, found))

    def _answered(self, steps: truncate.Steps[list[T]]) -> Steps[list[T]]:
        answer = None
        while True:
            try:
                asked, found = yield from computed(partial(_next, steps, answer))
            except errors.QueryError:
                raise
            except errors.InvalidInputError as error:
                if self.tokenizer is not None:
                    raise
                message = f"doesn't give back the text that was tokenised ({error.value!r}); pass tokenizer="
                raise errors.ProtocolError(DETOKENIZE, message) from None
            if asked is None:
                return found
            answer = yield from self._answer(asked)

    def _answer(self, asked: Encode | Decode) -> Steps[list[Any]]:
        if self.tokenizer is None:
            return (yield from self._from_server(asked))
        try:
            if isinstance(asked, Encode):
                return (yield from computed(partial(self.tokenizer.encode, asked.texts)))
            return (yield from computed(partial(self.tokenizer.decode, asked.ids)))
        except TokenizerFailedError as failure:
            raise _NobodyCountsError(failure) from None

    def _from_server(self, asked: Encode | Decode) -> Steps[list[Any]]:
        """The server's answer, in parts where that is too large for one request."""
        found: list[Any] = []
        waiting: deque[list[Any]] = deque([list(asked.texts if isinstance(asked, Encode) else asked.ids)])
        request, key, kind = (_encoding, "tokens", list) if isinstance(asked, Encode) else (_decoding, "text", str)
        while waiting:
            part = waiting.popleft()
            response = yield from ask(request(self.model, part), self.patience)
            if response.status == _TOO_LARGE and len(part) > 1:
                half = len(part) // 2
                waiting.extendleft([part[half:], part[:half]])
                continue
            if response.status in _NO_TOKENIZER or response.status == _TOO_LARGE:
                raise _NobodyCountsError(f"{response.url} can't be asked (HTTP {response.status})")
            found += _rows(response, key, kind, len(part))
        return found


class _NobodyCountsError(Exception):
    """No tokenizer can count; says why."""


def _next(
    steps: truncate.Steps[list[T]], answer: list[Any] | None
) -> tuple[Encode | Decode, list[T]] | tuple[None, list[T]]:
    """What the steps ask next; or None, and what they return."""
    try:
        return steps.send(answer), []
    except StopIteration as stop:
        return None, stop.value


def _encoding(model: str, texts: list[str]) -> Request:
    return Request(TOKENIZE, orjson.dumps({"model": model, "prompt": texts, "add_special_tokens": False}))


def _decoding(model: str, ids: list[list[int]]) -> Request:
    return Request(DETOKENIZE, orjson.dumps({"model": model, "tokens": ids, "skip_special_tokens": False}))


def _rows(response: Response, key: str, kind: type, count: int) -> list[Any]:
    """The rows of an answer: lists of token ids, or texts."""
    rows = read_json(response, "tokenizer's answer").get(key)
    if not isinstance(rows, list) or len(rows) != count or not all(isinstance(row, kind) for row in rows):
        raise errors.ProtocolError(response.url, f"{count} lists asked for, {short(rows)} came back; pass tokenizer=")
    return rows
