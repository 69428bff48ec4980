"""What a hostile or a slow client gets, and that everybody else is still served."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from qwen3_sglang.local.limits import PatientProtocol

from qwen3_sglang.local import checks
from qwen3_sglang.local.checks import MAX_ITEMS
from qwen3_sglang.local.engine import Engine
from qwen3_sglang.local.server import create_app
from qwen3_sglang.serving.in_thread import run_app

MAX_BODY = 100_000


class Impatient(PatientProtocol):
    """Waits for headers no longer than a test may."""

    header_seconds = 0.3


@pytest.fixture(scope="module")
def engine(converted_toy: Path) -> Engine:
    """The toy."""
    return Engine(converted_toy)


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
        head = "POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999999"
        connection.sendall(f"{head}\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_stream_without_end_is_refused(url: str) -> None:
    """Counted while it comes, so that it never fills the memory."""
    with connect(url) as connection:
        connection.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
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

    prompts = checks.score_prompts({"query": "x" * 9000, "items": ["a"] * MAX_ITEMS}, encode)
    with pytest.raises(checks.RejectedError, match="longer than"):
        list(checks.check_prompts(prompts, engine.max_length, engine.vocab_size))
    assert encoded == [9001]


def test_a_slow_body_is_dropped(strict_url: str) -> None:
    """408, and the connection is closed."""
    with connect(strict_url) as connection:
        connection.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        got = read(connection)
    assert got.startswith(b"HTTP/1.1 408 ")
    assert json.loads(got.partition(b"\r\n\r\n")[2])["code"] == 408
    assert healthy(strict_url)


@pytest.mark.parametrize(
    "sent", [b"", b"GET /health HTTP/1.1\r\nHost: x\r\n", b"GET /health HTTP/1.1\r\nHost: x\r\nX-"]
)
def test_headers_without_end_are_dropped(strict_url: str, sent: bytes) -> None:
    """A silent connection is closed, also after it has been answered once."""
    with connect(strict_url) as connection:
        connection.sendall(sent)
        assert read(connection) == b""
    with connect(strict_url) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" + sent)
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
