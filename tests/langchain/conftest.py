"""Every call runs on both paths; runs are recorded as a tracer sees them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run

Go = Callable[..., Awaitable[Any]]


@pytest.fixture(params=["sync", "async"])
def go(request: pytest.FixtureRequest) -> Go:
    """go(thing, "invoke", ...) calls thing.invoke, or awaits thing.ainvoke; connections are closed behind it."""

    async def call(thing: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        if request.param == "sync":
            return getattr(thing, name)(*args, **kwargs)
        return await getattr(thing, f"a{name}")(*args, **kwargs)

    return call


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


@pytest.fixture
def runs() -> Runs:
    """To pass as a callback."""
    return Runs()
