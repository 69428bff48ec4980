"""An unknown keyword argument is refused by naming the right one, wherever the core takes keyword arguments."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import traceback
from typing import Any

import pytest
from pydantic import ValidationError

from langchain_qwen3_sglang import Qwen3SGLangRerank as LangChainRerank
from llama_index_qwen3_sglang import Qwen3SGLangRerank as LlamaIndexRerank
from qwen3_sglang import InvalidInputError, RerankClient, UnknownOptionError
from qwen3_sglang.options.keywords import masked, with_known_keywords
from qwen3_sglang.secret import Hidden, SecretStr

KEY = "sk-made-up-0123456789"
URL = "http://127.0.0.1:1"
CALLS: dict[str, tuple[Any, ...]] = {
    "score": ("q", ["a"]),
    "rerank": ("q", ["a"]),
    "score_pairs": ([("q", "a")],),
    "rerank_many": ([("q", ["a"])],),
    "prompts": ("q", ["a"]),
}


def shown(error: BaseException) -> str:
    """What a traceback with the frames' locals prints, but for this file's own frames."""
    made = traceback.TracebackException.from_exception(error, capture_locals=True)
    return f"{error} {error!r} " + "".join(f"{one.locals}" for one in made.stack if one.filename != __file__)


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        ("url", "base_url"),
        ("api_base", "base_url"),
        ("token", "api_key"),
        ("apikey", "api_key"),
        ("apiKey", "api_key"),
        ("model_name", "model"),
        ("instruct", "instruction"),
        ("max_tokens_per_doc", "max_length"),
        ("maxLength", "max_length"),
        ("retries", "max_retries"),
        ("num_workers", "max_concurrency"),
        ("batchsize", "batch_size"),
        ("verify_ssl", "verify"),
        ("time_out", "timeout"),
    ],
)
def test_the_client_names_the_right_option(foreign: str, ours: str) -> None:
    """Another library's word, or a slip of the pen."""
    given: dict[str, Any] = {foreign: KEY}
    with pytest.raises(UnknownOptionError) as caught:
        RerankClient(URL, **given)
    assert str(caught.value) == f"unknown option {foreign}: it is called {ours} here"
    assert (caught.value.field, caught.value.value) == (foreign, None)
    assert KEY not in shown(caught.value)


PLACES = [[("x-gw", KEY)], (("x-gw", KEY),), {KEY + " "}, KEY.encode(), {"x-gw": KEY.encode()}, {f"x: {KEY}": "v"}]


@pytest.mark.parametrize("kind", [RerankClient, LangChainRerank, LlamaIndexRerank])
@pytest.mark.parametrize("name", ["headers", "default_headers", "api_key", "token"])
@pytest.mark.parametrize("value", PLACES, ids=str)
def test_a_secret_of_any_type(kind: Any, name: str, value: object) -> None:
    """Pairs and bytes, as other HTTP libraries take them, and a value in a name's place."""
    try:
        told = repr(kind(base_url=URL, **{name: value}))
    except (InvalidInputError, ValidationError) as error:
        told = shown(error)
    assert KEY not in told


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize(("foreign", "ours"), [("instruct", "instruction"), ("instructions", "instruction")])
def test_every_method_names_the_right_argument(way: str, method: str, foreign: str, ours: str) -> None:
    """Before anything is sent; a TypeError, as Python's own is."""
    client = RerankClient(URL)

    def call(**given: Any) -> None:
        if way == "sync":
            getattr(client, method)(*CALLS[method], **given)
        else:
            asyncio.run(getattr(client, f"a{method}")(*CALLS[method], **given))

    with pytest.raises(TypeError, match=f"unknown option {foreign}: it is called {ours} here") as caught:
        call(**{foreign: KEY})
    assert isinstance(caught.value, UnknownOptionError)
    assert KEY not in shown(caught.value)


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [("top_k", "top_n"), ("score_threshold", "min_score"), ("similarity_cutoff", "min_score"), ("docs", "documents")],
)
def test_rerank_names_its_limits(foreign: str, ours: str) -> None:
    """Which other libraries call otherwise."""
    given: dict[str, Any] = {foreign: 3}
    with pytest.raises(UnknownOptionError, match=f"{foreign}: it is called {ours} here"):
        RerankClient(URL).rerank("q", ["a"], **given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"top_k": 3}, "unknown option top_k: pass top_n to rerank"),
        ({"score_threshold": 0.5}, "unknown option score_threshold: pass min_score to rerank"),
        ({"progress": print}, "unknown option progress: pass on_progress to score"),
        ({"colour": 1, "url": URL}, "unknown option colour (there are api_key, "),
    ],
)
def test_what_a_call_takes_the_client_does_not(given: dict[str, Any], said: str) -> None:
    """The message says which call; where nothing comes close, the options are listed."""
    with pytest.raises(UnknownOptionError) as caught:
        RerankClient(**given)
    assert str(caught.value).startswith(said)


def test_what_the_client_takes_a_call_does_not() -> None:
    """And the other way round."""
    given: dict[str, Any] = {"request_timeout": 3}
    with pytest.raises(UnknownOptionError, match=r"request_timeout: pass timeout to RerankClient\(...\)"):
        RerankClient(URL).rerank("q", ["a"], **given)


def test_one_argument_too_many_is_not_shown() -> None:
    """The key may have been passed by its place."""
    given: Any = (URL, KEY)
    with pytest.raises(TypeError, match="positional") as caught:
        RerankClient(*given)
    assert KEY not in shown(caught.value)


def test_signatures_stay() -> None:
    """For editors, and for whoever asks whether a method is async."""
    assert list(inspect.signature(RerankClient.rerank).parameters)[:3] == ["self", "query", "documents"]
    assert "api_key" in inspect.signature(RerankClient).parameters
    assert inspect.iscoroutinefunction(RerankClient.arerank)
    assert not inspect.iscoroutinefunction(RerankClient.rerank)


PUBLIC = ("convert", "evaluate", "local", "playground")  # packages whose functions users call, besides the client
FUNCTIONS = {
    f"{package}.{name}": value
    for package in PUBLIC
    for found in [importlib.import_module(f"qwen3_sglang.{package}")]
    for name in found.__all__
    if inspect.isfunction(value := getattr(found, name))
}


def test_there_are_functions() -> None:
    """Those that have names of their own for what a call is given."""
    assert {"convert.convert", "evaluate.evaluate", "local.run_in_thread"} < set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_names_what_it_takes(name: str) -> None:
    """Before anything is done or asked for; its signature stays."""
    given: dict[str, Any] = {"colour": KEY}
    with pytest.raises(UnknownOptionError, match=r"unknown option colour \(there are ") as caught:
        FUNCTIONS[name](**given)
    assert KEY not in shown(caught.value)
    assert "given" not in inspect.signature(FUNCTIONS[name]).parameters


@pytest.mark.parametrize(
    ("name", "foreign", "ours"),
    [
        ("convert.convert", "overwrite", "force"),
        ("convert.convert", "model_path", "source"),
        ("convert.convert", "output_dir", "target"),
        ("convert.convert", "hardlink", "link"),
        ("evaluate.evaluate", "cache", "scores"),
        ("evaluate.evaluate", "instruction", "instructions"),
        ("evaluate.evaluate", "show_progress", "progress"),
        ("evaluate.load_dataset", "topk", "top_k"),
        ("local.run_in_thread", "torch_dtype", "dtype"),
        ("local.run_in_thread", "num_threads", "threads"),
        ("local.serve", "served_model_name", "name"),
        ("playground.run_in_thread", "url", "base_url"),
        ("playground.run_in_thread", "token", "api_key"),
    ],
)
def test_a_function_names_the_right_argument(name: str, foreign: str, ours: str) -> None:
    """Another library's word, or a slip of the pen."""
    given: dict[str, Any] = {foreign: KEY}
    with pytest.raises(UnknownOptionError, match=f"unknown option {foreign}: it is called {ours} here"):
        FUNCTIONS[name](**given)


def test_known_keywords_pass() -> None:
    """By their names, in any order."""

    def add(_: object, first: int, *, second: int) -> int:
        return first - second

    assert with_known_keywords(add)(None, second=1, first=3) == 2


LINES = "x-a: one\nx-b: two"


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("model", LINES, LINES),
        ("api_key", LINES, LINES),
        ("api_key", SecretStr(LINES), LINES),
        ("headers", LINES, {"x-a": "one", "x-b": "two"}),
        ("headers", {"x-a": "one"}, {"x-a": "one"}),
        ("header", LINES, LINES),
        ("token", LINES, LINES),
        ("token", b"one", b"one"),
        ("token", ["one", 2], ["one", 2]),
        ("token", ("one", ["two"]), ("one", ["two"])),
        ("token", {"one"}, {"one"}),
        ("token", {"a": {"b": "one"}}, {"a": {"b": "one"}}),
        ("token", {"no name": 1, 2: "one"}, {"no name": 1, 2: "one"}),
        ("token", 3, 3),
    ],
    ids=str,
)
def test_what_may_be_a_secret_is_wrapped(name: str, value: Any, wanted: Any) -> None:
    """The key, headers, and whatever a name that isn't known has; lines are those of headers alone."""
    known = {"model", "api_key", "headers"}
    found = masked({name: value}, known, Hidden)
    assert found == {name: wanted}
    assert isinstance(found[name], type(wanted))
    if name != "model":
        assert "one" not in repr(found) + repr(masked({name: value}, known))
