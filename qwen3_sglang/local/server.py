"""The endpoints of SGLang that a reranker uses, over an `Engine`."""

from __future__ import annotations

import contextlib
import math
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.local import checks
from qwen3_sglang.local.batcher import Batcher
from qwen3_sglang.local.engine import Engine
from qwen3_sglang.local.limits import BODY_SECONDS, MAX_BODY, Limits, PatientProtocol
from qwen3_sglang.local.openapi import OPERATIONS, describe
from qwen3_sglang.local.playground import EngineReranker
from qwen3_sglang.names import TARGET_CLASS
from qwen3_sglang.playground.app import OPEN_PATHS, routes
from qwen3_sglang.serving.in_thread import STOP_SECONDS, run_app
from qwen3_sglang.serving.loopback import is_loopback

Prompts = list[list[int]]

VERSION = "0.5"  # of the SGLang whose endpoints these are
_HTTP: dict[str, Any] = {"http": PatientProtocol, "ws": "none"}


class _Endpoints:
    """The handlers; one for each route."""

    def __init__(self, engine: Engine, *, with_key: bool) -> None:
        self.engine = engine
        self.description = describe(VERSION, with_key=with_key)
        self.batcher = Batcher(engine.score)
        self.name = str(engine.model_dir)

    async def classify(self, request: Request) -> Response:
        body = await _body(request)
        # In a thread: encoding a long list would hold up every other request.
        prompts = await run_in_threadpool(self._checked, checks.classify_prompts, body)
        logits = await self.batcher.score(prompts)
        data = [self._class(index, pair) for index, pair in enumerate(logits)]
        head = {"id": f"classify-{uuid.uuid4().hex}", "object": "list", "created": int(time.time())}
        return JSONResponse({**head, "model": self.name, "data": data, "usage": _usage(prompts)})

    async def score(self, request: Request) -> Response:
        body = await _body(request)
        prompts = await run_in_threadpool(self._checked, checks.score_prompts, body)
        logits = await self.batcher.score(prompts)
        scores = [_softmax(pair) if body.get("apply_softmax") else list(pair) for pair in logits]
        head = {"scores": scores, "pooled_hidden_states": None, "token_logprobs": None}
        model = body.get("model") or "default"
        return JSONResponse({**head, "model": model, "usage": _usage(prompts), "object": "scoring"})

    async def tokenize(self, request: Request) -> Response:
        body = await _body(request)
        tokens, count = await run_in_threadpool(checks.tokenize_prompt, body, self.engine.encode)
        return JSONResponse({"tokens": tokens, "count": count, "max_model_len": self.engine.max_length})

    async def detokenize(self, request: Request) -> Response:
        body = await _body(request)
        return JSONResponse({"text": await run_in_threadpool(checks.detokenize_tokens, body, self.engine.decode)})

    async def models(self, request: Request) -> Response:
        card = {"id": self.name, "object": "model", "created": int(time.time()), "owned_by": "sglang"}
        more = {"root": self.name, "parent": None, "max_model_len": self.engine.max_length}
        return JSONResponse({"object": "list", "data": [{**card, **more}]})

    async def model_info(self, request: Request) -> Response:
        paths = dict.fromkeys(("model_path", "served_model_name", "tokenizer_path"), self.name)
        kind = {"is_generation": False, "model_type": "qwen3", "architectures": [TARGET_CLASS]}
        return JSONResponse({**paths, **kind})

    async def health(self, request: Request) -> Response:
        return Response(status_code=200)

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(self.description)

    def _checked(self, read: Callable[[checks.Body, checks.Encode], Iterable[list[int]]], body: checks.Body) -> Prompts:
        prompts = read(body, self.engine.encode)
        return list(checks.check_prompts(prompts, self.engine.max_length, self.engine.vocab_size))

    def _class(self, index: int, logits: tuple[float, float]) -> dict[str, Any]:
        label = self.engine.labels[int(logits[1] > logits[0])]
        return {"index": index, "label": label, "probs": _softmax(logits), "num_classes": len(logits)}


class _RequireKey:
    """401 for requests without the key; /health stays open, as a load balancer has no key, and so does the page."""

    _open = OPEN_PATHS | {"/health"}

    def __init__(self, app: ASGIApp, api_key: str) -> None:
        self._app = app
        self._expected = f"Bearer {api_key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._open or self._allows(scope):
            await self._app(scope, receive, send)
            return
        await JSONResponse({"error": "Unauthorized"}, status_code=401)(scope, receive, send)

    def _allows(self, scope: Scope) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        scheme, _, key = given.partition(b" ")
        # compare_digest: the time it takes says nothing about the key.
        return secrets.compare_digest(scheme.title() + b" " + key.strip(), self._expected)


def create_app(
    engine: Engine, *, api_key: str | None = None, max_body: int = MAX_BODY, body_seconds: float = BODY_SECONDS
) -> Starlette:
    """The application that serves `engine`; with `api_key`, requests must carry it as a bearer token."""
    endpoints = _Endpoints(engine, with_key=api_key is not None)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await endpoints.batcher.start()
        yield
        await endpoints.batcher.stop()

    middleware = [Middleware(Limits, max_body=max_body, seconds=body_seconds)]
    if api_key is not None:
        middleware.insert(0, Middleware(_RequireKey, api_key=api_key))
    handlers: dict[Any, Any] = {checks.RejectedError: _rejected, HTTPException: _http_error}
    paths = _routes(endpoints)
    paths += routes(EngineReranker(engine, endpoints.batcher, endpoints.name), needs_key=api_key is not None)
    return Starlette(routes=paths, middleware=middleware, exception_handlers=handlers, lifespan=lifespan)


def serve(
    model_dir: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 30000,
    api_key: str | None = None,
    threads: int | None = None,
) -> None:
    """See `qwen3_sglang.local.serve`."""
    _check_access(host, api_key)
    app = create_app(Engine(model_dir, threads=threads), api_key=api_key)
    uvicorn.run(app, host=host, port=port, log_level="info", timeout_graceful_shutdown=STOP_SECONDS, **_HTTP)


@contextlib.contextmanager
def run_in_thread(
    model_dir: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    api_key: str | None = None,
    threads: int | None = None,
) -> Iterator[str]:
    """See `qwen3_sglang.local.run_in_thread`."""
    _check_access(host, api_key)
    app = create_app(Engine(model_dir, threads=threads), api_key=api_key)
    with run_app(app, host=host, port=port, **_HTTP) as base_url:
        yield base_url


def _routes(endpoints: _Endpoints) -> list[Route]:
    return [
        Route(path, getattr(endpoints, operation.handler), methods=[operation.method])
        for path, operation in OPERATIONS.items()
    ]


def _check_access(host: str, api_key: str | None) -> None:
    if api_key is not None and not api_key.strip():
        raise InvalidInputError("api_key", api_key, "pass a key that is not blank, or None for no key")
    if api_key is None and not is_loopback(host):
        raise InvalidInputError("host", host, "pass api_key too: others can reach this address")


async def _body(request: Request) -> checks.Body:
    raw = await request.body()
    return await run_in_threadpool(checks.parse_body, raw, request.headers.get("content-type", ""))


async def _rejected(request: Request, error: checks.RejectedError) -> Response:
    # After 408 the rest of the body may still come; nobody waits for it.
    headers = {"connection": "close"} if error.status == 408 else None  # noqa: PLR2004 - request timeout
    return _error(error.message, error.kind, error.status, headers)


async def _http_error(request: Request, error: HTTPException) -> Response:
    return JSONResponse({"detail": error.detail}, status_code=error.status_code, headers=error.headers)


def _error(message: str, kind: str, code: int, headers: dict[str, str] | None) -> Response:
    body = {"object": "error", "message": message, "type": kind, "param": None, "code": code}
    return JSONResponse(body, status_code=code, headers=headers)


def _usage(prompts: Prompts) -> dict[str, Any]:
    tokens = sum(len(prompt) for prompt in prompts)
    return {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0}


def _softmax(logits: tuple[float, float]) -> list[float]:
    top = max(logits)
    powers = [math.exp(logit - top) for logit in logits]
    return [power / sum(powers) for power in powers]
