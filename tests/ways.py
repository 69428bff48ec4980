"""A server that fails in every way, and the ways to call it: client and both adapters, sync and async."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from langchain_core.documents import Document
from llama_index.core.schema import NodeWithScore, TextNode

from langchain_qwen3_sglang import Qwen3SGLangRerank as LangChainRerank
from llama_index_qwen3_sglang import Qwen3SGLangRerank as LlamaIndexRerank
from qwen3_sglang import RerankClient

KEY = 'sk-"quoted"-and-long-0123456789'  # a server that repeats it in JSON has to escape it

GOOD = b'{"data":[{"index":0,"label":"yes","probs":[0.25,0.75],"num_classes":2}]}'
MODELS = b'{"data":[{"id":"toy","max_model_len":8192}]}'


class Answer(NamedTuple):
    """What the server says to /v1/classify; {key} in the body or a header is what it was sent."""

    status: int = 200
    body: bytes = GOOD
    location: str | None = None
    hang_up: bool = False


class Server(ThreadingHTTPServer):
    """Keeps the headers it was sent."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = Answer()
        self.seen: list[dict[str, str]] = []
        self.scheme = "http"
        if context is not None:
            self.scheme = "https"
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up is part of a test."""

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_CONNECT(self) -> None:
        self.server.seen.append({"request": self.requestline, **{k.lower(): v for k, v in self.headers.items()}})
        self._send(Answer(502, b"no way through"))
        self.close_connection = True

    def do_GET(self) -> None:
        self.server.seen.append({"request": self.requestline, **{k.lower(): v for k, v in self.headers.items()}})
        self._send(Answer(body=MODELS))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append({"request": self.requestline, **{k.lower(): v for k, v in self.headers.items()}})
        if self.server.answer.hang_up:
            self.close_connection = True
            return
        self._send(self.server.answer)

    def _send(self, answer: Answer) -> None:
        key = self.headers.get("Authorization", "Bearer ").removeprefix("Bearer ")
        escaped = key.replace('"', '\\"')
        body = answer.body.replace(b"{key}", key.encode()).replace(b"{escaped}", escaped.encode())
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(body)))
        if answer.location is not None:
            self.send_header("Location", answer.location.replace("{key}", key))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Keep the test output clean."""


def running(server: Server) -> Iterator[Server]:
    """Serve from a thread until the test ends."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def origin() -> Iterator[Server]:
    """The server that the key is for."""
    yield from running(Server())


@pytest.fixture
def other() -> Iterator[Server]:
    """Somebody else: a redirect's target, or a proxy."""
    yield from running(Server())


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority that nobody knows."""
    return trustme.CA()


@pytest.fixture(scope="session")
def bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its certificate, as verify= takes it."""
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def tls(authority: trustme.CA) -> Iterator[Server]:
    """A server with a certificate of that authority for 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    yield from running(Server(context))


class Silent(NamedTuple):
    """A server that takes a request and says nothing; `asked` is set once it is there."""

    url: str
    asked: threading.Event


@pytest.fixture
def silent() -> Iterator[Silent]:
    """One connection, held open until the test ends."""
    asked, over = threading.Event(), threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def hold() -> None:
        with suppress(OSError), listener.accept()[0] as connection:  # nobody came
            connection.recv(65536)
            asked.set()
            over.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    with listener:
        yield Silent(f"http://127.0.0.1:{listener.getsockname()[1]}", asked)
        over.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # which wakes `accept`
        thread.join()


class Used(NamedTuple):
    """A client or an adapter, and one call of it."""

    made: Any
    call: Callable[[], object]


def use(way: str, **options: Any) -> Used:
    """`way` is "client sync", "langchain async" and so on."""
    kind = way.split(maxsplit=1)[0]
    made: Any = {"client": RerankClient, "langchain": LangChainRerank, "llama_index": LlamaIndexRerank}[kind](**options)
    document, nodes = [Document("d")], [NodeWithScore(node=TextNode(text="d"))]
    calls: dict[str, Callable[[], object]] = {
        "client sync": lambda: made.rerank("q", ["d"]),
        "client async": lambda: asyncio.run(made.arerank("q", ["d"])),
        "langchain sync": lambda: made.compress_documents(document, "q"),
        "langchain async": lambda: asyncio.run(made.acompress_documents(document, "q")),
        "llama_index sync": lambda: made.postprocess_nodes(nodes, query_str="q"),
        "llama_index async": lambda: asyncio.run(made.apostprocess_nodes(nodes, query_str="q")),
    }
    return Used(made, calls[way])


WAYS = [f"{kind} {mode}" for kind in ("client", "langchain", "llama_index") for mode in ("sync", "async")]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Every promise holds for all of them."""
    return str(request.param)
