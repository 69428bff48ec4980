"""The key goes to base_url's origin and is found nowhere else, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import gc
import io
import json
import logging
import pickle
import signal
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.callbacks import BaseCallbackHandler, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.load import dumpd, dumps
from langchain_core.retrievers import BaseRetriever
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from llama_index.core.callbacks import CallbackManager
from llama_index.core.callbacks.llama_debug import LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.span import BaseSpan
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
from rich.pretty import pretty_repr
from rich.traceback import Traceback

from qwen3_sglang import RerankClient
from qwen3_sglang.errors import InvalidInputError, Qwen3SGLangError
from ways import KEY, Answer, Server, Silent, use

FAILURES = {
    "none": Answer(),
    "400": Answer(400, b'{"object":"error","message":"you sent {escaped}"}'),
    "401 text": Answer(401, b"wrong key: {key}"),
    "401 json": Answer(401, b'{"error":{"message":"wrong key {escaped}"}}'),
    "403 html": Answer(403, b"<pre>Authorization: Bearer {key}</pre>"),
    "404": Answer(404, b'{"message":"model {escaped} not found"}'),
    "500": Answer(500, b"Traceback: {key}"),
    "503": Answer(503, b"full: {key}"),
    "redirect": Answer(307, b"", "http://elsewhere/?key={key}"),
    "not json": Answer(200, b"hello {key}"),
    "not an object": Answer(200, b'["{escaped}"]'),
    "wrong row": Answer(200, b'{"data":["{escaped}"]}'),
    "wrong probs": Answer(200, b'{"data":[{"index":0,"probs":"{escaped}"}]}'),
    "one label": Answer(200, b'{"data":[{"index":0,"probs":[1.0],"label":"{escaped}"}]}'),
    "hangs up": Answer(hang_up=True),
}


def found(*shown: object) -> list[str]:
    """Where the key, or its JSON form, stands."""
    texts = [str(text) for text in shown]
    return [text for text in texts if KEY in text or json.dumps(KEY)[1:-1] in text]


def told(error: BaseException) -> list[str]:
    """All that the usual tools print of an exception: with its locals, all its causes."""
    plain = traceback.TracebackException.from_exception(error, capture_locals=True)
    rich = Traceback.extract(
        type(error),
        error,
        error.__traceback__,
        show_locals=True,
        locals_max_length=None,  # type: ignore[arg-type] # None is no limit
        locals_max_string=None,  # type: ignore[arg-type] # the same
    )
    nodes = [str(node) for stack in rich.stacks for frame in stack.frames for node in (frame.locals or {}).values()]
    return ["".join(plain.format()), *nodes, str(error), repr(error), repr(vars(error))]


def inside(error: BaseException) -> list[str]:
    """The locals of every frame that isn't a test's, and the functions' names."""
    frames = traceback.TracebackException.from_exception(error, capture_locals=True).stack
    return [f"{frame.name} {frame.locals}" for frame in frames if "/tests/" not in frame.filename]


def held(made: Any) -> list[str]:
    """All that a client or an adapter shows of itself."""
    shown = [
        repr(made),
        str(made),
        f"{made}",
        pretty_repr(made),
        repr(vars(made)),
        pickle.dumps(made).decode("latin-1"),
    ]
    shown += [repr(copy.copy(made)), repr(copy.deepcopy(made))]
    client = made if isinstance(made, RerankClient) else made._connect()
    shown += [repr(client.settings), repr(dataclasses.asdict(client.settings)), repr(vars(client))]
    transport = client._transport
    shown += [repr(vars(part)) for part in (transport, transport._session, *transport._loops.values())]
    shown += [repr(vars(kept.session)) for kept in transport._loops.values()]
    for name in ("model_dump", "model_dump_json", "to_dict", "to_json"):
        if hasattr(made, name):
            shown.append(str(getattr(made, name)()))
    if not isinstance(made, RerankClient):
        shown += [dumps(made), repr(dumpd(made)), str(made.model_json_schema())]
    return shown


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that anybody logs, asyncio's own debugging included."""
    written, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(written), root.level
    root.addHandler(handler)
    root.setLevel(1)
    names = (
        "requests",
        "urllib3",
        "aiohttp",
        "asyncio",
        "qwen3_sglang",
        "langchain",
        "llama_index",
        "charset_normalizer",
    )
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(1)
    yield written
    root.removeHandler(handler)
    root.setLevel(level)
    for name, old in before.items():
        logging.getLogger(name).setLevel(old)


@pytest.fixture(autouse=True)
def asyncio_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Event loops that report every callback with its arguments."""
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")


@pytest.mark.parametrize("failure", FAILURES)
def test_nothing_shows_it(origin: Server, way: str, failure: str, log: io.StringIO, capfd: Any) -> None:
    """On success and on each failure; the server did get it, and some repeat it."""
    origin.answer = FAILURES[failure]
    used = use(way, base_url=origin.url, api_key=KEY, timeout=5.0, max_retries=1)
    shown: list[str] = []
    try:
        used.call()
        assert failure == "none"
    except Qwen3SGLangError as error:
        assert failure != "none"
        shown += told(error)
    gc.collect(1)  # what nobody closed complains now; all generations would take a second
    printed = capfd.readouterr()
    assert not found(*shown, *held(used.made), log.getvalue(), printed.out, printed.err)
    assert {request["authorization"] for request in origin.seen} == {f"Bearer {KEY}"}


def test_nobody_there(nobody: str, way: str, log: io.StringIO) -> None:
    """No connection at all."""
    used = use(way, base_url=nobody, api_key=KEY, timeout=0.3)
    with pytest.raises(Qwen3SGLangError) as caught:
        used.call()
    assert not found(*told(caught.value), *held(used.made), log.getvalue())


@pytest.mark.parametrize("short", ["x", "0.2", "index"])
def test_a_short_key_spoils_no_scores(origin: Server, way: str, short: str) -> None:
    """It stands in every answer by chance, and the answer is read all the same."""
    [found] = use(way, base_url=origin.url, api_key=short).call()  # type: ignore[misc] # a list of one
    kept = getattr(found, "metadata", {})
    assert kept.get("relevance_score", getattr(found, "score", None)) == 0.75
    assert {request["authorization"] for request in origin.seen} == {f"Bearer {short}"}


WRONG: list[dict[str, Any]] = [
    {"base_url": "nonsense"},
    {"batch_size": 0},
    {"batch_size": "many"},
    {"timeout": -1.0},
    {"verify": "/nowhere"},
    {"tokenizer": " "},
    {"endpoint": "v1/rerank"},
]


@pytest.mark.parametrize("from_environment", [False, True], ids=["argument", "environment"])
@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_refused_setting_does_not_show_it(
    way: str, wrong: dict[str, Any], from_environment: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A traceback with locals of a constructor that fails."""
    if from_environment:
        monkeypatch.setenv("QWEN3_SGLANG_API_KEY", KEY)
    failure = _made_wrong(way, wrong if from_environment else wrong | {"api_key": KEY})
    assert inside(failure)
    assert not found(*inside(failure), str(failure), repr(failure))


@pytest.mark.parametrize("name", ["apikey", "openai_api_key"])
def test_a_misspelled_name_does_not_show_it(name: str) -> None:
    """The adapters refuse unknown names."""
    for way in ("langchain sync", "llama_index sync"):
        failure = _made_wrong(way, {name: KEY})
        assert not found(*inside(failure), str(failure), repr(failure))


@pytest.mark.parametrize("key", [f"{KEY}\n", f" {KEY}", f"{KEY}é"])
def test_an_unusable_key_is_not_shown(way: str, key: str) -> None:
    """The message says what is wrong with it without the key itself."""
    failure = _made_wrong(way, {"api_key": key})
    assert isinstance(failure, InvalidInputError)
    assert failure.field == "api_key"
    assert not found(*inside(failure), str(failure), repr(failure))


def _made_wrong(way: str, options: dict[str, Any]) -> Exception:
    try:
        use(way, **options)
    except ValueError as error:
        return error
    raise AssertionError("not refused")


@pytest.mark.parametrize(
    "url",
    [
        "http://user:p4ss@host:1",
        "https://p4ss@host",
        "user:p4ss@host:80",
        "http:/user:p4ss@host",
        "ftp://user:p4ss@host",
        "http://user:p4ss@host:port",
        "http://host:1/?key=p4ss",
        "http://host:1/#p4ss",
        "//user:p4ss@host",
        "http://user:p4ss@",
    ],
)
def test_credentials_in_the_address_are_refused_unseen(way: str, url: str) -> None:
    """Neither the message nor the error's fields repeat them."""
    failure = _made_wrong(way, {"base_url": url})
    assert isinstance(failure, InvalidInputError)
    assert failure.field == "base_url"
    assert "p4ss" not in f"{failure} {failure!r} {failure.args} {vars(failure)}"


def test_a_redirect_is_not_followed(origin: Server, other: Server, way: str) -> None:
    """Not even to the same host: it could carry the key, and the documents, elsewhere."""
    origin.answer = Answer(307, b"", other.url)
    with pytest.raises(Qwen3SGLangError, match="redirects"):
        use(way, base_url=origin.url, api_key=KEY).call()
    assert other.seen == []


def test_a_cancelled_call(silent: Silent, monkeypatch: pytest.MonkeyPatch) -> None:
    """CancelledError comes out of aiohttp, whose frames hold the headers, and a proxy's address with its password."""
    monkeypatch.setenv("HTTP_PROXY", silent.url.replace("//", "//user:p4ss@"))

    async def cancelled() -> BaseException:
        client = RerankClient("http://reranker.invalid", api_key=KEY, model="m", max_length=100)
        task = asyncio.create_task(client.arerank("q", ["d"]))
        await asyncio.to_thread(silent.asked.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        return caught.value

    frames = inside(asyncio.run(cancelled()))
    assert any(frame.startswith("_asend") for frame in frames)
    assert not found(*frames)
    assert "p4ss" not in str(frames)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """As in a terminal: a shell starts what it puts into the background with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_during_a_call(silent: Silent) -> None:
    """KeyboardInterrupt comes out of http.client, whose frames hold what was sent."""
    main = threading.main_thread().ident or 0

    def interrupt() -> None:
        silent.asked.wait(10)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    client = RerankClient(silent.url, api_key=KEY, model="m", max_length=100, timeout=10)
    with pytest.raises(KeyboardInterrupt) as caught:
        client.rerank("q", ["d"])
    thread.join()
    assert any(frame.startswith("_send") for frame in inside(caught.value))
    assert not found(*inside(caught.value))


class Found(BaseRetriever):
    """Any retriever."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [Document("d")]


class Everything(BaseCallbackHandler):
    """Keeps the arguments of each event."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("on_"):
            return lambda *args, **options: self.seen.append(f"{name} {args!r} {options!r}")
        return super().__getattribute__(name)


@pytest.mark.parametrize("failure", ["none", "401 json", "500", "hangs up"])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_langchains_traces(origin: Server, mode: str, failure: str) -> None:
    """What a callback handler is told, and the run trees that LangSmith would get."""
    origin.answer = FAILURES[failure]
    rerank = use(f"langchain {mode}", base_url=origin.url, api_key=KEY, timeout=5.0, max_retries=1).made
    chain = ContextualCompressionRetriever(base_retriever=Found(), base_compressor=rerank)
    handler, runs = Everything(), RunCollectorCallbackHandler()
    with contextlib.suppress(Qwen3SGLangError):
        if mode == "sync":
            chain.invoke("q", {"callbacks": [handler, runs]})
        else:
            asyncio.run(chain.ainvoke("q", {"callbacks": [handler, runs]}))
    assert len(handler.seen) >= 2
    assert runs.traced_runs
    dumped = [f"{run.model_dump_json(exclude={'child_runs'})} {run!r}" for run in runs.traced_runs]
    assert not found(*handler.seen, *dumped, dumps(chain), repr(chain))


class Events(BaseEventHandler):
    """Keeps each event."""

    seen: list[str] = []  # noqa: RUF012 - pydantic copies it for every instance

    def handle(self, event: Any, **kwargs: Any) -> None:
        self.seen.append(f"{event!r} {event.model_dump()} {kwargs!r}")


class Spans(BaseSpanHandler[BaseSpan]):
    """Keeps what each span is opened, closed and dropped with."""

    seen: list[str] = []  # noqa: RUF012 - pydantic copies it for every instance

    def new_span(self, id_: str, bound_args: Any, instance: Any = None, *args: Any, **options: Any) -> BaseSpan:
        shown = instance.to_dict() if hasattr(instance, "to_dict") else ""
        self.seen.append(f"{bound_args!r} {instance!r} {shown} {args!r} {options!r}")
        return BaseSpan(id_=id_)

    def prepare_to_exit_span(self, *args: Any, **options: Any) -> Any:
        self.seen.append(f"{args!r} {options!r}")

    def prepare_to_drop_span(self, *args: Any, **options: Any) -> Any:
        self.seen.append(f"{args!r} {options!r}")


@pytest.mark.parametrize("failure", ["none", "401 json", "500", "hangs up"])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_llama_indexs_traces(origin: Server, mode: str, failure: str) -> None:
    """Events, spans with their arguments and instance, and the older callback payloads."""
    origin.answer = FAILURES[failure]
    events, spans, callbacks = Events(), Spans(), LlamaDebugHandler(print_trace_on_end=False)
    root = get_dispatcher()
    root.add_event_handler(events)
    root.add_span_handler(spans)
    manager = CallbackManager([callbacks])
    used = use(
        f"llama_index {mode}", base_url=origin.url, api_key=KEY, timeout=5.0, max_retries=1, callback_manager=manager
    )
    try:
        with contextlib.suppress(Qwen3SGLangError):
            used.call()
    finally:
        root.event_handlers.remove(events)
        root.span_handlers.remove(spans)
    payloads = [f"{event.payload!r}" for event in callbacks.get_events()]
    assert len(events.seen) >= 2
    assert len(spans.seen) >= 2
    assert payloads
    assert not found(*events.seen, *spans.seen, *payloads)
