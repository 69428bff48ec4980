"""The playground of any server: this process asks it by `RerankClient`, so the browser never sees the key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect

from qwen3_sglang.client import RerankClient
from qwen3_sglang.errors import ServerError
from qwen3_sglang.playground.answer import Ask, LongDocuments, Ranked
from qwen3_sglang.playground.app import describe, refuse_host, routes
from qwen3_sglang.ranking import RerankResult
from qwen3_sglang.serving.callers import hung_up
from qwen3_sglang.serving.hosts import HostGuard, Hosts
from qwen3_sglang.serving.in_thread import run_app
from qwen3_sglang.serving.limits import HTTP, Limits

MakeClient = Callable[[LongDocuments], RerankClient]


class ClientReranker:
    """Asks the server behind `make_client(long_documents)`.

    A client of its own for each question: the server may have been started again with another model meanwhile.
    """

    def __init__(self, make_client: MakeClient) -> None:
        self._make_client = make_client

    async def info(self) -> dict[str, object]:
        """The server's address, and its model or why it doesn't answer."""
        async with self._make_client("truncate") as client:
            try:
                known: dict[str, object] = {"model": await asyncio.to_thread(client.model)}
            except ServerError as error:
                known = {"problem": describe(error)}
            return {"server": client.settings.base_url, **known}

    async def rerank(self, ask: Ask) -> Ranked:
        """Every document of `ask`, scored by the server.

        Raises:
            Qwen3SGLangError: as `RerankClient.arerank`.
        """
        async with self._make_client(ask.long_documents) as client:
            # First, so that asking for the model and connecting aren't counted as the server's time.
            prompts = await client.aprompts(ask.query, ask.documents, instruction=ask.instruction)
            start = time.perf_counter()
            results = await client.arerank(ask.query, ask.documents, instruction=ask.instruction)
            milliseconds = (time.perf_counter() - start) * 1000
            if any(result.chunk for result in results):
                prompts = await client.aprompts(ask.query, _read(ask, results), instruction=ask.instruction)
            return Ranked(results, prompts, client.model(), milliseconds)


def _read(ask: Ask, results: Sequence[RerankResult]) -> list[str]:
    """The documents, or of those that were scored in chunks the best one."""
    texts = list(ask.documents)
    for result in results:
        if result.chunk is not None:
            texts[result.index] = texts[result.index][result.chunk.start : result.chunk.end]
    return texts


def create_app(make_client: MakeClient) -> Starlette:
    """The playground for the server that `make_client` makes clients of."""
    middleware = [Middleware(HostGuard, hosts=Hosts("127.0.0.1"), refuse=refuse_host), Middleware(Limits)]
    handlers: dict[Any, Any] = {ClientDisconnect: hung_up}
    return Starlette(routes=routes(ClientReranker(make_client)), middleware=middleware, exception_handlers=handlers)


def run(make_client: MakeClient, port: int) -> AbstractContextManager[str]:
    """See `qwen3_sglang.playground.run_in_thread`."""
    return run_app(create_app(make_client), port=port, **HTTP)
