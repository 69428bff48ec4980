"""What the model reads of a document, and which scores its metadata keeps; sync and async."""

from __future__ import annotations

import logging
import pickle
from typing import Any

import pytest
from chain_parts import Go, Runs, ids
from langchain_core.documents import Document
from langchain_core.load import dumps, loads
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import ConfigurableField
from pydantic import ValidationError

from fake_server import FakeServer
from langchain_qwen3_sglang import Qwen3SGLangRerank
from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.prompts.template import QWEN3

TITLED = PromptTemplate.from_template("{title} ({year:d}): {page_content}")


def papers() -> list[Document]:
    """With a title and a year each."""
    return [
        Document("low p=0.1", id="a", metadata={"title": "A", "year": 1999}),
        Document("high p=0.9", id="b", metadata={"title": "B", "year": 2024}),
        Document("mid p=0.5", id="c", metadata={"title": "C", "year": 2001}),
    ]


def read(server: FakeServer) -> list[str]:
    """What the model was shown of each document."""
    return [prompt.partition("<Document>: ")[2].removesuffix(QWEN3.suffix) for prompt in server.prompts]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "low p=0.1"),
        ({"document_prompt": TITLED}, "A (1999): low p=0.1"),
        ({"document_prompt": PromptTemplate.from_template("{{x}} {title} p=0.1")}, "{x} A p=0.1"),
        ({"document_prompt": TITLED.partial(title="T")}, "T (1999): low p=0.1"),
        ({"metadata_keys": ["year", "title"]}, "year: 1999\ntitle: A\n\nlow p=0.1"),
        ({"metadata_keys": []}, "low p=0.1"),
    ],
    ids=["page_content", "prompt", "prompt without the text", "partial prompt", "keys", "no keys"],
)
async def test_what_is_read(server: FakeServer, go: Go, options: dict[str, Any], expected: str) -> None:
    """Formatted as LangChain's chains do; the documents that come back are as they were."""
    rerank = Qwen3SGLangRerank(base_url=server.url, **options)
    ranked = await go(rerank, "rerank", "q", papers())
    assert read(server)[0] == expected
    kept = {document.id: (document.page_content, document.metadata) for document in papers()}
    for document in ranked:
        text, metadata = kept[document.id]
        assert document.page_content == text
        assert {key: document.metadata[key] for key in metadata} == metadata
    await rerank.aclose()


@pytest.mark.parametrize(
    ("options", "reader"),
    [({"document_prompt": TITLED}, "document_prompt"), ({"metadata_keys": ["title"]}, "metadata_keys")],
)
async def test_a_missing_key(server: FakeServer, go: Go, options: dict[str, Any], reader: str) -> None:
    """Names the document, the key, and the keys that were found; nothing is sent."""
    found = papers()
    found[1].metadata = {"year": 2024, "source": "b.pdf"}
    rerank = Qwen3SGLangRerank(base_url=server.url, **options)
    with pytest.raises(InvalidInputError) as caught:
        await go(rerank, "rerank", "q", found)
    assert (caught.value.field, caught.value.value) == ("documents[1].metadata", ["source", "year"])
    assert f'{reader} reads "title", which isn\'t there' in str(caught.value)
    with pytest.raises(InvalidInputError, match=r"inputs\[1\]: documents\[1\]\.metadata"):
        await go(rerank, "batch", [{"query": "q", "documents": papers()}, {"query": "q", "documents": found}])
    assert server.asked == []


async def test_a_value_that_cannot_be_formatted(server: FakeServer, go: Go) -> None:
    """The prompt's own complaint, and which document it is about."""
    found = papers()
    found[2].metadata["year"] = "unknown"
    with pytest.raises(InvalidInputError, match=r"documents\[2\].*document_prompt can't format it: ValueError"):
        await go(Qwen3SGLangRerank(base_url=server.url, document_prompt=TITLED), "rerank", "q", found)
    assert server.asked == []


@pytest.mark.parametrize(
    ("limits", "order"), [({}, "bca"), ({"top_n": 2}, "bc"), ({"min_score": 0.7}, "ba"), ({"top_n": 1}, "b")]
)
async def test_run_time_data_costs_its_own_score(
    server: FakeServer, go: Go, caplog: pytest.LogCaptureFixture, limits: dict[str, Any], order: str
) -> None:
    """With passthrough, what can't be read comes last, marked; one warning is logged. The others keep their places."""
    found = papers()
    del found[0].metadata["title"]
    rerank = Qwen3SGLangRerank(base_url=server.url, document_prompt=TITLED, on_error="passthrough")
    with caplog.at_level(logging.WARNING):
        ranked = await go(rerank, "rerank", "q", found, **limits)
    assert ids(ranked) == order
    marks = {document.id: document.metadata.get("rerank_error") for document in ranked}
    assert [mark for name, mark in marks.items() if name != "a"] == [None] * (len(ranked) - ("a" in order))
    if "a" in order:
        assert marks["a"].startswith("documents[0].metadata=['year']: document_prompt reads \"title\"")
        assert "relevance_score" not in ranked[-1].metadata
    assert ["1 of 3 documents have no score" in record.getMessage() for record in caplog.records] == [True]
    with pytest.raises(InvalidInputError, match="top_n"):
        await go(rerank, "rerank", "q", found, top_n=0)
    await rerank.aclose()


async def test_nothing_can_be_read(server: FakeServer, go: Go) -> None:
    """In the order given, and the server isn't asked; another query of the batch is ranked."""
    rerank = Qwen3SGLangRerank(base_url=server.url, metadata_keys=["author"], on_error="passthrough")
    assert ids(await go(rerank, "rerank", "q", papers())) == "abc"
    assert server.asked == []
    written = [Document("p=0.3", id="x", metadata={"author": "X"}), *papers()]
    inputs = [{"query": "q", "documents": papers()}, {"query": "r", "documents": written}]
    assert [ids(one) for one in await go(rerank, "batch", inputs, top_n=2)] == ["ab", "xa"]
    await rerank.aclose()


async def test_a_failed_call_and_a_document_that_cannot_be_read(nobody: str, go: Go) -> None:
    """Nothing has a score: all in the order given."""
    found = papers()
    del found[1].metadata["title"]
    rerank = Qwen3SGLangRerank(base_url=nobody, max_retries=0, document_prompt=TITLED, on_error="passthrough")
    ranked = await go(rerank, "rerank", "q", found)
    assert ids(ranked) == "abc"
    assert all(document.metadata["rerank_error"] for document in ranked)
    await rerank.aclose()


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"document_prompt": TITLED, "metadata_keys": ["title"]}, "metadata_keys"),
        ({"document_prompt": PromptTemplate.from_template("nothing")}, "document_prompt"),
        ({"metadata_keys": ["title", " "]}, "metadata_keys"),
    ],
)
async def test_settings_that_cannot_be_meant(go: Go, options: dict[str, Any], field: str) -> None:
    """Refused at once, and in a call where they were assigned since."""
    with pytest.raises(InvalidInputError, match=field):
        Qwen3SGLangRerank(**options)
    rerank = Qwen3SGLangRerank()
    for name, value in options.items():
        setattr(rerank, name, value)
    with pytest.raises(InvalidInputError, match=field):
        await go(rerank, "rerank", "q", papers())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"document_prompt": "{title}"}, r"pass PromptTemplate\.from_template\('\{title\}'\)"),
        ({"document_prompt": 3}, "BasePromptTemplate"),
        ({"metadata_keys": "title"}, "list"),
        ({"keep_retrieval_score": "yes"}, "keep_retrieval_score"),
        ({"run_type": "tool"}, "'retriever' or 'chain'"),
    ],
)
def test_wrong_types(options: dict[str, Any], said: str) -> None:
    """pydantic's error says what to pass."""
    with pytest.raises(ValidationError, match=said):
        Qwen3SGLangRerank(**options)


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
def test_the_prompt_is_serialized() -> None:
    """By LangChain, by pickle, and as JSON."""
    rerank = Qwen3SGLangRerank(document_prompt=TITLED, keep_retrieval_score=True, run_type="chain")
    back = loads(
        dumps(rerank),
        allowed_objects=[Qwen3SGLangRerank, PromptTemplate],
        valid_namespaces=["langchain_qwen3_sglang"],
    )
    for one in (back, pickle.loads(pickle.dumps(rerank))):  # noqa: S301 - its own
        assert one.model_dump() == rerank.model_dump()
        assert one.document_prompt.format(title="T", year=1, page_content="p") == "T (1): p"
    assert "{page_content}" in rerank.model_dump_json()


async def test_a_config_sets_what_is_read(server: FakeServer, go: Go) -> None:
    """As any other field."""
    rerank = Qwen3SGLangRerank(base_url=server.url)
    configurable = rerank.configurable_fields(metadata_keys=ConfigurableField(id="keys"))
    asked = {"query": "q", "documents": papers()}
    await go(configurable, "invoke", asked, {"configurable": {"keys": ["title"]}})
    assert read(server)[0] == "title: A\n\nlow p=0.1"
    await rerank.aclose()


@pytest.mark.parametrize("keep", [True, False])
async def test_the_first_stages_score(server: FakeServer, go: Go, keep: bool) -> None:
    """Kept under another name where that is asked for; a document without one gets none."""
    found = papers()
    for place, document in enumerate(found[:2]):
        document.metadata["relevance_score"] = 0.7 - place
    rerank = Qwen3SGLangRerank(base_url=server.url, keep_retrieval_score=keep)
    ranked = await go(rerank, "rerank", "q", found)
    assert [document.metadata["relevance_score"] for document in ranked] == [0.9, 0.5, 0.1]
    kept = [document.metadata.get("retrieval_score") for document in ranked]
    assert kept == ([pytest.approx(-0.3), None, 0.7] if keep else [None] * 3)
    assert found[0].metadata["relevance_score"] == 0.7
    await rerank.aclose()


async def test_counts_are_of_what_is_read(server: FakeServer, go: Go, runs: Runs) -> None:
    """Two documents of the same text and other titles aren't duplicates; what can't be read isn't sent."""
    same = [Document("p=0.5", metadata={"title": title}) for title in "AB"]
    options: dict[str, Any] = {"metadata_keys": ["title"], "on_error": "passthrough", "run_type": "chain"}
    rerank = Qwen3SGLangRerank(base_url=server.url, **options)
    await go(rerank, "rerank", "q", [*same, Document("p=0.5")], callbacks=[runs])
    outputs: Any = runs.roots[0].outputs
    assert [outputs[name] for name in ("received", "duplicates", "sent", "dropped")] == [3, 0, 2, 0]
    assert outputs["scores"] == [0.5, 0.5, None]
    await rerank.aclose()
