"""What both adapters promise, sync and async: the same order, the same scores, the same errors."""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from frameworks import ADAPTERS, Adapter, Ask
from pydantic import ValidationError

from fake_server import FakeServer
from option_values import OPTIONS
from qwen3_sglang import errors
from qwen3_sglang.prompts.template import QWEN3

KEY = "sk-made-up-0123456789"

SENT_WITH_A_CALL = {"top_n", "min_score", "instruction", "keep_retrieval_score"}  # or needed by the adapter alone
# Documents "a" (0.1), "b" (0.9) and "c" (0.5), in that order: what is kept of them.
KEPT: list[tuple[dict[str, Any], str]] = [
    ({}, "bca"),
    ({"top_n": 1}, "b"),
    ({"top_n": 99}, "bca"),
    ({"min_score": 0.3}, "bc"),
    ({"min_score": 0.5}, "bc"),
    ({"min_score": 0.95}, ""),
    ({"min_score": 0}, "bca"),
    ({"min_score": 0.3, "top_n": 1}, "b"),
    ({"batch_size": 1, "max_concurrency": 2}, "bca"),
    ({"cache_size": 2}, "bca"),
    ({"model": "toy", "max_length": 8000}, "bca"),
]
ROW = {"index": 0, "label": "no", "probs": [0.9, 0.1], "num_classes": 2}
# What a server may answer to a list of one, and the error that it is.
FAULTS: dict[str, tuple[int, dict[str, Any], type[errors.ServerError]]] = {
    "key refused": (401, {"error": "Unauthorized"}, errors.AuthenticationError),
    "document refused": (400, {"object": "error", "message": "bad", "code": 400}, errors.RequestRejectedError),
    "not there": (404, {"detail": "Not Found"}, errors.NotSGLangError),
    "no rows": (200, {"data": []}, errors.ProtocolError),
    "out of place": (200, {"data": [ROW | {"index": 1}]}, errors.ProtocolError),
    "sum": (200, {"data": [ROW | {"probs": [0.5, 0.1], "label": None}]}, errors.ProtocolError),
    "one label": (200, {"data": [ROW | {"probs": [1.0], "num_classes": 1}]}, errors.OneLabelModelError),
    "upside down": (200, {"data": [ROW | {"label": "yes"}]}, errors.SwappedLabelsError),
}


def three(adapter: Adapter) -> list[Any]:
    """ "b" is of a subclass; the others have metadata, or none."""
    return [
        adapter.item("low p=0.1", "a", {"source": {"file": "a.txt"}}),
        adapter.special("high p=0.9", "b"),
        adapter.item("mid p=0.5", "c"),
    ]


def test_every_shared_option_is_in_the_table() -> None:
    """A new one is one more line there."""
    one, other = (set(adapter.make.model_fields) for adapter in ADAPTERS)
    assert one & other == set(OPTIONS)


def uncovered(kept: Any) -> Any:
    """An option's value, secrets uncovered."""
    if isinstance(kept, Mapping):
        return {name: uncovered(one) for name, one in kept.items()}
    return kept.get_secret_value() if hasattr(kept, "get_secret_value") else kept


@pytest.mark.parametrize("name", OPTIONS)
def test_option_is_kept(adapter: Adapter, name: str) -> None:
    """By the reranker and by what it asks the server with; in a copy too."""
    value, _ = OPTIONS[name]
    reranker = adapter.make(**{name: value})
    for one in (reranker, copy.copy(reranker), reranker.model_copy()):
        kept = getattr(one, name)
        assert uncovered(kept) == value
        settings = one._connect().settings
        if name not in SENT_WITH_A_CALL:
            assert uncovered(getattr(settings, name)) == value


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, (_, bad) in OPTIONS.items() for value in bad])
def test_unusable_option_is_refused_at_once(adapter: Adapter, name: str, value: Any) -> None:
    """By name, and without showing a key that is there too."""
    with pytest.raises(ValueError, match=name) as caught:
        adapter.make(**{"api_key": KEY, name: value})
    assert isinstance(caught.value, errors.InvalidInputError | ValidationError)
    assert KEY not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize("options", [{"apikey": KEY}, {"topn": 3}])
def test_misspelled_option_is_refused(adapter: Adapter, options: dict[str, Any]) -> None:
    """Without showing its value, which may be the key."""
    with pytest.raises(ValidationError) as caught:
        adapter.make(**options)
    assert KEY not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        ("top_k", "top_n"),
        ("score_threshold", "min_score"),
        ("similarity_cutoff", "min_score"),
        ("model_name", "model"),
        ("instruct", "instruction"),
        ("url", "base_url"),
        ("max_tokens_per_doc", "max_length"),
        ("batchsize", "batch_size"),
    ],
)
def test_another_librarys_word_names_the_right_option(adapter: Adapter, foreign: str, ours: str) -> None:
    """And so does a slip of the pen; the value isn't shown."""
    with pytest.raises(ValidationError, match=f"unknown option {foreign}: it is called {ours} here") as caught:
        adapter.make(**{foreign: KEY})
    assert KEY not in f"{caught.value} {caught.value!r}"


async def test_query_and_documents_swapped(adapter: Adapter, ask: Ask) -> None:
    """Recognised, whatever the framework's own order is."""
    with pytest.raises(errors.InvalidInputError, match="the query comes first"):
        await ask(adapter.make(), "a query", three(adapter), top_n=1)


@pytest.mark.parametrize("overrides", [{}, {"top_n": None}])
async def test_a_generator_is_read_once(
    server: FakeServer, adapter: Adapter, ask: Ask, overrides: dict[str, Any]
) -> None:
    """Through both entry points."""
    ranked = await ask(adapter.make(base_url=server.url), (item for item in three(adapter)), **overrides)
    assert [adapter.see(item).id for item in ranked] == ["b", "c", "a"]


@pytest.mark.parametrize(("options", "kept"), KEPT)
async def test_order_and_limits(server: FakeServer, adapter: Adapter, ask: Ask, options: Any, kept: str) -> None:
    """Best first, scores as the model gives them."""
    ranked = [adapter.see(item) for item in await ask(adapter.make(base_url=server.url, **options), three(adapter))]
    assert "".join(seen.id or "" for seen in ranked) == kept
    assert [seen.score for seen in ranked] == [{"a": 0.1, "b": 0.9, "c": 0.5}[id_] for id_ in kept]
    assert all(type(seen.score) is float for seen in ranked)


@pytest.mark.parametrize(
    ("overrides", "kept"), [(options, kept) for options, kept in KEPT if set(options) & {"top_n", "min_score"}]
)
async def test_limits_for_one_call(server: FakeServer, adapter: Adapter, ask: Ask, overrides: Any, kept: str) -> None:
    """They win over the reranker's own, which stay."""
    if not hasattr(adapter.make, "rerank"):
        pytest.skip("no limits for one call in this adapter")
    reranker = adapter.make(base_url=server.url, top_n=2, min_score=0.2)
    whole = {"top_n": None, "min_score": None, "instruction": "Find the law"} | overrides
    ranked = await ask(reranker, three(adapter), **whole)
    assert "".join(adapter.see(item).id or "" for item in ranked) == kept
    assert "<Instruct>: Find the law" in server.prompts[0]
    assert "".join(adapter.see(item).id or "" for item in await ask(reranker, three(adapter))) == "bc"
    with pytest.raises(errors.InvalidInputError, match="top_n"):
        await ask(reranker, three(adapter), top_n=0)


async def test_options_may_change_between_calls(server: FakeServer, adapter: Adapter, ask: Ask) -> None:
    """Limits and the instruction, which are sent with a call; what can't be met is refused then."""
    reranker = adapter.make(base_url=server.url)
    reranker.top_n = 1
    assert len(await ask(reranker, three(adapter))) == 1
    reranker.top_n, reranker.min_score = None, 0.4
    assert len(await ask(reranker, three(adapter))) == 2
    for top_n in (-1, "many"):
        reranker.top_n = top_n
        with pytest.raises(errors.InvalidInputError, match="top_n"):
            await ask(reranker, three(adapter))


@pytest.mark.parametrize("name", sorted(set(OPTIONS) - SENT_WITH_A_CALL))
def test_connection_settings_are_frozen(adapter: Adapter, name: str) -> None:
    """The client is made of them."""
    reranker = adapter.make()
    with pytest.raises(ValidationError, match="frozen"):
        setattr(reranker, name, OPTIONS[name][0])


async def test_nothing_given_is_changed(server: FakeServer, adapter: Adapter, ask: Ask) -> None:
    """What comes back is fresh, and has everything it had: id, metadata, text, subclass."""
    items = three(adapter)
    before = copy.deepcopy(items)
    ranked = await ask(adapter.make(base_url=server.url), items)
    assert items == before
    by_id = {adapter.see(item).id: item for item in items}
    for item in ranked:
        seen, found = adapter.see(item), by_id[adapter.see(item).id]
        assert item is not found
        assert type(getattr(item, "node", item)) is type(getattr(found, "node", found))
        assert (seen.text, seen.metadata) == (adapter.see(found).text, adapter.see(found).metadata)


async def test_any_sequence_will_do(server: FakeServer, adapter: Adapter, ask: Ask) -> None:
    """A tuple, for example."""
    assert len(await ask(adapter.make(base_url=server.url), tuple(three(adapter)))) == 3


async def test_duplicates_are_sent_once_and_all_come_back(server: FakeServer, adapter: Adapter, ask: Ask) -> None:
    """Each in its own place, by its own id."""
    items = [adapter.item(f"p=0.{p}", id_) for id_, p in (("a", 3), ("b", 8), ("c", 3), ("d", 3))]
    ranked = await ask(adapter.make(base_url=server.url), items)
    assert [adapter.see(item).id for item in ranked] == ["b", "a", "c", "d"]
    assert len(server.prompts) == 2


async def test_nothing_to_rank_asks_nothing(server: FakeServer, adapter: Adapter, ask: Ask) -> None:
    """Not even for the model's name."""
    assert await ask(adapter.make(base_url=server.url), []) == []
    assert server.asked == []


@pytest.mark.parametrize("query", ["", "  ", "\n"])
async def test_a_query_is_needed(server: FakeServer, adapter: Adapter, ask: Ask, query: str) -> None:
    """Refused before any request."""
    with pytest.raises(errors.InvalidInputError, match="query"):
        await ask(adapter.make(base_url=server.url), three(adapter), query)
    assert server.asked == []


async def test_instruction_and_query_reach_the_model(server: FakeServer, adapter: Adapter, ask: Ask) -> None:
    """In their places in the template."""
    await ask(adapter.make(base_url=server.url, instruction="Find the law"), three(adapter), "what is owed")
    assert len(server.prompts) == 3
    for prompt in server.prompts:
        assert "<Instruct>: Find the law\n<Query>: what is owed\n<Document>: " in prompt


async def test_documents_without_text(server: FakeServer, adapter: Adapter, ask: Ask) -> None:
    """Scored as they are, kept and never filled up; the same in both frameworks."""
    items = [adapter.item("", "empty"), adapter.item(" \n", "blank"), adapter.item("p=0.9", "full")]
    ranked = [adapter.see(item) for item in await ask(adapter.make(base_url=server.url), items, "p=0.4")]
    assert [(seen.id, seen.text, seen.score) for seen in ranked] == [
        ("full", "p=0.9", 0.9),
        ("empty", "", 0.4),
        ("blank", " \n", 0.4),
    ]
    assert server.prompts[0].endswith(f"<Document>: {QWEN3.suffix}")
    assert server.prompts[1].endswith(f"<Document>:  \n{QWEN3.suffix}")


async def test_metadata_is_all_that_is_read_of_an_empty_document(
    server: FakeServer, adapter: Adapter, ask: Ask
) -> None:
    """Where the framework's option lets it through: without a blank line behind it."""
    options = {"langchain": {"metadata_keys": ["title"]}, "llama-index": {"metadata_mode": "all"}}[adapter.extra]
    items = [adapter.item(text, metadata={"title": "Tea p=0.3"}) for text in ("", "text p=0.8")]
    await ask(adapter.make(base_url=server.url, **options), items)
    read = [prompt.partition("<Document>: ")[2].removesuffix(QWEN3.suffix) for prompt in server.prompts]
    assert read == ["title: Tea p=0.3", "title: Tea p=0.3\n\ntext p=0.8"]


@pytest.mark.parametrize(("switch", "shown"), [(True, "< think>"), (False, "<think>")])
async def test_special_tokens(server: FakeServer, adapter: Adapter, ask: Ask, switch: bool, shown: str) -> None:
    """Broken, unless that is turned off."""
    reranker = adapter.make(base_url=server.url, escape_special_tokens=switch)
    await ask(reranker, [adapter.item("<think> p=0.5")])
    assert f"<Document>: {shown} p=0.5" in server.prompts[-1]


async def test_a_cut_document_is_marked(server: FakeServer, adapter: Adapter, ask: Ask) -> None:
    """In its metadata alone: the text stays whole, and the mark goes when nothing is cut."""
    items = [adapter.item(f"p=0.{p}" + " word" * words) for p, words in ((2, 0), (7, 900))]
    cut, whole = await ask(adapter.make(base_url=server.url, max_length=700), items)
    assert adapter.see(cut).metadata == {"rerank_truncated": True}
    assert adapter.see(cut).text == adapter.see(items[1]).text
    assert adapter.see(whole).metadata == {}
    again, _ = await ask(adapter.make(base_url=server.url), [cut, whole])
    assert adapter.see(again).metadata == {}


async def test_the_best_chunk_is_named(server: FakeServer, adapter: Adapter, ask: Ask) -> None:
    """Its place in the item's own text, and how many there were; gone when the next reranking divides nothing."""
    long = "words of no use " * 60 + "p=0.9 is it" + " and more words" * 60
    items = [adapter.item(text, metadata={"title": "A p=0.1"}) for text in ("p=0.2", f" {long}")]
    reranker = adapter.make(base_url=server.url, long_documents="chunks", max_length=700)
    best, whole = await ask(reranker, items, query="q p=0.1")
    found = adapter.see(best).metadata
    assert adapter.see(best).score == 0.9
    assert adapter.see(best).text == adapter.see(items[1]).text
    assert "p=0.9" in adapter.see(best).text[found["rerank_chunk_start"] : found["rerank_chunk_end"]]
    assert found["rerank_chunks"] == len(server.prompts) - 1 > 2
    assert "rerank_truncated" not in found
    assert adapter.see(whole).metadata == {"title": "A p=0.1"}
    [again, _] = await ask(adapter.make(base_url=server.url), [best, whole], query="q p=0.1")
    assert adapter.see(again).metadata == {"title": "A p=0.1"}


@pytest.mark.parametrize("fault", FAULTS)
async def test_server_fault(server: FakeServer, adapter: Adapter, ask: Ask, fault: str) -> None:
    """Its own error, naming the address."""
    status, body, error = FAULTS[fault]
    server.fault = status, body
    with pytest.raises(error) as caught:
        await ask(adapter.make(base_url=server.url, api_key=KEY, max_retries=0), [adapter.item("p=0.1")])
    assert server.url in str(caught.value)
    assert KEY not in f"{caught.value} {caught.value!r}"


async def test_nobody_there(nobody: str, adapter: Adapter, ask: Ask) -> None:
    """A ConnectionError."""
    with pytest.raises(errors.ServerUnreachableError):
        await ask(adapter.make(base_url=nobody, timeout=5.0, max_retries=0), three(adapter))


async def test_usable_again_after_close(server: FakeServer, adapter: Adapter, ask: Ask) -> None:
    """`ask` closes each time."""
    reranker = adapter.make(base_url=server.url)
    for _ in range(2):
        assert len(await ask(reranker, three(adapter))) == 3


async def test_async_calls_overlap_without_threads(server: FakeServer, adapter: Adapter) -> None:
    """The server answers only once all three are in flight; one worker thread could never get there."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=1))
    server.barrier = threading.Barrier(3)
    reranker = adapter.make(base_url=server.url, timeout=9.0)
    one = [adapter.item("p=0.1")]
    ranked = await asyncio.gather(*(adapter.acall(reranker, one, f"q{i}") for i in range(3)))
    assert [len(items) for items in ranked] == [1, 1, 1]
    await reranker.aclose()


@pytest.mark.parametrize("given", ["argument", "environment"])
async def test_key_is_sent_and_never_shown(
    server: FakeServer, adapter: Adapter, ask: Ask, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In no repr, dump or pickle."""
    if given == "environment":
        monkeypatch.setenv("QWEN3_SGLANG_API_KEY", KEY)
    reranker = adapter.make(base_url=server.url, **({"api_key": KEY} if given == "argument" else {}))
    await ask(reranker, three(adapter))
    assert {key for _, key in server.asked} == {f"Bearer {KEY}"}
    assert not [text for text in adapter.shown(reranker) if KEY in text]
    assert KEY.encode() not in pickle.dumps(reranker)


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda r: r.model_copy(deep=True), lambda r: pickle.loads(pickle.dumps(r))],  # noqa: S301 - its own
    ids=["copy", "deepcopy", "model_copy", "pickle"],
)
async def test_copies_work_on_their_own(
    server: FakeServer,
    adapter: Adapter,
    ask: Ask,
    copied: Callable[..., Any],
    *,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also once the original is closed."""
    monkeypatch.setenv("QWEN3_SGLANG_API_KEY", KEY)  # where a pickle, which carries none, finds it again
    original = adapter.make(base_url=server.url, api_key=KEY, top_n=2)
    await ask(original, three(adapter))
    other = copied(original)
    assert (other.base_url, other.top_n) == (original.base_url, original.top_n)
    original.close()
    assert [adapter.see(item).id for item in await ask(other, three(adapter))] == ["b", "c"]
    assert {key for _, key in server.asked} == {f"Bearer {KEY}"}
    assert "unpickleable" not in caplog.text


def test_an_option_that_came_after_a_pickle_has_its_default(adapter: Adapter) -> None:
    """A pickle of an earlier version lacks it; what the pickle holds stays."""
    reranker = adapter.make(timeout=9.0, cache_size=7, top_n=2)
    for name in OPTIONS:
        state = reranker.__getstate__()
        state["__dict__"] = {kept: value for kept, value in state["__dict__"].items() if kept != name}
        loaded = adapter.make.__new__(adapter.make)
        loaded.__setstate__(state)
        assert getattr(loaded, name) == adapter.make.model_fields[name].default
        assert [getattr(loaded, one) == getattr(reranker, one) for one in OPTIONS if one != name].count(False) == 0
        assert loaded._connect().settings.timeout == (60.0 if name == "timeout" else 9.0)


async def test_model_copy_may_point_elsewhere(server: FakeServer, nobody: str, adapter: Adapter, ask: Ask) -> None:
    """The copy has a client of its own."""
    original = adapter.make(base_url=nobody)
    assert len(await ask(original.model_copy(update={"base_url": server.url}), three(adapter))) == 3


def _python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_the_other_framework_is_not_imported(adapter: Adapter) -> None:
    """Nobody needs both."""
    [other] = [one.package.removesuffix("_qwen3_sglang") for one in ADAPTERS if one.extra != adapter.extra]
    code = f"import sys, {adapter.package}; print(sorted(m for m in sys.modules if m.startswith('{other}')))"
    assert _python(code).strip() == "[]"


def test_missing_framework_names_the_extra(adapter: Adapter) -> None:
    """And the command that installs it."""
    code = f"""
import sys
from qwen3_sglang.errors import MissingDependencyError
for module in {adapter.modules}:
    sys.modules[module] = None
    try:
        import {adapter.package}
    except MissingDependencyError as error:
        print(error.extra, error)
    del sys.modules[module]
"""
    said = _python(code).splitlines()
    assert len(said) == len(adapter.modules)
    for line in said:
        assert line.startswith(f"{adapter.extra} ")
        assert f'pip install "qwen3-sglang[{adapter.extra}]"' in line
