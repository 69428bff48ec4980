"""The handlers of SGLang's endpoints that a reranker uses, over an `Engine`."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.local import checks
from qwen3_sglang.local.batcher import Batcher, Logits, TooSlowError
from qwen3_sglang.local.encoding import Encoder
from qwen3_sglang.local.engine import Engine
from qwen3_sglang.local.items import Prompts, prompts_apart, prompts_of_sequence, read_score, refuse_classify, softmax
from qwen3_sglang.local.labels import NO_CLASSES, in_order, read_orders
from qwen3_sglang.local.openapi import describe
from qwen3_sglang.names import FRONTEND, PATIENCE, SOURCE_CLASS, TARGET_CLASS
from qwen3_sglang.serving.callers import Stopped, in_thread, while_connected

Read = Callable[[checks.Encode], Prompts]

VERSION = "0.5"  # of the SGLang whose endpoints these are
_LONGEST_WAIT = 10**6  # seconds


@dataclass(frozen=True, slots=True)
class _Scored:
    prompts: Prompts
    logits: list[Logits]

    @property
    def usage(self) -> dict[str, Any]:
        tokens = self.prompts.tokens
        return {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0}


class Endpoints:
    """One handler per route.

    Attributes:
        name: what clients call the model.
        multi_item: whether a list is one sequence, as with SGLang's --enable-mis.
    """

    def __init__(
        self, engine: Engine, batcher: Batcher, name: str, *, with_key: bool, multi_item: bool = False
    ) -> None:
        self.engine = engine
        self.batcher = batcher
        self.name = name
        self.multi_item = multi_item
        self.description = describe(VERSION, with_key=with_key)
        self._encoder = Encoder(engine.encode, engine.max_length, engine.longest_token)

    async def classify(self, request: Request) -> Response:
        """POST /v1/classify. Raises: RejectedError, which the application answers."""
        body = await _body(request)
        if self.multi_item:
            raise refuse_classify()
        if self.engine.answer_ids is not None:
            raise checks.RejectedError(NO_CLASSES)
        limits = self.engine.max_length, self.engine.vocab_size

        def read(encode: checks.Encode) -> Prompts:
            ids = list(checks.check_prompts(checks.classify_prompts(body, encode), *limits))
            return Prompts(ids, sum(map(len, ids)))

        scored = await self._scored(request, read)
        data = [self._class(index, pair) for index, pair in enumerate(scored.logits)]
        head = {"id": f"classify-{uuid.uuid4().hex}", "object": "list", "created": int(time.time())}
        return JSONResponse({**head, "model": self.name, "data": data, "usage": scored.usage})

    async def score(self, request: Request) -> Response:
        """POST /v1/score. Raises: RejectedError, which the application answers."""
        body = await _body(request)
        asked = read_score(body)
        orders = read_orders(body, len(asked.items), self.engine.answer_ids, softmax=asked.softmax)
        limits = self.engine.max_length, self.engine.vocab_size
        prompts = prompts_of_sequence if self.multi_item else prompts_apart
        scored = await self._scored(request, lambda encode: prompts(asked, encode, *limits))
        logits = scored.logits if orders is None else list(map(in_order, scored.logits, orders))
        scores = [asked.scores(pair) for pair in logits]
        head = {"scores": scores, "pooled_hidden_states": None, "token_logprobs": None}
        return JSONResponse({**head, "model": asked.model, "usage": scored.usage, "object": "scoring"})

    async def tokenize(self, request: Request) -> Response:
        """POST /tokenize. Raises: RejectedError, which the application answers."""
        body = await _body(request)

        def work(stopped: Stopped) -> tuple[Any, Any]:
            return checks.tokenize_prompt(body, _until(stopped, self.engine.encode))

        tokens, count = await while_connected(request.receive, in_thread(work))
        return JSONResponse({"tokens": tokens, "count": count, "max_model_len": self.engine.max_length})

    async def detokenize(self, request: Request) -> Response:
        """POST /detokenize. Raises: RejectedError, which the application answers."""
        body = await _body(request)
        work = in_thread(lambda _: checks.detokenize_tokens(body, self.engine.decode))
        return JSONResponse({"text": await while_connected(request.receive, work)})

    async def models(self, request: Request) -> Response:
        """GET /v1/models."""
        card = {"id": self.name, "object": "model", "created": int(time.time()), "owned_by": "sglang"}
        more = {"root": self.name, "parent": None, "max_model_len": self.engine.max_length}
        return JSONResponse({"object": "list", "data": [{**card, **more}]})

    async def model_info(self, request: Request) -> Response:
        """GET /model_info."""
        names = dict.fromkeys(("model_path", "served_model_name", "tokenizer_path"), self.name)
        original = self.engine.answer_ids is not None
        kind = {"is_generation": original, "architectures": [SOURCE_CLASS if original else TARGET_CLASS]}
        return JSONResponse({**names, "model_type": "qwen3", **kind, "frontend": FRONTEND})

    async def server_info(self, request: Request) -> Response:
        """GET /server_info: which way it serves. SGLang's tells its whole command, keys included; this one doesn't."""
        way = {"enable_mis": self.multi_item, "context_length": self.engine.max_length}
        return JSONResponse({"served_model_name": self.name, **way})

    async def health(self, request: Request) -> Response:
        """GET /health."""
        return Response(status_code=200)

    async def openapi(self, request: Request) -> Response:
        """GET /openapi.json."""
        return JSONResponse(self.description)

    async def _scored(self, request: Request, read: Read) -> _Scored:
        """The prompts that `read` makes, and their logits."""
        within = _patience(request.headers.get(PATIENCE))

        async def work() -> _Scored:
            # In a thread: encoding a long list would hold up every other request.
            prompts = await in_thread(lambda stopped: read(_until(stopped, self._encoder)))
            try:
                return _Scored(prompts, await self.batcher.score(prompts.ids, within))
            except TooSlowError as error:
                raise _too_slow(len(prompts.ids), error) from None
            except InvalidInputError as error:  # the model's own: in this precision, these prompts have no score
                raise checks.RejectedError(str(error)) from None

        return await while_connected(request.receive, work())

    def _class(self, index: int, logits: Logits) -> dict[str, Any]:
        label = self.engine.labels[int(logits[1] > logits[0])]
        return {"index": index, "label": label, "probs": softmax(logits), "num_classes": len(logits)}


async def _body(request: Request) -> checks.Body:
    raw = await request.body()
    return await in_thread(lambda _: checks.parse_body(raw, request.headers.get("content-type", "")))


def _until(stopped: Stopped, encode: checks.Encode) -> checks.Encode:
    """`encode`, which stops when the caller hangs up."""

    def watched(text: str) -> list[int]:
        stopped()
        return encode(text)

    return watched


def _patience(value: str | None) -> float | None:
    """The seconds of the header; None where it is missing or says nothing usable."""
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds <= _LONGEST_WAIT else None


def _too_slow(prompts: int, error: TooSlowError) -> checks.RejectedError:
    """503. Its Retry-After is longer than the client can wait, so the client gives up at once."""
    needed = math.ceil(error.needed)
    message = f"{prompts} prompts take about {needed} s here, and the client waits {error.given:g} s"
    return checks.RejectedError(
        f"{message}: send fewer, shorten them, or raise the timeout",
        "ServiceUnavailableError",
        503,
        {"retry-after": str(needed)},
    )
