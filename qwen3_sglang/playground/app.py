"""The playground's routes, for any model that answers as a `Reranker`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Any, Protocol

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from qwen3_sglang.errors import InvalidInputError, Qwen3SGLangError, ServerError, ServerTimeoutError
from qwen3_sglang.playground.answer import Ask, Ranked, answer, read_ask
from qwen3_sglang.playground.guard import HEADERS, refusal
from qwen3_sglang.serving.callers import while_connected
from qwen3_sglang.serving.limits import BodyError

Handler = Callable[[Request], Awaitable[Response]]

RERANK, INFO = "/playground/api/rerank", "/playground/api/info"
_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
_FILES = {
    "/": "index.html",
    "/playground.js": "playground.js",
    "/playground.css": "playground.css",
    "/playground.svg": "playground.svg",
    "/playground/api.js": "api.js",
    "/playground/state.js": "state.js",
    "/playground/view.js": "view.js",
}
# What anybody may read where a key guards the server: the page, which asks for the key, and whether it must.
OPEN_PATHS = frozenset(_FILES) | {INFO}


class Reranker(Protocol):
    """A model to play with."""

    async def info(self) -> dict[str, object]:
        """What the page's head says: "model", "server" (an address) or "problem" (`describe` of why not)."""

    async def rerank(self, ask: Ask) -> Ranked:
        """Every document of `ask`, scored.

        Raises:
            Qwen3SGLangError: its message is shown on the page.
        """


def routes(reranker: Reranker, *, needs_key: bool = False) -> list[Route]:
    """The page at "/", its files, and its API.

    Args:
        reranker: scores the documents.
        needs_key: requests to RERANK must carry a key, which the page then asks for. Checking it is the app's part.
    """

    async def info(request: Request) -> Response:
        known = {} if needs_key else await reranker.info()
        return _json({**known, "needs_key": needs_key})

    async def rerank(request: Request) -> Response:
        ask = read_ask(await _body(request))
        return _json(answer(await while_connected(request.receive, reranker.rerank(ask))))

    pages = [Route(path, _file(name), methods=["GET"]) for path, name in _FILES.items()]
    api = [
        Route(INFO, _guarded(info), methods=["GET"]),
        Route(RERANK, _guarded(rerank), methods=["POST"]),
    ]
    return pages + api


def _file(name: str) -> Handler:
    content = files("qwen3_sglang.playground").joinpath("static", name).read_bytes()
    kind = _TYPES[name.rpartition(".")[2]]

    async def send(request: Request) -> Response:
        return Response(content, media_type=kind, headers={**HEADERS, "Cache-Control": "no-cache"})

    return send


def _guarded(handler: Handler) -> Handler:
    """`handler` for the page's own requests only; errors of the library become JSON."""

    async def handle(request: Request) -> Response:
        reason = refusal(request.headers)
        if reason is not None:
            return _json({"error": {"type": "ForbiddenError", "message": reason}}, 403)
        try:
            return await handler(request)
        except Qwen3SGLangError as error:
            return _json({"error": describe(error)}, _status(error))
        except BodyError as error:
            body = {"error": {"type": "BodyError", "message": error.message}}
            return _json(body, error.status, error.headers)

    return handle


async def _body(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # any other could be sent by a plain form of another site
        raise InvalidInputError("Content-Type", kind, "send application/json")
    return await request.body()


def _status(error: Qwen3SGLangError) -> int:
    if isinstance(error, InvalidInputError):
        return 400
    if isinstance(error, ServerTimeoutError):
        return 504
    return 502 if isinstance(error, ServerError) else 500


def describe(error: Qwen3SGLangError) -> dict[str, str]:
    """An error as the page shows it."""
    return {"type": type(error).__name__, "message": str(error)}


def refuse_host(scope: Scope, reason: str) -> Response:
    """What a request under a foreign name is answered."""
    return _json({"error": {"type": "ForbiddenError", "message": reason}}, 403)


def _json(body: dict[str, Any], status: int = 200, more: Mapping[str, str] | None = None) -> Response:
    headers = {**HEADERS, "Cache-Control": "no-store", **(more or {})}
    return Response(orjson.dumps(body), status, headers=headers, media_type="application/json")
