"""An unknown keyword argument is refused by naming the right one, wherever the core takes keyword arguments."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from typing import Any

import pytest

from qwen3_sglang import RerankClient, UnknownOptionError
from qwen3_sglang.options.keywords import with_known_keywords

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
        ("top_k", None),
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
def test_the_client_names_the_right_option(foreign: str, ours: str | None) -> None:
    """Another library's word, a slip of the pen; what a call takes and the client doesn't is listed as unknown."""
    given: dict[str, Any] = {foreign: KEY}
    with pytest.raises(UnknownOptionError) as caught:
        RerankClient(URL, **given)
    said = f"unknown option {foreign}: it is called {ours} here" if ours else f"unknown option {foreign} (there are api"
    assert str(caught.value).startswith(said)
    assert (caught.value.field, caught.value.value) == (foreign, None)
    assert KEY not in shown(caught.value)


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize(("foreign", "ours"), [("instruct", "instruction"), ("instructions", "instruction")])
def test_every_method_names_the_right_argument(way: str, method: str, foreign: str, ours: str) -> None:
    """Before anything is sent; a TypeError, as Python's own is."""
    client, given = RerankClient(URL), {foreign: KEY}
    with pytest.raises(TypeError, match=f"unknown option {foreign}: it is called {ours} here") as caught:
        if way == "sync":
            getattr(client, method)(*CALLS[method], **given)
        else:
            asyncio.run(getattr(client, f"a{method}")(*CALLS[method], **given))
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


def test_known_keywords_pass() -> None:
    """By their names, in any order."""

    def add(_: object, first: int, *, second: int) -> int:
        return first - second

    assert with_known_keywords(add)(None, second=1, first=3) == 2
