"""What stands around the reranker in these tests: a first stage, its documents, a tracer."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run

Go = Callable[..., Awaitable[Any]]


class Words(Embeddings):
    """Counts words in 64 buckets."""

    def embed_query(self, text: str) -> list[float]:
        counts = [0.0] * 64
        for word in re.findall(r"\w+", text.lower()):
            counts[zlib.crc32(word.encode()) % 64] += 1
        length = math.hypot(*counts) or 1.0
        return [count / length for count in counts]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


class Found(BaseRetriever):
    """Finds three documents, whatever is asked."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return documents()


def documents() -> list[Document]:
    """Worst first, but for the last."""
    return [Document("low p=0.1", id="a"), Document("high p=0.9", id="b"), Document("mid p=0.5", id="c")]


def ids(found: list[Document]) -> str:
    """One letter a document."""
    return "".join(document.id or "?" for document in found)


class Runs(BaseTracer):
    """Keeps each finished root run, with what is nested in it."""

    run_inline = True

    def __init__(self) -> None:
        super().__init__()
        self.roots: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.roots.append(run)
