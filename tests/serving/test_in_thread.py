"""A web application in a thread of this process."""

from __future__ import annotations

import socket
import threading

import pytest
import requests
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from qwen3_sglang.errors import StartupError
from qwen3_sglang.serving.in_thread import run_app

NAME = "qwen3-sglang-web"
HELLO = PlainTextResponse("hello")


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that fails as it starts."""
    assert scope["type"] == "lifespan"
    await receive()
    failed: Message = {"type": "lifespan.startup.failed", "message": "no model"}
    await send(failed)


def threads() -> list[threading.Thread]:
    """Those that serve."""
    return [thread for thread in threading.enumerate() if thread.name == NAME]


def test_it_ends_with_the_block() -> None:
    """The thread keeps no process alive that ends inside the block, and is gone after it; so is the port."""
    before = set(threads())
    with run_app(HELLO, lifespan="off") as url:
        [thread] = set(threads()) - before
        assert thread.daemon
        assert requests.get(url, timeout=30).text == "hello"
    assert not thread.is_alive()
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=30)


def test_the_address_can_be_asked() -> None:
    """An IPv6 address stands in brackets."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with run_app(HELLO, host="::1", lifespan="off") as url:
        assert url.startswith("http://[::1]:")
        assert requests.get(url, timeout=30).text == "hello"


def test_a_port_that_is_taken() -> None:
    """Told to the caller, before anything is started."""
    before = set(threads())
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(OSError, match="in use"), run_app(HELLO, port=taken):
            pass
    assert set(threads()) == before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # uvicorn's SystemExit
def test_an_application_that_does_not_start() -> None:
    """A typed error, and no thread that is left."""
    before = set(threads())
    with pytest.raises(StartupError, match="stopped before it answered"), run_app(broken):
        pass
    assert set(threads()) == before
