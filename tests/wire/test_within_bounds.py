"""No peer makes the client hold more than the documented limit, whatever it sends and under whichever status.

Tests of `transport/bodies.py`.
"""

from __future__ import annotations

import gzip
import itertools
import threading
from collections.abc import Iterable

import pytest
from asking import Ask
from peer import Asked, framed, peer

from qwen3_sglang import RerankClient, errors

ENDLESS = 2**30  # bytes that the peer has; nobody wants them
TAKEN = 2**25  # bytes that a client may take until it hangs up: the limit of an answer, and what sockets hold
BLOCK = b"x" * 2**16


class Flood:
    """A head, then the same again and again, until the client hangs up; how much it took."""

    def __init__(self, head: bytes, again: bytes) -> None:
        self.head, self.again = head, again * max(1, 2**16 // len(again))
        self.sent = 0
        self.over = threading.Event()

    def behave(self, asked: Asked) -> None:
        """The same to every request."""
        try:
            asked.say(self.head)
            for _ in itertools.takewhile(lambda sent: sent < ENDLESS, self._sent()):
                asked.say(self.again)
                self.sent += len(self.again)
        finally:
            self.over.set()

    def _sent(self) -> Iterable[int]:
        while True:
            yield self.sent


def long(status: str, *headers: str) -> bytes:
    """The head of an answer of a gigabyte."""
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, f"Content-Length: {ENDLESS}", "", ""]).encode()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
FLOODS: dict[str, tuple[bytes, bytes, type[errors.ServerError]]] = {
    "answer": (long("200 OK"), BLOCK, errors.ProtocolError),
    "answer without an end": (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", BLOCK, errors.ProtocolError),
    "chunks": (CHUNKED, b"10000\r\n" + BLOCK + b"\r\n", errors.ProtocolError),
    "redirect": (long("302 Found", "Location: http://elsewhere"), BLOCK, errors.NotSGLangError),
    "redirect to nowhere": (long("302 Found", "Location: http://[bad"), BLOCK, errors.NotSGLangError),
    "redirect without an address": (long("302 Found"), BLOCK, errors.NotSGLangError),
    "refusal": (long("400 Bad Request"), BLOCK, errors.RequestRejectedError),
    "no key": (long("401 Unauthorized"), BLOCK, errors.AuthenticationError),
    "failure": (long("500 Oops"), BLOCK, errors.ServerFailureError),
    "interim answers": (b"", b"HTTP/1.1 102 Processing\r\n\r\n", errors.ProtocolError),
    "an interim answer": (b"HTTP/1.1 103 Early Hints\r\n", b"Link: </x>\r\n", errors.ServerError),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-Y: z\r\n", errors.ServerError),
    "a header": (b"HTTP/1.1 200 OK\r\nX: ", BLOCK, errors.ServerError),
    "a status line": (b"HTTP/1.1 200 ", BLOCK, errors.ServerError),
    "extensions": (CHUNKED, b"1;" + b"y" * 5000 + b"\r\n \r\n", errors.ProtocolError),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"X-Y: " + b"z" * 5000 + b"\r\n", errors.ServerError),
    "a chunk size": (CHUNKED, b"0" * 2**16, errors.ServerError),
}


@pytest.mark.parametrize(("head", "again", "error"), FLOODS.values(), ids=FLOODS)
def test_a_flood_is_left_alone(ask: Ask, head: bytes, again: bytes, error: type[errors.ServerError]) -> None:
    """After some megabytes at most, with a typed error."""
    flood = Flood(head, again)
    with peer(flood.behave) as server:
        [failure] = ask(RerankClient(server.url, timeout=30, max_retries=0), [0.1])
        assert flood.over.wait(20)
    assert isinstance(failure, error)
    assert flood.sent < TAKEN


@pytest.mark.parametrize("status", ["200 OK", "302 Found", "400 Bad Request", "500 Oops"])
def test_nothing_is_unpacked(ask: Ask, status: str) -> None:
    """Some kilobytes that are a gigabyte unpacked: neither the message nor the time shows that they are."""
    packed = gzip.compress(bytes(2**27), 9)
    with peer(lambda asked: asked.say(framed(packed, b"Content-Encoding: gzip", status=status.encode()))) as server:
        [failure] = ask(RerankClient(server.url, timeout=30, max_retries=0), [0.1])
    assert isinstance(failure, errors.ServerError)
    assert len(str(failure)) < 1000
    if status[0] != "3":
        assert "compressed (gzip)" in str(failure)


def test_a_redirects_status_is_told(ask: Ask) -> None:
    """And where it points."""
    redirect = framed(b"moved", b"Location: /elsewhere", status=b"308 Permanent Redirect")
    with peer(lambda asked: asked.say(redirect)) as server:
        [failure] = ask(RerankClient(server.url, timeout=30), [0.1])
    assert isinstance(failure, errors.NotSGLangError)
    assert failure.status == 308
    assert "/elsewhere" in failure.message


DEEP = [b"[" * 100_000, b'{"data":' * 100_000, b'{"data":[' + b"[" * 5000 + b"]" * 5000 + b"]}"]
NUMBERS = [b"NaN", b"1e999", b"-1e999", b"9" * 5000, b"1" + b"0" * 400, b"-0.0", b"1e-999", b"true", b'"0.5"', b"null"]


@pytest.mark.parametrize(
    "body", [*DEEP, b"", b"\x00" * 9, b"\xff\xfe{}", b'"\\ud800"', b'{"data":' + b"9" * 10**6 + b"}"]
)
@pytest.mark.parametrize("status", [b"200 OK", b"400 Bad Request", b"503 Later"])
def test_no_json_brings_it_down(ask: Ask, body: bytes, status: bytes) -> None:
    """However deep or long: a typed error."""
    with peer(lambda asked: asked.say(framed(body, status=status))) as server:
        for told in ({}, {"model": "toy", "max_length": 8192}):
            [failure] = ask(RerankClient(server.url, timeout=30, max_retries=0, **told), [0.1])
            assert isinstance(failure, errors.ServerError)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("endpoint", ["v1/classify", "v1/score", "classify"])
def test_no_number_out_of_range_is_a_score(ask: Ask, number: bytes, endpoint: str) -> None:
    """Neither alone nor beside a right one."""
    pair = b"[0.5, %b]" % number
    if endpoint == "v1/score":
        body = b'{"scores": [%b]}' % pair
    else:
        body = b'{"data": [{"index": 0, "label": "yes", "probs": %b, "num_classes": 2}]}' % pair
    with peer(lambda asked: asked.say(framed(body))) as server:
        client = RerankClient(server.url, timeout=30, model="toy", max_length=8192, endpoint=endpoint)
        [failure] = ask(client, [0.1])
        assert isinstance(failure, errors.ServerError)


@pytest.mark.parametrize("limit", [b"-1", b"0", b"1e999", b"1.5", b"true", b"null", b'"8192"', b"9" * 400])
def test_no_context_length_brings_it_down(ask: Ask, limit: bytes) -> None:
    """A limit that is none is not believed, or is a typed error."""
    models = b'{"data": [{"id": "toy", "max_model_len": %b}]}' % limit
    with peer(lambda asked: asked.say(framed(asked.good if asked.body else models))) as server:
        [outcome] = ask(RerankClient(server.url, timeout=30), [0.1])
        assert outcome == [0.1] or isinstance(outcome, errors.ServerError)


def test_a_header_as_long_as_a_line_may_be(ask: Ask) -> None:
    """Gateways send policies and cookies of many kilobytes."""
    with peer(lambda asked: asked.say(framed(asked.good, b"X-Policy: " + b"x" * 60_000))) as server:
        assert ask(RerankClient(server.url, max_retries=0), [0.25]) == [[0.25]]
