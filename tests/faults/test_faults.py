"""What becomes of a call when the server, or what stands before it, misbehaves: nothing is lost, nothing made up.

Tests of `transport/failures.py`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import threading
from collections.abc import Iterator

import faulty as faults
import pytest
from asked import DOCUMENTS, QUERY, Rerank
from faulty import Fault, Faulty

from qwen3_sglang import RerankClient, RerankResult, errors
from qwen3_sglang.protocol.retry import Backoff

FULL = faults.answer(503, b'{"object":"error","message":"The request queue is full.","code":503}')
TOO_LONG = faults.answer(400, b'{"object":"error","message":"The input is too long","code":400}')


def warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What this library warned of; on a busy machine others may warn as well."""
    return [one for one in caplog.records if one.levelno >= logging.WARNING and one.name.startswith("qwen3_sglang")]


def row(**changes: object) -> Fault:
    """The right answer, but for these fields of its first row."""
    return faults.altered(lambda rows: [rows[0] | changes, *rows[1:]])


# What passes by itself: asked again, then raised.
PASSING: dict[str, tuple[Fault, type[errors.ServerError]]] = {
    "reset before headers": (faults.reset_before_headers, errors.ServerUnreachableError),
    "reset after headers": (faults.reset_after_headers, errors.ServerUnreachableError),
    "closed before headers": (faults.closed_before_headers, errors.ServerUnreachableError),
    "body cut short": (faults.cut_short, errors.ServerUnreachableError),
    "chunk cut short": (faults.chunk_cut_short, errors.ServerUnreachableError),
    "no HTTP": (faults.no_http, errors.ServerUnreachableError),
    "408": (faults.answer(408, b""), errors.ServerFailureError),
    "429": (faults.answer(429, b"slow down", "Retry-After: 0"), errors.ServerOverloadedError),
    "429 until a date": (
        faults.answer(429, b"slow down", "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT"),
        errors.ServerOverloadedError,
    ),
    "500 of a gateway": (
        faults.answer(500, b'{"error":{"code":"call_upstream_connection_failed","message":"gone"}}'),
        errors.ServerFailureError,
    ),
    "502": (faults.answer(502, b"<html>Bad Gateway</html>"), errors.ServerFailureError),
    "503": (faults.answer(503, b'{"error":{"code":"no_available_workers"}}'), errors.ServerOverloadedError),
    "504": (faults.answer(504, b""), errors.ServerFailureError),
}
# What stays: raised at once.
LASTING: dict[str, tuple[Fault, type[errors.ServerError]]] = {
    "HTML": (faults.answer(200, b"<html>Welcome</html>", "Content-Type: text/html"), errors.NotSGLangError),
    "one probability": (row(probs=[1.0], label="Default", num_classes=1), errors.ServerFailureError),
    "one label": (row(probs=[1.0], label="LABEL_0", num_classes=1), errors.OneLabelModelError),
    "NaN": (row(probs=[math.nan, math.nan]), errors.NotSGLangError),
    "null": (row(probs=[None, None]), errors.ProtocolError),
    "too few rows": (faults.altered(lambda rows: rows[:-1]), errors.ProtocolError),
    "too many rows": (faults.altered(lambda rows: [*rows, rows[-1]]), errors.ProtocolError),
    "rows in another order": (faults.altered(lambda rows: rows[::-1]), errors.ProtocolError),
    "the same index twice": (faults.altered(lambda rows: [rows[0], rows[0], *rows[2:]]), errors.ProtocolError),
    "labels swapped": (
        faults.altered(lambda rows: [r | {"label": {"yes": "no", "no": "yes"}[r["label"]]} for r in rows]),
        errors.SwappedLabelsError,
    ),
    "gzip bomb": (faults.gzip_bomb, errors.ProtocolError),
    "flood": (faults.floods, errors.ProtocolError),
    "redirect": (faults.answer(307, b"", "Location: http://127.0.0.1:9/v1/classify"), errors.NotSGLangError),
    "no such path": (faults.answer(404, b"not found"), errors.NotSGLangError),
    "no such model": (
        faults.answer(404, b'{"error":{"code":"model_not_found","message":"model toy not found"}}'),
        errors.ModelNotFoundError,
    ),
    "401": (faults.answer(401, b'{"error":"Unauthorized"}'), errors.AuthenticationError),
    "422": (faults.answer(422, b"missing field `model`"), errors.RequestRejectedError),
}
# What takes for ever: over after `timeout`.
ENDLESS: dict[str, Fault] = {
    "silent": faults.silent,
    "headers in drips": faults.drips_headers,
    "body in drips": faults.drips_body,
}


def params(table: dict[str, tuple[Fault, type[errors.ServerError]]]) -> list[object]:
    """Each with its name."""
    return [pytest.param(*case, id=name) for name, case in table.items()]


def scores(results: list[RerankResult]) -> list[float]:
    """By document."""
    return [result.score for result in sorted(results, key=lambda result: result.index)]


@pytest.mark.parametrize(("fault", "error"), params(PASSING))
def test_what_passes_costs_nothing(
    faulty: Faulty, rerank: Rerank, truth: list[float], fault: Fault, error: type[errors.ServerError]
) -> None:
    """Twice in a row, then fine: every document has its own score."""
    faulty.fail(fault, fault)
    assert scores(rerank(faulty.url)) == pytest.approx(truth, abs=1e-6)
    halved = fault is PASSING["503"][0]  # it may hide a full queue
    assert [len(sent) for sent in faulty.lists] == ([6, 6, 3, 3] if halved else [6, 6, 6])


@pytest.mark.parametrize(("fault", "error"), params(PASSING))
def test_what_does_not_pass_is_raised(
    faulty: Faulty, rerank: Rerank, fault: Fault, error: type[errors.ServerError]
) -> None:
    """After max_retries, with the number of tries; the server is asked nothing else meanwhile."""
    faulty.fail(fault, always=True)
    with pytest.raises(errors.ServerError, match="tried 3 times") as caught:
        rerank(faulty.url, max_retries=2, endpoint="v1/classify")
    assert (type(caught.value), caught.value.attempts) == (error, 3)
    assert [asked.path for asked in faulty.asked] == ["/v1/models", *["/v1/classify"] * 3]


@pytest.mark.parametrize(("fault", "error"), params(LASTING))
def test_what_stays_is_raised_at_once(
    faulty: Faulty, rerank: Rerank, fault: Fault, error: type[errors.ServerError]
) -> None:
    """A typed error, after one try."""
    faulty.fail(fault, always=True)
    with pytest.raises(errors.ServerError) as caught:
        rerank(faulty.url)
    assert type(caught.value) is error
    assert len(faulty.lists) == 1


@pytest.mark.parametrize("batch_size", [2, 128])
@pytest.mark.parametrize("fault", ENDLESS.values(), ids=ENDLESS)
def test_the_call_ends_in_time(faulty: Faulty, rerank: Rerank, fault: Fault, batch_size: int) -> None:
    """However the bytes come, no call outlives `timeout`."""
    faulty.fail(fault, always=True)
    with pytest.raises(errors.ServerTimeoutError, match=r"timeout=0\.4"):
        rerank(faulty.url, timeout=0.4, model="toy", max_length=8192, batch_size=batch_size)


ALL = {**{n: f for n, (f, _) in (PASSING | LASTING).items()}, **ENDLESS}


@pytest.mark.parametrize("fault", ALL.values(), ids=ALL)
def test_fail_open_gives_every_document_back(
    faulty: Faulty, rerank: Rerank, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """In the order given, unscored, marked, with one warning that says why."""
    faulty.fail(fault, always=True)
    told = {"model": "toy", "max_length": 8192, "timeout": 0.4} if fault in ENDLESS.values() else {}
    results = rerank(faulty.url, on_error="passthrough", max_retries=1, **told)
    assert [result.index for result in results] == list(range(len(DOCUMENTS)))
    assert all(math.isnan(result.score) and math.isnan(result.logit) for result in results)
    [reason] = {result.error for result in results}
    [record] = warnings(caplog)
    assert reason
    assert reason in record.getMessage()


def test_fail_open_keeps_to_top_n(nobody: str, rerank: Rerank) -> None:
    """The first ones of the order given."""
    assert [result.index for result in rerank(nobody, top_n=2, on_error="passthrough")] == [0, 1]


def test_fail_open_forgives_no_mistake_of_the_caller(nobody: str, rerank: Rerank) -> None:
    """Input that can't be used, and scores that were asked for themselves, still raise."""
    with pytest.raises(errors.InvalidInputError):
        rerank(nobody, [*DOCUMENTS, 7], on_error="passthrough")
    with pytest.raises(errors.InvalidInputError):
        rerank(nobody, top_n=0, on_error="passthrough")
    with pytest.raises(errors.ServerUnreachableError):
        RerankClient(nobody, on_error="passthrough", max_retries=0).score(QUERY, DOCUMENTS)


def test_refused(nobody: str, rerank: Rerank) -> None:
    """Nobody was ever there: a wrong address, so it is said soon, whatever the timeout."""
    with pytest.raises(errors.ServerUnreachableError, match="tried 3 times"):
        rerank(nobody, timeout=600)


@pytest.mark.parametrize("room", [1, 4])
def test_a_full_queue(faulty: Faulty, rerank: Rerank, truth: list[float], room: int) -> None:
    """SGLang counts the documents of a list one by one: smaller lists, every score, nothing asked on the side."""
    faulty.fail(faults.refusing(lambda texts: len(texts) > room, FULL), always=True)
    assert scores(rerank(faulty.url, max_retries=0, endpoint="v1/classify")) == pytest.approx(truth, abs=1e-6)
    assert {asked.path for asked in faulty.asked} == {"/v1/models", "/v1/classify"}


def test_a_full_queue_behind_an_open_breaker(faulty: Faulty, rerank: Rerank, truth: list[float]) -> None:
    """The gateway says only that nobody is available: smaller lists all the same, and every score."""
    faulty.fail(faults.refusing(lambda texts: len(texts) > 1, PASSING["503"][0]), always=True)
    assert scores(rerank(faulty.url)) == pytest.approx(truth, abs=1e-6)
    assert [len(sent) for sent in faulty.lists] == [6, 6, 3, 3, 1, 1, 1, 1, 1, 1]


def test_a_queue_that_stays_full(faulty: Faulty, rerank: Rerank) -> None:
    """Down to one document, then the server's own words."""
    faulty.fail(FULL, always=True)
    with pytest.raises(errors.ServerOverloadedError, match="queue is full"):
        rerank(faulty.url, max_retries=2)
    assert [len(texts) for texts in faulty.lists] == [6, 3, 1, 1, 1]


@pytest.mark.parametrize("refusal", [TOO_LONG, faults.answer(413, b"too large")], ids=["400", "413"])
def test_a_document_that_is_refused_is_named(faulty: Faulty, rerank: Rerank, refusal: Fault) -> None:
    """By its index in the caller's list, each occurrence, with the server's words."""
    faulty.fail(faults.refusing(lambda texts: any("Tea" in text for text in texts), refusal), always=True)
    with pytest.raises(errors.DocumentError, match=r"document 2 \(also 4\): .*too l") as caught:
        rerank(faulty.url)
    assert (caught.value.index, caught.value.indices) == (2, (2, 4))


def test_a_document_that_is_refused_costs_the_others_nothing(
    faulty: Faulty, rerank: Rerank, truth: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """With fail-open: the others ranked, it comes last, marked; one warning."""
    faulty.fail(faults.refusing(lambda texts: any("Tea" in text for text in texts), TOO_LONG), always=True)
    results = rerank(faulty.url, on_error="passthrough")
    best = sorted((i for i in range(len(DOCUMENTS)) if i not in {2, 4}), key=lambda i: -truth[i])
    assert [result.index for result in results] == [*best, 2, 4]
    assert [result.score for result in results[:-2]] == pytest.approx([truth[i] for i in best], abs=1e-6)
    assert all("too long" in (result.error or "") for result in results[-2:])
    assert all(result.error is None for result in results[:-2])
    assert len(warnings(caplog)) == 1
    assert [result.index for result in rerank(faulty.url, on_error="passthrough", top_n=2)] == best[:2]


def test_a_request_too_large_is_sent_in_parts(faulty: Faulty, rerank: Rerank, truth: list[float]) -> None:
    """413 for a list says nothing against its documents."""
    faulty.fail(faults.refusing(lambda texts: len(texts) > 2, faults.answer(413, b"too large")), always=True)
    assert scores(rerank(faulty.url)) == pytest.approx(truth, abs=1e-6)


def test_a_redirect_is_not_followed(faulty: Faulty, upstream: str, rerank: Rerank) -> None:
    """Neither the texts nor the key go to another host."""
    with Faulty(upstream).running() as other:
        faulty.fail(faults.answer(308, b"", f"Location: {other.url}/v1/classify"), always=True)
        with pytest.raises(errors.NotSGLangError, match="redirects to"):
            rerank(faulty.url, api_key="sk-made-up")
        assert {asked.key for asked in faulty.asked} == {"Bearer sk-made-up"}
        assert other.asked == []


def test_a_server_that_came_back_with_another_model(faulty: Faulty, mode: str) -> None:
    """Its name is asked for again by the next call."""
    client = RerankClient(faulty.url)
    faulty.fail(LASTING["no such model"][0])
    call = client.score if mode == "sync" else lambda *args: asyncio.run(client.ascore(*args))
    with pytest.raises(errors.ModelNotFoundError):
        call(QUERY, DOCUMENTS)
    assert len(call(QUERY, DOCUMENTS)) == len(DOCUMENTS)
    assert [asked.path for asked in faulty.asked].count("/v1/models") == 2
    client.close()


def test_a_wait_longer_than_the_call(faulty: Faulty, rerank: Rerank) -> None:
    """Retry-After beyond `timeout`: said at once, not slept through."""
    faulty.fail(faults.answer(429, b"later", "Retry-After: 3600"), always=True)
    with pytest.raises(errors.ServerOverloadedError) as caught:
        rerank(faulty.url, timeout=600)
    assert caught.value.retry_after == 3600
    assert len(faulty.lists) == 1


def test_a_silent_server_is_asked_again(faulty: Faulty, rerank: Rerank, truth: list[float]) -> None:
    """After read_timeout; the next one answers."""
    faulty.fail(faults.silent)
    assert scores(rerank(faulty.url, read_timeout=2.0)) == pytest.approx(truth, abs=1e-6)


def test_a_server_that_stays_silent(faulty: Faulty, rerank: Rerank) -> None:
    """The error names the option that ended it."""
    faulty.fail(faults.silent, always=True)
    with pytest.raises(errors.ServerTimeoutError, match=r"read_timeout=0\.2"):
        rerank(faulty.url, read_timeout=0.2, model="toy", max_length=8192, max_retries=1)
    assert len(faulty.lists) == 2


@pytest.fixture
def no_room_to_connect() -> Iterator[str]:
    """An address that takes no connection and refuses none: its backlog is full."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_no_connection(no_room_to_connect: str, rerank: Rerank) -> None:
    """The error names the option that ended it."""
    with pytest.raises(errors.ServerUnreachableError, match=r"connect_timeout=0\.2"):
        rerank(no_room_to_connect, connect_timeout=0.2, max_retries=0)


def test_a_failed_list_ends_the_wait_of_the_others(faulty: Faulty, rerank: Rerank) -> None:
    """One list is refused for good while another waits for its retry: nobody waits for that."""
    both = threading.Barrier(2)

    def fault(exchange: faults.Exchange) -> bool:
        both.wait(10)
        first = "Gravity" in exchange.asked.texts[0]
        return (faults.answer(503, b"later") if first else faults.answer(401, b""))(exchange)

    faulty.fail(fault, always=True)
    with pytest.raises(errors.AuthenticationError):
        rerank(faulty.url, batch_size=3, timeout=300, backoff=Backoff(200, 200))
    assert len(faulty.lists) == 2


async def test_a_cancelled_call_leaves_nothing_behind(faulty: Faulty, truth: list[float]) -> None:
    """The requests in flight are dropped, their slots are free, no task is left."""
    asked, dropped = threading.Event(), threading.Semaphore(0)

    def fault(exchange: faults.Exchange) -> bool:
        asked.set()
        faults.silent(exchange)
        dropped.release()
        return False

    faulty.fail(*[fault] * 2)
    async with RerankClient(faulty.url, batch_size=3, max_concurrency=2) as client:
        call = asyncio.create_task(client.arerank(QUERY, DOCUMENTS))
        await asyncio.to_thread(asked.wait, 10)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await asyncio.to_thread(dropped.acquire, timeout=10)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        faulty.fail()
        assert scores(await client.arerank(QUERY, DOCUMENTS)) == pytest.approx(truth, abs=1e-6)


async def test_a_call_cancelled_while_it_waits_for_a_retry(faulty: Faulty) -> None:
    """No sleep outlives it."""
    faulty.fail(faults.answer(503, b"later"), always=True)
    async with RerankClient(faulty.url, timeout=300, backoff=Backoff(200, 200)) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await client.arerank(QUERY, DOCUMENTS)
        assert asyncio.all_tasks() == {asyncio.current_task()}
    assert len(faulty.lists) <= 2
