"""No answer of another request, ever: what came unasked is never taken for an answer, and ends its connection.

Tests of `transport/framing.py`, `transport/layers.py`, `transport/strict.py`, `transport/strict_async.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from asking import Ask
from peer import LATER, Asked, Peer, answer, chunked, framed, peer, right

from qwen3_sglang import RerankClient, errors

CALLS = ([0.1], [0.6, 0.2], [0.3])
HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n"


def twice(asked: Asked) -> None:
    """The answer, and then once more, when the next call is long over or has just begun."""
    right(asked)
    LATER.wait(0.03)
    right(asked)


HARMLESS: dict[str, Callable[[Asked], object]] = {
    "103 first": lambda asked: asked.say(HINT, framed(asked.good)),
    "103 with a length": lambda asked: asked.say(
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n", framed(asked.good)
    ),
    "103 long before": lambda asked: (asked.say(HINT), LATER.wait(0.01), right(asked)),
    "102 and 199 first": lambda asked: asked.say(
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 \r\nX: y\r\n\r\n", framed(asked.good)
    ),
    "100 and 103, chunked": lambda asked: asked.say(b"HTTP/1.1 100 Continue\r\n\r\n", HINT, chunked(asked.good)),
    "a trailer and extensions": lambda asked: asked.say(
        chunked(asked.good).replace(b"10\r\n", b'10;a="b c"\r\n', 1)[:-2], b"Expires: 0\r\n\r\n"
    ),
    "not compressed, and says so": lambda asked: asked.say(framed(asked.good, b"Content-Encoding: Identity")),
    "a line too many": lambda asked: asked.say(framed(asked.good), b"\r\n"),
    "twice at once": lambda asked: asked.say(framed(asked.good) * 2),
    "once and a half": lambda asked: asked.say(framed(asked.good), framed(asked.good)[:60]),
    "interim behind": lambda asked: asked.say(framed(asked.good), HINT),
    "twice, late": twice,
    "cookies": lambda asked: asked.say(framed(asked.good, b"Set-Cookie: a=b; Path=/")),
}
BROKEN: dict[str, bytes] = {
    "chunk of -5": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
    "chunk of 2^64 - 1": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n{}",
    "second chunk of 2^64 - 1": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\nffffffffffffffff;a=b\r\n}"
    ),
    "chunk of +5": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\n{    \r\n0\r\n\r\n",
    "chunk of 0x5": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\n{    \r\n0\r\n\r\n",
    "chunk of nothing": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
    "chunk longer than it says": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}{}\r\n0\r\n\r\n",
    "both lengths": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "coded in another way": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n{}",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "length of -2": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
    "length of words": b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n{}",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    + framed(b"{}"),
    "no HTTP": b"220 mail.example ESMTP\r\n",
    "a header that is none": b"HTTP/1.1 200 OK\r\nthis is none\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("behave", HARMLESS.values(), ids=HARMLESS)
def test_each_text_has_its_own_score(ask: Ask, behave: Callable[[Asked], object]) -> None:
    """Whatever comes around the answers, one call after the other."""
    with peer(behave) as server:
        assert ask(RerankClient(server.url, endpoint="v1/classify", timeout=20), *CALLS) == list(CALLS)


@pytest.mark.parametrize("behave", HARMLESS.values(), ids=HARMLESS)
def test_the_same_on_connections_that_were_idle(ask: Ask, behave: Callable[[Asked], object]) -> None:
    """What comes late has come by then."""
    with peer(behave) as server:
        client = RerankClient(server.url, endpoint="v1/classify", timeout=20)
        assert ask(client, *CALLS, between=lambda: LATER.wait(0.06)) == list(CALLS)


@pytest.mark.parametrize("behave", HARMLESS.values(), ids=HARMLESS)
def test_the_same_with_several_lists_in_flight(ask: Ask, behave: Callable[[Asked], object]) -> None:
    """Connections are taken and given back by several threads or tasks."""
    wanted = [n / 64 for n in range(1, 20)]
    with peer(behave) as server:
        client = RerankClient(server.url, endpoint="v1/classify", timeout=20, batch_size=2, max_concurrency=4)
        assert ask(client, wanted, wanted[::-1]) == [wanted, wanted[::-1]]


def test_rubbish_behind_an_answer(ask: Ask) -> None:
    """The score, or a typed error: aiohttp's parser takes what came in one piece for broken as a whole."""
    with peer(lambda asked: asked.say(framed(asked.good), b"x" * 9000)) as server:
        for wanted, outcome in zip(
            CALLS, ask(RerankClient(server.url, endpoint="v1/classify", max_retries=1), *CALLS), strict=True
        ):
            assert outcome == wanted or isinstance(outcome, errors.ServerUnreachableError)


@pytest.mark.parametrize("number", [True, False], ids=["numbered", "not numbered"])
def test_an_answer_that_comes_again_while_the_next_is_awaited(ask: Ask, number: bool) -> None:
    """Nothing in HTTP tells it from the right one; that it is the last one again does."""

    def behave(asked: Asked) -> None:
        LATER.wait(0.05 if asked.number > 1 else 0)
        said = framed(asked.good[:-1] + (b', "id": "%x"}' % id(asked) if number else b"}"))
        asked.say(said)
        LATER.wait(0.02)
        asked.say(said)

    with peer(behave) as server:
        assert ask(RerankClient(server.url, endpoint="v1/classify", timeout=20), *CALLS) == list(CALLS)


def test_an_answer_that_comes_again_long_before_the_right_one(ask: Ask) -> None:
    """However slow the server is with the right one: nothing is decided by a wait."""

    def behave(asked: Asked) -> None:
        LATER.wait(0.3 if asked.number > 1 else 0)
        right(asked)
        LATER.wait(0.02)
        right(asked)

    with peer(behave) as server:
        assert ask(RerankClient(server.url, endpoint="v1/classify", timeout=20), *CALLS) == list(CALLS)


def numbered_body(body: bytes, number: int) -> bytes:
    """An answer that is like no other, as SGLang's."""
    return body[:-1] + b', "id": "%d"}' % number


def numbered(asked: Asked, number: int) -> bytes:
    """The right answer, like no other."""
    return framed(numbered_body(asked.good, number))


def say_twice(asked: Asked, number: int, *, prompt: int) -> None:
    """The right answer, and once more; after the first `prompt` requests late, so that the one before comes first."""
    LATER.wait(0.05 if asked.number > prompt else 0)
    said = numbered(asked, number)
    asked.say(said)
    LATER.wait(0.02)
    asked.say(said)


def test_an_answer_that_comes_again_after_others_were_alike(ask: Ask) -> None:
    """That the server once gave two requests the same answer proves nothing about the next."""
    numbers = count()

    def behave(asked: Asked) -> None:
        if not asked.body or b"p=0.25" in asked.body:
            right(asked)
            return
        say_twice(asked, next(numbers), prompt=1)

    with peer(behave) as server:
        calls: list[list[Any]] = [[text] for text in ("0.25", "0.250", 0.3, 0.4, 0.5)]
        assert ask(RerankClient(server.url, endpoint="v1/classify", timeout=20), *calls) == [
            [0.25],
            [0.25],
            [0.3],
            [0.4],
            [0.5],
        ]


def test_an_answer_that_comes_again_to_the_same_request(ask: Ask) -> None:
    """It is right, but from then on the peer is an answer ahead: what comes next belongs to the request before."""
    numbers = count()

    def behave(asked: Asked) -> None:
        if not asked.body:
            right(asked)
            return
        say_twice(asked, next(numbers), prompt=2)

    with peer(behave) as server:
        calls = [0.1], [0.1], [0.3], [0.4]
        assert ask(RerankClient(server.url, endpoint="v1/classify", timeout=20), *calls) == list(calls)


@pytest.mark.parametrize("first", [b"", HINT, b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["bare", "103 first", "100 first"])
def test_an_older_answer_that_comes_again(ask: Ask, first: bytes) -> None:
    """Another date and an interim answer in front of it make no other answer of it."""
    said: list[bytes] = []

    def behave(asked: Asked) -> None:
        if not asked.body:
            right(asked)
            return
        said.append(asked.good[:-1] + b', "id": "%d"}' % len(said))
        if len(said) == 3:
            asked.say(first, framed(said[0], b"Date: Thu, 01 Jan 1970 00:00:00 GMT"))
            LATER.wait(0.02)
        asked.say(framed(said[-1], b"Date: Thu, 01 Jan 1970 00:00:01 GMT"))

    with peer(behave) as server:
        calls = [0.1], [0.2], [0.3], [0.4], [0.5]
        assert ask(RerankClient(server.url, endpoint="v1/classify", timeout=20), *calls) == list(calls)


@pytest.mark.parametrize("again", [True, False], ids=["again", "computed again"])
def test_an_answer_of_another_request_in_front_of_the_right_one(ask: Ask, again: bool) -> None:
    """Both are there when a busy client reads: the first isn't taken for the right one, whether it is known or new."""
    said: list[bytes] = []

    def behave(asked: Asked) -> None:
        if not asked.body:
            right(asked)
            return
        said.append(asked.good)
        before = [numbered_body(said[-2], len(said) - 2 if again else 99)] if asked.number > 2 else []
        asked.say(*map(framed, [*before, numbered_body(asked.good, len(said) - 1)]))

    with peer(behave) as server:
        calls = [0.1], [0.2], [0.3]
        assert ask(RerankClient(server.url, endpoint="v1/classify", timeout=20), *calls) == list(calls)


def test_answers_that_are_alike(ask: Ask) -> None:
    """By chance, to different texts: the request is sent once more, over another connection, and no more."""
    with peer(right) as server:
        alike = ["0.25"], ["0.250"], ["0.2500"], ["0.25000"]
        assert ask(RerankClient(server.url, endpoint="v1/classify", timeout=20), *alike) == [[0.25]] * 4
        assert server.paths == ["/v1/models"] + ["/v1/classify"] * 7


def test_tabs_around_a_header_cost_no_time(ask: Ask) -> None:
    """HTTP allows them. aiohttp's parser doesn't find the chunks then, and would wait for the connection's end."""

    def behave(asked: Asked) -> None:
        asked.say(chunked(asked.good).replace(b"Encoding: chunked", b"Encoding:\tchunked\t"))

    with peer(behave) as server:
        for wanted, outcome in zip(
            CALLS, ask(RerankClient(server.url, endpoint="v1/classify", max_retries=1), *CALLS), strict=True
        ):
            assert outcome == wanted or "plainly chunked" in str(outcome)


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_what_is_not_http_is_a_typed_error(ask: Ask, broken: bytes) -> None:
    """And never a score."""
    with peer(lambda asked: asked.say(broken)) as server:
        [failure] = ask(RerankClient(server.url, endpoint="v1/classify", timeout=20, max_retries=0), [0.1])
        assert isinstance(failure, errors.ServerUnreachableError)


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_what_is_not_http_ends_its_connection(ask: Ask, broken: bytes) -> None:
    """The next try is another connection, and has the right score."""
    once = threading.Semaphore(1)

    def behave(asked: Asked) -> None:
        if asked.body and once.acquire(blocking=False):
            asked.say(broken)
        else:
            right(asked)

    with peer(behave) as server:
        assert ask(RerankClient(server.url, endpoint="v1/classify", timeout=20), *CALLS) == list(CALLS)
        assert server.connections > 1


def test_a_connection_that_speaks_first(ask: Ask) -> None:
    """An answer that was there before the request is none."""

    class Eager(Peer):
        def _talk(self, connection: object) -> None:
            connection.sendall(framed(answer(b"")))  # type: ignore[attr-defined] # it is a socket
            super()._talk(connection)  # type: ignore[arg-type] # the same

    server = Eager(right)
    thread = threading.Thread(target=server.accept)
    thread.start()
    try:
        client = RerankClient(
            server.url, endpoint="v1/classify", model="toy", max_length=8192, timeout=20, max_retries=1
        )
        for outcome in ask(client, *CALLS):
            assert outcome in CALLS or isinstance(outcome, errors.ServerError)
    finally:
        server.stop()
        thread.join()


def test_a_kept_connection_is_used_again(ask: Ask) -> None:
    """Where nothing is wrong, one is enough."""
    with peer(right) as server:
        assert ask(RerankClient(server.url, endpoint="v1/classify"), *CALLS) == list(CALLS)
        assert server.connections == 1


def test_cookies_are_not_sent_back(ask: Ask) -> None:
    """No state is shared between calls."""
    seen: list[bytes] = []

    class Listening(Peer):
        def _talk(self, connection: object) -> None:
            seen.append(connection.recv(65536))  # type: ignore[attr-defined] # it is a socket
            connection.sendall(framed(answer(b""), b"Set-Cookie: a=b; Path=/"))  # type: ignore[attr-defined]
            seen.append(connection.recv(65536))  # type: ignore[attr-defined]
            connection.close()  # type: ignore[attr-defined]

    server = Listening(right)
    thread = threading.Thread(target=server.accept)
    thread.start()
    try:
        ask(RerankClient(server.url, endpoint="v1/classify", max_retries=0, timeout=20), [0.1])
    finally:
        server.stop()
        thread.join()
    assert seen[1].startswith(b"POST")
    assert b"cookie" not in b"".join(seen).lower()
