"""Large calls are read, planned and ranked in a thread, small ones where they are."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
import unicodedata
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from fake_server import FakeServer
from qwen3_sglang import InvalidInputError, RerankClient
from qwen3_sglang.prompts.template import QWEN3
from qwen3_sglang.prompts.texts import nfc, readable
from qwen3_sglang.prompts.truncate import suspects
from qwen3_sglang.scoring.aside import MUCH, PER_TEXT, aside, counts_of, size_of, size_of_all, size_of_rows


@pytest.mark.parametrize(("size", "elsewhere"), [(262_144, False), (262_145, True)])
async def test_much_is_done_in_a_thread(size: int, elsewhere: bool) -> None:
    """More characters than the documentation says; what it raises is raised."""

    def refuse() -> None:
        raise InvalidInputError("field", 1, "remedy")

    assert (await aside(size, threading.get_ident) != threading.get_ident()) == elsewhere
    with pytest.raises(InvalidInputError):
        await aside(size, refuse)


@pytest.mark.parametrize(
    ("texts", "size"),
    [
        (["ab", "c"], 2 * PER_TEXT + 3),
        ([], 0),
        (None, 0),
        ([None], 0),
        (7, 0),
        (iter("ab"), 0),
        ("ab", 2 * PER_TEXT + 2),
    ],
)
def test_size_of_texts(texts: Any, size: int) -> None:
    """What can't be read has none: it is refused at once."""
    assert size_of(texts) == size


@pytest.mark.parametrize(
    ("rows", "size"),
    [
        ([("q", "ab")], PER_TEXT + 3),
        ([("q", ["ab", "c"])], PER_TEXT + 1 + 2 * PER_TEXT + 3),
        ([("q",)], 0),
        ([5], 0),
        ([(5, "d")], 0),
        (None, 0),
        (iter([("q", "d")]), 0),
    ],
)
def test_size_of_rows(rows: Any, size: int) -> None:
    """The same of pairs and of queries with their documents."""
    assert size_of_rows(rows) == size


async def busiest(call: Awaitable[Any]) -> tuple[Any, float]:
    """What it returns, and for how many seconds of its own CPU time at most the event loop was held.

    CPU time, since what else runs on this machine must not fail a test. Nor must the objects of tests before it: a pass
    of the garbage collector visits each.
    """
    longest = 0.0
    gc.collect()
    gc.freeze()

    async def watch() -> None:
        nonlocal longest
        while True:
            used = time.thread_time()
            await asyncio.sleep(0.001)
            longest = max(longest, time.thread_time() - used)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0.01)
    try:
        return await call, longest
    finally:
        watching.cancel()
        gc.unfreeze()


TEN_MB = 10 * 2**20
ODD_TEXTS = {
    "marks": "p=0.5 " + "\u0301\u0323" * (TEN_MB // 4),
    "spaces": "p=0.5 " + " " * TEN_MB,
    "less-than signs": "p=0.5 " + "<" * TEN_MB,
    "words": "p=0.5 " + "some words here " * (TEN_MB // 16),
    "Chinese": "p=0.5 " + "中国的首都" * (TEN_MB // 15),
    "decomposed": "p=0.5 " + unicodedata.normalize("NFD", "각é") * (TEN_MB // 12),
    "surrogates": "p=0.5 " + "\ud800" * (TEN_MB // 3),
    "symbols that are taken apart": "p=0.5 " + "\U0001d15e\U0001d160\U0001d164" * (TEN_MB // 12),
    "vowel signs": "p=0.5 " + "\u09c7\u09be" * (TEN_MB // 6),
    "special tokens": "p=0.5 " + "<think>" * (TEN_MB // 7),
}


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("name", ODD_TEXTS)
async def test_no_text_holds_the_event_loop(server: FakeServer, causal_toy: Path, name: str, local: bool) -> None:
    """50 ms is what reliability.md promises for any text up to 10 MB; the texts that were made to break that."""
    async with RerankClient(server.url, tokenizer=causal_toy if local else None) as client:
        await client.arerank("q", ["p=0.1"])  # loads the tokenizer, once per client
        results, held = await busiest(client.arerank("q", [ODD_TEXTS[name], "p=0.1"]))
    assert [(result.index, result.truncated) for result in results] == [(0, True), (1, False)]
    assert held < 0.05
    assert all(len(prompt.encode()) < 2**21 for prompt in server.prompts)


@contextmanager
def held_by_one_call() -> Iterator[list[float]]:
    """Fills in how long, in CPU time, calls into C held the interpreter: a thread's hold up the event loop too.

    Those that called Python back are left out, since other threads have their turns then.
    """
    found, under_way, calls = [0.0], list[tuple[float, int]](), 0

    def hook(_: FrameType, event: str, what: Any) -> None:
        nonlocal calls
        if event == "call":
            calls += 1
        elif event == "c_call":
            under_way.append((time.thread_time(), calls))
        elif event != "return" and under_way:
            began, before = under_way.pop()
            if calls == before and (used := time.thread_time() - began) > found[-1]:
                found.append(used)

    gc.disable()  # its passes take as long as this process has objects
    sys.setprofile(hook)
    try:
        yield found
    finally:
        sys.setprofile(None)
        gc.enable()


@pytest.mark.parametrize("name", ODD_TEXTS)
def test_no_text_keeps_one_call_into_c_busy(name: str) -> None:
    """Whether it is a document or the query, checked, cut, normalised or shown."""
    most = QWEN3.max_length * QWEN3.longest_token
    text = ODD_TEXTS[name][: most // 4]  # what counts of 10 MB takes four times as long
    with held_by_one_call() as held:
        head, [document] = QWEN3.prepare(text, [text], "task", escape=True)
        suspects(head, [document], QWEN3.max_length)
        head.prompt("document")
        nfc(readable(text, most), 2**17)
    assert held[-1] < 0.025  # half of it on an idle machine


async def test_many_documents_do_not_hold_the_event_loop(server: FakeServer) -> None:
    """All that is done over all documents is done beside it; the tasks in flight are as many as requests may be."""
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, len(asyncio.all_tasks()))
            await asyncio.sleep(0)

    documents = [f"{number} p=0.{number % 10}" for number in range(20_000)]
    async with RerankClient(server.url, max_concurrency=4, batch_size=200) as client:
        watching = asyncio.create_task(watch())
        results, held = await busiest(client.arerank("q", documents))
        watching.cancel()
        assert most < 20  # of 100 lists; some are aiohttp's, and the test's
        pairs = [("q" if index % 2 else "r", document) for index, document in enumerate(documents)]
        scores, held_by_pairs = await busiest(client.ascore_pairs(pairs))
    assert [result.index % 10 for result in results[::2000]] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert scores == [(index % 10) / 10 for index in range(20_000)]
    assert max(held, held_by_pairs) < 0.05


MANY = MUCH // PER_TEXT + 1


def test_of_many_only_the_number_is_looked_at() -> None:
    """Reading each would take longer than there is; so even what can't be read counts."""
    assert size_of([object()] * MANY) == PER_TEXT * MANY  # type: ignore[list-item] # wrong on purpose
    assert size_of(["a"] * (MANY - 1)) == (PER_TEXT + 1) * (MANY - 1)
    assert size_of_rows([object()] * MANY) == PER_TEXT * MANY
    assert size_of_rows((("q", "a"),) * (MANY - 1)) == (PER_TEXT + 2) * (MANY - 1)


def test_the_size_of_a_call_is_that_of_its_parts() -> None:
    """A query has its characters, documents count for 100 more each; what can't be read has none."""
    assert size_of_all("abc", ["d"], None, 5) == 3 + 100 + 1


@pytest.mark.parametrize(
    ("rows", "counts"),
    [
        ([("q", ["a", "b"]), ("r", [])], [2, 0]),
        ((("q", ["a"]),), [1]),
        (iter([("q", ["a"])]), []),
        ([("q",)], []),
        ([("q", 5)], []),
        ([5], []),
    ],
)
def test_documents_per_query(rows: Any, counts: list[int]) -> None:
    """None of what can't be read: it is refused where it is."""
    assert counts_of(rows) == counts
