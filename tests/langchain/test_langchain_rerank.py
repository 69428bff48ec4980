"""Every case runs on both paths, over a real socket."""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.load import dumps
from langchain_core.retrievers import BaseRetriever
from pydantic import ValidationError

from langchain_qwen3_sglang import Qwen3SGLangRerank
from qwen3_sglang.errors import InvalidInputError, ServerUnreachableError

KEY = "sk-made-up-0123456789"
Call = Callable[..., Awaitable[list[Document]]]


async def _sync(reranker: Qwen3SGLangRerank, documents: Sequence[Document], query: str) -> list[Document]:
    try:
        return reranker.compress_documents(documents, query)
    finally:
        reranker.close()


async def _async(reranker: Qwen3SGLangRerank, documents: Sequence[Document], query: str) -> list[Document]:
    try:
        return await reranker.acompress_documents(documents, query)
    finally:
        await reranker.aclose()


@pytest.fixture(params=[_sync, _async], ids=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Any:
    return request.param


class Passage(Document):
    """A subclass with a field of its own."""

    page: int = 0


class Found(BaseRetriever):
    documents: list[Document]

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return self.documents


def _documents() -> list[Document]:
    return [
        Document("low p=0.1", id="a", metadata={"source": {"file": "a.txt"}}),
        Passage("high p=0.9", id="b", metadata={"source": {"file": "b.txt"}}, page=7),
        Document("mid p=0.5", id="c"),
    ]


def _ids(documents: Sequence[Document]) -> list[str | None]:
    return [document.id for document in documents]


async def test_best_first_with_scores(server: Any, call: Call) -> None:
    ranked = await call(Qwen3SGLangRerank(base_url=server.url), _documents(), "q")
    assert _ids(ranked) == ["b", "c", "a"]
    assert [document.metadata["relevance_score"] for document in ranked] == pytest.approx([0.9, 0.5, 0.1])
    assert all(type(document.metadata["relevance_score"]) is float for document in ranked)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"top_n": 1}, ["b"]),
        ({"top_n": 99}, ["b", "c", "a"]),
        ({"min_score": 0.3}, ["b", "c"]),
        ({"min_score": 0.95}, []),
        ({"min_score": 0.3, "top_n": 1}, ["b"]),
    ],
)
async def test_top_n_and_min_score(server: Any, call: Call, options: dict[str, Any], kept: list[str]) -> None:
    assert _ids(await call(Qwen3SGLangRerank(base_url=server.url, **options), _documents(), "q")) == kept


async def test_options_may_change_between_calls(server: Any, call: Call) -> None:
    reranker = Qwen3SGLangRerank(base_url=server.url)
    reranker.top_n = 1
    assert _ids(await call(reranker, _documents(), "q")) == ["b"]
    reranker.top_n = None
    reranker.min_score = 0.4
    assert _ids(await call(reranker, _documents(), "q")) == ["b", "c"]
    reranker.top_n = -1
    with pytest.raises(InvalidInputError):
        await call(reranker, _documents(), "q")


async def test_documents_are_fresh_and_keep_what_they_had(server: Any, call: Call) -> None:
    documents = _documents()
    before = copy.deepcopy(documents)
    ranked = await call(Qwen3SGLangRerank(base_url=server.url), documents, "q")
    assert documents == before
    best = ranked[0]
    assert best is not documents[1]
    assert isinstance(best, Passage)
    assert (best.id, best.page, best.page_content) == ("b", 7, "high p=0.9")
    assert best.metadata["source"] == {"file": "b.txt"}


async def test_a_document_that_was_cut_is_marked(server: Any, call: Call) -> None:
    """In its metadata alone: the text stays whole, and the mark goes when nothing is cut."""
    found = [Document(f"p=0.{p}" + " word" * words) for p, words in ((2, 0), (7, 900))]
    cut, whole = await call(Qwen3SGLangRerank(base_url=server.url, max_length=700), found, "q")
    assert cut.metadata == {"relevance_score": 0.7, "rerank_truncated": True}
    assert cut.page_content == found[1].page_content
    assert whole.metadata == {"relevance_score": 0.2}
    again, _ = await call(Qwen3SGLangRerank(base_url=server.url), [cut, whole], "q")
    assert again.metadata == {"relevance_score": 0.7}


async def test_any_sequence_will_do(server: Any, call: Call) -> None:
    assert len(await call(Qwen3SGLangRerank(base_url=server.url), tuple(_documents()), "q")) == 3


async def test_nothing_to_rank_asks_nothing(server: Any, call: Call) -> None:
    assert await call(Qwen3SGLangRerank(base_url=server.url), [], "q") == []
    assert server.asked == []


async def test_special_tokens_are_broken_unless_turned_off(server: Any, call: Call) -> None:
    for switch, shown in ((True, "< think>"), (False, "<think>")):
        await call(
            Qwen3SGLangRerank(base_url=server.url, escape_special_tokens=switch), [Document("<think> p=0.5")], "q"
        )
        assert f"<Document>: {shown} p=0.5" in server.prompts[-1]


async def test_instruction_and_query_reach_the_model(server: Any, call: Call) -> None:
    reranker = Qwen3SGLangRerank(base_url=server.url, instruction="Find the law")
    await call(reranker, _documents()[:1], "what is owed")
    assert "Find the law" in server.prompts[0]
    assert "what is owed" in server.prompts[0]


async def test_server_down(nobody: str, call: Call) -> None:
    with pytest.raises(ServerUnreachableError):
        await call(Qwen3SGLangRerank(base_url=nobody, timeout=5.0), _documents(), "q")


async def test_usable_again_after_close(server: Any, call: Call) -> None:
    reranker = Qwen3SGLangRerank(base_url=server.url)
    assert len(await call(reranker, _documents(), "q")) == 3
    assert len(await call(reranker, _documents(), "q")) == 3


async def test_compression_retriever(server: Any, call: Call) -> None:
    reranker = Qwen3SGLangRerank(base_url=server.url, top_n=2)
    retriever = ContextualCompressionRetriever(base_compressor=reranker, base_retriever=Found(documents=_documents()))
    found = retriever.invoke("q") if call is _sync else await retriever.ainvoke("q")
    assert _ids(found) == ["b", "c"]
    await reranker.aclose()


async def test_async_calls_overlap_without_threads(server: Any) -> None:
    # The server answers only once all three are in flight; one worker thread could never get there.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=1))
    server.barrier = threading.Barrier(3)
    reranker = Qwen3SGLangRerank(base_url=server.url, timeout=9.0)
    one = _documents()[:1]
    ranked = await asyncio.gather(*(reranker.acompress_documents(one, f"q{i}") for i in range(3)))
    assert [len(documents) for documents in ranked] == [1, 1, 1]
    await reranker.aclose()


@pytest.mark.parametrize("given", ["argument", "environment"])
async def test_key_is_sent_and_never_shown(
    server: Any, call: Call, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if given == "environment":
        monkeypatch.setenv("QWEN3_SGLANG_API_KEY", KEY)
    reranker = Qwen3SGLangRerank(base_url=server.url, **({"api_key": KEY} if given == "argument" else {}))
    await call(reranker, _documents(), "q")
    assert {key for _, key in server.asked} == {f"Bearer {KEY}"}
    shown = [repr(reranker), str(reranker), reranker.model_dump_json(), dumps(reranker)]
    assert not [text for text in [*shown, repr(reranker.model_dump())] if KEY in text]


@pytest.mark.parametrize("options", [{"base_url": "nonsense"}, {"apikey": KEY}, {"timeout": "soon"}])
def test_errors_do_not_show_the_key(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - what matters is what it says
        Qwen3SGLangRerank(api_key=KEY, **options)
    assert KEY not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize(
    "options", [{"base_url": "nonsense"}, {"top_n": -1}, {"min_score": float("nan")}, {"batch_size": 0}]
)
def test_unusable_settings_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        Qwen3SGLangRerank(**options)


@pytest.mark.parametrize("options", [{"topn": 3}, {"top_n": True}, {"top_n": "3"}])
def test_wrong_names_and_types_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Qwen3SGLangRerank(**options)


def test_connection_settings_are_frozen() -> None:
    reranker = Qwen3SGLangRerank()
    with pytest.raises(ValidationError, match="frozen"):
        reranker.base_url = "http://elsewhere"


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda r: r.model_copy(deep=True), lambda r: pickle.loads(pickle.dumps(r))],  # noqa: S301
    ids=["copy", "deepcopy", "model_copy", "pickle"],
)
async def test_copies_work_on_their_own(
    server: Any, call: Call, copied: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QWEN3_SGLANG_API_KEY", KEY)  # where a pickle, which carries none, finds it again
    original = Qwen3SGLangRerank(base_url=server.url, api_key=KEY, top_n=2)
    await call(original, _documents(), "q")
    other = copied(original)
    assert (other.base_url, other.top_n) == (original.base_url, original.top_n)
    assert KEY.encode() not in pickle.dumps(original)
    original.close()
    assert _ids(await call(other, _documents(), "q")) == ["b", "c"]
    assert {key for _, key in server.asked} == {f"Bearer {KEY}"}


async def test_model_copy_may_point_elsewhere(server: Any, nobody: str, call: Call) -> None:
    original = Qwen3SGLangRerank(base_url=nobody)
    assert len(await call(original.model_copy(update={"base_url": server.url}), _documents(), "q")) == 3


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout


def test_does_not_import_llama_index() -> None:
    code = "import sys, langchain_qwen3_sglang; print(sorted(m for m in sys.modules if 'llama_index' in m))"
    assert _python(code).strip() == "[]"


def test_missing_framework_names_the_extra() -> None:
    code = """
import sys
sys.modules["langchain_core"] = None
from qwen3_sglang.errors import MissingDependencyError
try:
    import langchain_qwen3_sglang
except MissingDependencyError as error:
    print(error.extra, error)
"""
    assert _python(code).startswith("langchain ")
    assert 'pip install "qwen3-sglang[langchain]"' in _python(code)
