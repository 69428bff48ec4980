"""What a hostile or a slow client gets, and that everybody else is still served.

Tests of `local/checks.py`, `local/encoding.py`, `serving/callers.py`, `serving/limits.py`.
"""

from __future__ import annotations

import asyncio
import json
import resource
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from qwen3_sglang import local
from qwen3_sglang.local import checks
from qwen3_sglang.local.checks import MAX_ITEMS
from qwen3_sglang.local.encoding import PIECE, Encoder
from qwen3_sglang.local.engine import Engine
from qwen3_sglang.local.items import prompts_apart, read_score
from qwen3_sglang.local.server import create_app
from qwen3_sglang.serving import limits
from qwen3_sglang.serving.in_thread import run_app
from qwen3_sglang.serving.limits import MAX_BODIES, BodyError, Limits, PatientProtocol

MAX_BODY = 100_000


class Impatient(PatientProtocol):
    """Waits for headers no longer than a test may."""

    header_seconds = 0.3


@pytest.fixture(scope="module")
def engine(converted_toy: Path) -> Engine:
    """The toy."""
    return Engine(converted_toy, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def url(engine: Engine) -> Iterator[str]:
    """A server with room for 100,000 bytes, and a minute for each body."""
    with run_app(create_app(engine, max_body=MAX_BODY), http=PatientProtocol) as base_url:
        yield base_url


@pytest.fixture(scope="module")
def strict_url(engine: Engine) -> Iterator[str]:
    """A server with less than a second for each body and each set of headers."""
    with run_app(create_app(engine, body_seconds=0.3), http=Impatient) as base_url:
        yield base_url


def connect(url: str) -> socket.socket:
    """A bare connection."""
    parts = urlsplit(url)
    return socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=20)


def read(connection: socket.socket) -> bytes:
    """Whatever comes until the server hangs up."""
    got = b""
    try:
        while part := connection.recv(65536):
            got += part
    except ConnectionResetError:
        pass
    return got


def healthy(url: str) -> bool:
    """Is everybody else still served?"""
    return requests.get(f"{url}/health", timeout=20).status_code == 200


def body(size: int) -> bytes:
    """A request of that many bytes, in texts that are refused at once."""
    start, end = b'{"model": "', b'", "input": "a"}'
    return start + b"x" * (size - len(start) - len(end)) + end


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY, 200), (MAX_BODY + 1, 413)])
@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_has_a_limit(url: str, size: int, status: int, chunked: bool) -> None:
    """By what it declares, and where it declares nothing by what comes."""
    data = iter([body(size)[:7], body(size)[7:]]) if chunked else body(size)
    answer = requests.post(f"{url}/v1/classify", data=data, headers={"content-type": "application/json"}, timeout=20)
    assert answer.status_code == status
    if status == 413:
        assert answer.json()["code"] == 413
        assert str(MAX_BODY) in answer.json()["message"]
    assert healthy(url)


def test_a_declared_size_is_refused_before_it_comes(url: str) -> None:
    """The answer is there though no byte of the body was sent."""
    with connect(url) as connection:
        head = "POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        head += "Content-Length: 99999999999"
        connection.sendall(f"{head}\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_stream_without_end_is_refused(url: str) -> None:
    """Counted while it comes, so that it never fills the memory."""
    with connect(url) as connection:
        connection.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(1000):
            connection.sendall(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
            if select.select([connection], [], [], 0)[0]:
                break
        got = connection.recv(65536)
    assert got.startswith(b"HTTP/1.1 413 ")


LISTS: list[tuple[str, str, object]] = [
    ("/v1/classify", "input", "a"),
    ("/v1/score", "items", "a"),
    ("/v1/score", "items", [1]),
    ("/tokenize", "prompt", "a"),
    ("/detokenize", "tokens", [1]),
]


@pytest.mark.parametrize(("path", "name", "item"), LISTS)
def test_a_list_has_a_limit(url: str, path: str, name: str, item: object) -> None:
    """413, as for a body: send fewer."""
    answer = requests.post(url + path, json={name: [item] * (MAX_ITEMS + 1)}, timeout=20)
    assert answer.status_code == 413
    assert f"{MAX_ITEMS + 1} items" in answer.json()["message"]


def test_a_long_query_is_not_joined_with_every_item(engine: Engine) -> None:
    """Refused at the first item: all joined would be gigabytes."""
    encoded: list[int] = []

    def encode(text: str) -> list[int]:
        encoded.append(len(text))
        return [1] * len(text)

    asked = read_score({"query": "x" * 9000, "items": ["a"] * MAX_ITEMS})
    with pytest.raises(checks.RejectedError, match="longer than"):
        prompts_apart(asked, encode, engine.max_length, engine.vocab_size)
    assert encoded == [9001]


def test_a_slow_body_is_dropped(strict_url: str) -> None:
    """408, and the connection is closed."""
    with connect(strict_url) as connection:
        connection.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
        got = read(connection)
    assert got.startswith(b"HTTP/1.1 408 ")
    assert json.loads(got.partition(b"\r\n\r\n")[2])["code"] == 408
    assert healthy(strict_url)


@pytest.mark.parametrize(
    "sent", [b"", b"GET /health HTTP/1.1\r\nHost: localhost\r\n", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-"]
)
def test_headers_without_end_are_dropped(strict_url: str, sent: bytes) -> None:
    """A silent connection is closed, also after it has been answered once."""
    with connect(strict_url) as connection:
        connection.sendall(sent)
        assert read(connection) == b""
    with connect(strict_url) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" + sent)
        assert read(connection).startswith(b"HTTP/1.1 200 ")
    assert healthy(strict_url)


def test_more_slow_clients_than_anybody_has(strict_url: str) -> None:
    """Each is dropped, and who asks properly is served meanwhile."""
    waiting = [connect(strict_url) for _ in range(200)]
    for connection in waiting:
        connection.sendall(b"POST /v1/classify HTTP/1.1\r\nHost:")
    answer = requests.post(f"{strict_url}/v1/classify", json={"input": ["a", "b"]}, timeout=20)
    assert len(answer.json()["data"]) == 2
    assert {read(connection) for connection in waiting} == {b""}
    for connection in waiting:
        connection.close()


def refused(url: str, data: bytes, headers: dict[str, str]) -> tuple[int, float, float]:
    """(status, seconds, MB that the process grew by) of one request to /v1/classify."""
    before, start = resident(), time.perf_counter()
    answer = requests.post(f"{url}/v1/classify", data=data, headers=headers, timeout=20)
    return answer.status_code, time.perf_counter() - start, resident() - before


def resident() -> float:
    """MB of this process, the server's threads included, at their highest."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_a_huge_text_is_refused_before_it_is_read(converted_toy: Path) -> None:
    """16 MB: refused by its declared size, in a fraction of what reading, let alone tokenising, it takes."""
    huge = b'{"input": "' + b"word " * (16 * 2**20 // 5) + b'"}'
    with local.run_in_thread(converted_toy, threads=1, dtype="float32") as url:
        status, seconds, grown = refused(url, huge, {"content-type": "application/json"})
    assert status == 413
    assert seconds < 5
    assert grown < 40  # the client's own copy is 16


@pytest.mark.parametrize(
    "text", ["a " * 300_000, "word" * 200_000, "\u5317\u4eac" * 200_000, "e\u0301" * 300_000, " " * 900_000]
)
def test_a_text_that_cannot_fit_is_refused_in_pieces(engine: Engine, text: str) -> None:
    """No piece is longer than PIECE, and no more pieces are tokenised than have too many tokens."""
    seen: list[int] = []

    def encode(part: str) -> list[int]:
        seen.append(len(part))
        return engine.encode(part)

    with pytest.raises(checks.RejectedError, match="longer than the model's context length"):
        Encoder(encode, engine.max_length, engine.longest_token)(text)
    assert max(seen, default=0) <= PIECE
    assert sum(seen) <= 3 * PIECE


@given(st.text(max_size=300), st.integers(2, 200), st.integers(1, 40))
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_text_that_fits_is_never_refused_early(engine: Engine, text: str, max_length: int, repeat: int) -> None:
    """What the encoder refuses has too many tokens indeed, and what it lets pass are the tokenizer's own."""
    whole = engine.encode(text * repeat)
    try:
        found = Encoder(engine.encode, max_length, engine.longest_token)(text * repeat)
    except checks.RejectedError:
        assert len(whole) >= max_length
    else:
        assert found == whole


def test_one_request_has_so_many_tokens(engine: Engine) -> None:
    """A long query joined with many items is their product."""
    prompts = checks.check_prompts(([1] * 8000 for _ in range(1000)), 8192, engine.vocab_size)
    taken = []
    with pytest.raises(checks.RejectedError, match="tokens at once"):
        taken += prompts
    assert len(taken) <= checks.MAX_TOKENS // 8000


def test_bodies_are_bounded_together() -> None:
    """Many large requests at once: one more is asked to come again."""
    limits = Limits(app=never, max_body=10)
    limits.held = MAX_BODIES + 1
    with pytest.raises(BodyError, match="again later") as caught:
        asyncio.run(limits({"type": "http", "headers": []}, receive, nothing))
    assert caught.value.status == 503


async def never(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that reads its body."""
    await receive()


async def nothing(message: Message) -> None:
    """A `send` that isn't used."""


async def receive() -> dict[str, object]:
    """One byte."""
    return {"type": "http.request", "body": b"x", "more_body": False}


def test_an_answer_that_nobody_reads_ends(engine: Engine) -> None:
    """The connection is dropped, so that it doesn't hold memory for ever."""

    lost = threading.Event()

    class Hasty(PatientProtocol):
        write_seconds = 0.3

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            lost.set()

    with run_app(create_app(engine), http=Hasty) as base_url, connect(base_url) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        vocabulary = engine._tokenizer.get_vocab()
        longest = vocabulary[max(vocabulary, key=len)]
        body = json.dumps({"tokens": [longest] * 300_000}).encode()  # 28 MB of text, more than any socket takes
        head = "POST /detokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert lost.wait(30)


def test_the_documented_limits_are_the_servers() -> None:
    """docs/reliability.md names each with its figure."""
    page = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text(encoding="utf-8")
    _, _, table = page.partition("## The embedded server")
    cells = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
    rows = {cell[0].removeprefix("| "): cell[1] for cell in cells}
    each, together = f"{limits.MAX_BODY / 2**20:g} MiB", f"{MAX_BODIES / 2**20:g} MiB"
    assert rows["body"] == f"{each}, declared or counted while it comes; {together} in all requests together"
    assert rows["list"] == f"{MAX_ITEMS:,} items and {checks.MAX_TOKENS:,} tokens"
    assert f"({PIECE:,} characters each)" in rows["text that can't fit"]
    assert rows["text for `/tokenize`"] == f"{checks.MAX_TOKENIZED:,} characters"
    assert rows["time for a body"] == f"{limits.BODY_SECONDS:g} s"
    seconds = PatientProtocol.header_seconds
    assert rows["time for a request's headers"].startswith(f"{seconds:g} s, at most {2 * seconds:g} s")
    assert rows["time for reading an answer"] == f"{PatientProtocol.write_seconds:g} s without progress"
