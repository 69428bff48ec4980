"""OpenTelemetry's instrumentation of requests and aiohttp: every request is a child of the call that sent it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from fake_server import FakeServer
from qwen3_sglang import AuthenticationError, RerankClient

pytest.importorskip("opentelemetry.instrumentation.requests")
pytest.importorskip("opentelemetry.instrumentation.aiohttp_client")

from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor

from spans import Spans, parents, traced, written

KEY = "sk-made-up-0123456789"
DOCUMENTS = [f"document {place} p=0.{place}" for place in range(1, 8)]
LISTS = 4  # of two, or of one


def client(server: FakeServer, **options: Any) -> RerankClient:
    """Several lists per call, so that requests are sent by several threads or tasks."""
    return RerankClient(server.url, api_key=KEY, batch_size=2, max_retries=0, **options)


def lists(found: list[tuple[str, str | None]], call: str) -> bool:
    """Whether the call's lists were sent below it; what else a client asks is its own to say."""
    return found.count(("POST", call)) >= LISTS


def check(spans: Spans, call: str) -> None:
    """Under the call alone, and without the key."""
    found = spans.taken()
    assert set(parents(found)) == {("GET", call), ("POST", call), (call, None)}
    assert lists(parents(found), call)
    assert KEY not in written(found)


def test_sync(server: FakeServer) -> None:
    """Also where threads send the lists, and for two calls at once from threads of the application's own."""
    with traced(RequestsInstrumentor()) as spans:
        with spans.tracer.start_as_current_span("call"), client(server) as one:
            one.score("q", DOCUMENTS)
        check(spans, "call")

        def work(name: str) -> None:
            with spans.tracer.start_as_current_span(name), client(server) as one:
                one.score("q", DOCUMENTS)

        threads = [threading.Thread(target=work, args=(name,)) for name in ("left", "right")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = parents(spans.taken())
        assert all(lists(found, name) for name in ("left", "right"))


def test_async(server: FakeServer) -> None:
    """Also for two calls at once through one client, whose connections both use."""

    async def call(one: RerankClient, name: str, spans: Spans) -> None:
        with spans.tracer.start_as_current_span(name):
            await one.ascore("q", DOCUMENTS)

    async def both(spans: Spans) -> None:
        async with client(server) as one:
            await call(one, "call", spans)
            check(spans, "call")
            await asyncio.gather(call(one, "left", spans), call(one, "right", spans))
            found = parents(spans.taken())
            assert all(lists(found, name) for name in ("left", "right"))

    with traced(AioHttpClientInstrumentor()) as spans:
        asyncio.run(both(spans))


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_refused_key_is_not_in_the_span(server: FakeServer, way: str) -> None:
    """Although the server repeats it."""
    server.fault = 401, {"error": f"Unauthorized: {KEY}"}

    async def ask(one: RerankClient) -> None:
        try:
            await one.ascore("q", DOCUMENTS[:1])
        finally:
            await one.aclose()

    with traced(RequestsInstrumentor(), AioHttpClientInstrumentor()) as spans:
        one = client(server)
        with pytest.raises(AuthenticationError), spans.tracer.start_as_current_span("call"):
            asyncio.run(ask(one)) if way == "async" else one.score("q", DOCUMENTS[:1])
        one.close()
        found = spans.taken()
    assert ("POST", "call") in parents(found)
    assert KEY not in written(found)
