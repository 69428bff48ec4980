"""Texts and hand-written ways of sending one rerank, for the benchmarks to compare the project's clients with.

A way is a function of (query, documents) that gives P(yes) of each document. All of them fill in Qwen3's template
as the project does; none of them checks, cuts or retries anything.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import inspect
import logging
import os
import platform
import random
import sys
import tarfile
import threading
import zipfile
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import requests
from requests.adapters import HTTPAdapter
from tokenizers import Tokenizer

from qwen3_sglang.prompts.template import QWEN3, build_prompts

Way = Callable[[str, Sequence[str]], list[float]]
AsyncWay = Callable[[str, Sequence[str]], Awaitable[list[float]]]
JSON = {"Content-Type": "application/json"}
MODULES = (argparse, tarfile, zipfile, logging, inspect, http.client)
_local = threading.local()


class Texts:
    """Random texts of English words from the standard library's sources; never the same twice."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)  # noqa: S311 - texts, not secrets
        source = " ".join(map(inspect.getsource, MODULES))
        stripped = {word.strip("().,:'\"#=[]") for word in source.split()}
        self._words = sorted(word for word in stripped if word.isascii() and word.isalpha())

    def one(self, words: int) -> str:
        """A text of that many words."""
        return " ".join(self._random.choices(self._words, k=words))

    def rerank(self, documents: int, words: int) -> tuple[str, list[str]]:
        """A query of eight words and its documents."""
        return self.one(8), [self.one(words) for _ in range(documents)]

    def several(self, count: int, documents: int, words: int) -> list[tuple[str, list[str]]]:
        """That many of them."""
        return [self.rerank(documents, words) for _ in range(count)]


def machine() -> str:
    """What the figures depend on."""
    return f"{os.cpu_count()} cores ({platform.machine()}), Python {sys.version.split()[0]}"


def classify_body(model: str, query: str, documents: Sequence[str]) -> bytes:
    """The body of one list for /v1/classify: the bytes that our client sends."""
    return orjson.dumps({"model": model, "input": build_prompts(query, documents, escape=False)})


def score_body(model: str, query: str, documents: Sequence[str]) -> bytes:
    """The same for /v1/score."""
    head = QWEN3.head(query, escape=False)
    return orjson.dumps({"model": model, "query": head.bare, "apply_softmax": True, "items": head.tails(documents)})


def classify_scores(body: bytes) -> list[float]:
    """P(yes) from an answer of /v1/classify."""
    return [row["probs"][1] for row in orjson.loads(body)["data"]]


def score_scores(body: bytes) -> list[float]:
    """P(yes) from an answer of /v1/score."""
    return [row[1] for row in orjson.loads(body)["scores"]]


@cache
def ids_writer(folder: str) -> Callable[[str, str, Sequence[str]], bytes]:
    """Writes the body of one list for /v1/score in token ids; `folder` holds the model's tokenizer.json."""
    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    suffix = tokenizer.encode(QWEN3.suffix, add_special_tokens=False).ids

    def write(model: str, query: str, documents: Sequence[str]) -> bytes:
        head = QWEN3.head(query, escape=False)
        start = tokenizer.encode(head.bare, add_special_tokens=False).ids
        texts = [f"{head.joint}{document}" for document in documents]
        items = [found.ids + suffix for found in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        return orjson.dumps({"model": model, "query": start, "apply_softmax": True, "items": items})

    return write


BODIES: dict[str, tuple[Callable[[str, str, Sequence[str]], bytes], Callable[[bytes], list[float]]]] = {
    "/v1/classify": (classify_body, classify_scores),
    "/v1/score": (score_body, score_scores),
    "/classify": (classify_body, classify_scores),  # vLLM's
}


def usual_loop(url: str, model: str) -> Way:
    """One `requests.post` a document, as most examples do it."""

    def way(query: str, documents: Sequence[str]) -> list[float]:
        found = []
        for prompt in build_prompts(query, documents, escape=False):
            body: dict[str, Any] = {"model": model, "input": prompt}
            answer = requests.post(f"{url}/v1/classify", json=body, timeout=600)
            answer.raise_for_status()
            found.append(answer.json()["data"][0]["probs"][1])
        return found

    return way


def lists(url: str, model: str, size: int | None = None, workers: int = 1, path: str = "/v1/classify") -> Way:
    """Lists of `size` (None: one list), `workers` of them in flight; a kept session a thread, orjson."""
    write, read = BODIES[path]
    pool = ThreadPoolExecutor(workers) if workers > 1 else None

    def send(query: str, part: Sequence[str]) -> list[float]:
        answer = _session().post(url + path, data=write(model, query, part), headers=JSON, timeout=600)
        answer.raise_for_status()
        return read(answer.content)

    def way(query: str, documents: Sequence[str]) -> list[float]:
        parts = split(documents, size)
        found = pool.map(lambda part: send(query, part), parts) if pool else (send(query, part) for part in parts)
        return [score for scores in found for score in scores]

    return way


def async_lists(
    session: aiohttp.ClientSession,
    url: str,
    model: str,
    *,
    size: int | None = None,
    workers: int = 8,
    path: str = "/v1/classify",
) -> AsyncWay:
    """The same with aiohttp; `session` belongs to the running loop."""
    write, read = BODIES[path]
    slots = asyncio.Semaphore(workers)

    async def send(query: str, part: Sequence[str]) -> list[float]:
        async with slots, session.post(url + path, data=write(model, query, part), headers=JSON) as answer:
            answer.raise_for_status()
            return read(await answer.read())

    async def way(query: str, documents: Sequence[str]) -> list[float]:
        parts = split(documents, size)
        if len(parts) == 1:
            return await send(query, parts[0])
        found = await asyncio.gather(*(send(query, part) for part in parts))
        return [score for scores in found for score in scores]

    return way


def body_sender(session: aiohttp.ClientSession, url: str) -> Callable[[Sequence[bytes]], Awaitable[list[float]]]:
    """Sends bodies for /v1/score that are made already, all at once, and gives their scores in order."""

    async def send(body: bytes) -> list[float]:
        async with session.post(f"{url}/v1/score", data=body, headers=JSON) as answer:
            answer.raise_for_status()
            return score_scores(await answer.read())

    async def way(bodies: Sequence[bytes]) -> list[float]:
        found = await asyncio.gather(*map(send, bodies))
        return [score for scores in found for score in scores]

    return way


def split(documents: Sequence[str], size: int | None) -> list[Sequence[str]]:
    """Parts of at most `size`."""
    step = size or len(documents)
    return [documents[start : start + step] for start in range(0, len(documents), step)]


def _session() -> requests.Session:
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
        _local.session.mount("http://", HTTPAdapter(pool_maxsize=64))
    session: requests.Session = _local.session
    return session
