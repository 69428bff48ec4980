"""The embedded server: an `Engine` behind SGLang's endpoints and the playground, with the guards around them."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.local import Options, checks
from qwen3_sglang.local.batcher import Batcher
from qwen3_sglang.local.endpoints import Endpoints
from qwen3_sglang.local.engine import Engine
from qwen3_sglang.local.openapi import OPERATIONS
from qwen3_sglang.local.playground import EngineReranker
from qwen3_sglang.local.warm_up import warm_up
from qwen3_sglang.playground.app import OPEN_PATHS, refuse_host, routes
from qwen3_sglang.serving.callers import hung_up
from qwen3_sglang.serving.hosts import HostGuard, Hosts, read_hosts
from qwen3_sglang.serving.in_thread import STOP_SECONDS, run_app
from qwen3_sglang.serving.limits import BODY_SECONDS, HTTP, MAX_BODY, BodyError, Limits

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """How to load and serve a model; `qwen3_sglang.local.Options` says what each is."""

    host: str = "127.0.0.1"
    port: int = 30000
    api_key: str | None = None
    threads: int | None = None
    device: str | None = None
    dtype: str | None = None
    name: str | None = None
    allow_hosts: Sequence[str] = ()
    multi_item: bool = False

    def hosts(self) -> Hosts:
        """The names that requests may come under.

        Raises:
            InvalidInputError: an open address without a key or names, a blank key, an unusable name.
        """
        if self.api_key is not None and not self.api_key.strip():
            raise InvalidInputError("api_key", self.api_key, "pass a key that is not blank, or None for no key")
        return read_hosts(self.host, self.allow_hosts, keyed=self.api_key is not None)

    def load(self, model_dir: str | Path, say: Say) -> Starlette:
        """The application, with the model loaded and its speed measured.

        Raises: InvalidInputError or ConversionError, as `qwen3_sglang.local.serve`.
        """
        hosts = self.hosts()
        engine = Engine(model_dir, threads=self.threads, device=self.device, dtype=self.dtype)
        speed = warm_up(engine, say)
        return create_app(
            engine, name=self.name, api_key=self.api_key, multi_item=self.multi_item, hosts=hosts, speed=speed
        )


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
    engine: Engine,
    *,
    name: str | None = None,
    api_key: str | None = None,
    multi_item: bool = False,
    hosts: Hosts | None = None,
    speed: float | None = None,
    max_body: int = MAX_BODY,
    body_seconds: float = BODY_SECONDS,
) -> Starlette:
    """The application that serves `engine`.

    Args:
        engine: computes the scores.
        name: what clients call the model; None is the folder's name.
        api_key: if given, requests must carry it as a bearer token.
        multi_item: whether /v1/score takes a list as one sequence, and is the only route that scores.
        hosts: the names that requests may come under; None are those of a loopback address.
        speed: tokens per second, until requests have been measured.
        max_body: bytes of one request.
        body_seconds: how long a request's body may take.
    """
    batcher = Batcher(engine.begin, speed=speed)
    shown = name or engine.model_dir.resolve().name

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await batcher.start()
        yield
        await batcher.stop()

    keyed = api_key is not None
    middleware = [Middleware(HostGuard, hosts=hosts or Hosts("127.0.0.1", keyed=keyed), refuse=_wrong_host)]
    if api_key is not None:
        middleware.append(Middleware(_RequireKey, api_key=api_key))
    middleware.append(Middleware(Limits, max_body=max_body, seconds=body_seconds))
    paths = _routes(Endpoints(engine, batcher, shown, with_key=keyed, multi_item=multi_item))
    paths += routes(EngineReranker(engine, batcher, shown), needs_key=keyed)
    return Starlette(routes=paths, middleware=middleware, exception_handlers=_HANDLERS, lifespan=lifespan)


def serve(model_dir: str | Path, options: Options, say: Say) -> None:
    """See `qwen3_sglang.local.serve`."""
    config = Config(**options)
    address: dict[str, Any] = {"host": config.host, "port": config.port}
    app = config.load(model_dir, say)
    uvicorn.run(app, **address, log_level="info", timeout_graceful_shutdown=STOP_SECONDS, **HTTP)


@contextlib.contextmanager
def run_in_thread(model_dir: str | Path, options: Options, say: Say) -> Iterator[str]:
    """See `qwen3_sglang.local.run_in_thread`."""
    config = replace(Config(**options), port=options.get("port", 0))
    with run_app(config.load(model_dir, say), host=config.host, port=config.port, **HTTP) as base_url:
        yield base_url


def _routes(endpoints: Endpoints) -> list[Route]:
    return [
        Route(path, getattr(endpoints, operation.handler), methods=[operation.method])
        for path, operation in OPERATIONS.items()
    ]


async def _rejected(request: Request, error: checks.RejectedError) -> Response:
    return _error(error.message, error.kind, error.status, error.headers)


async def _unread(request: Request, error: BodyError) -> Response:
    return _error(error.message, "BadRequestError", error.status, error.headers)


async def _http_error(request: Request, error: HTTPException) -> Response:
    return JSONResponse({"detail": error.detail}, status_code=error.status_code, headers=error.headers)


def _wrong_host(scope: Scope, reason: str) -> Response:
    if scope["path"].startswith("/playground/api/"):
        return refuse_host(scope, reason)
    return _error(reason, "ForbiddenError", 403)


def _error(message: str, kind: str, code: int, headers: dict[str, str] | None = None) -> Response:
    body = {"object": "error", "message": message, "type": kind, "param": None, "code": code}
    return JSONResponse(body, status_code=code, headers=headers)


_HANDLERS: dict[Any, Any] = {
    checks.RejectedError: _rejected,
    BodyError: _unread,
    ClientDisconnect: hung_up,
    HTTPException: _http_error,
}
