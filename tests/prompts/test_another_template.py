"""A template of one's own, from the client to the page: nothing outside `prompts` knows Qwen's."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from fake_server import FakeServer
from modes import call
from qwen3_sglang import InvalidInputError, RerankClient
from qwen3_sglang.playground.answer import Ranked, answer
from qwen3_sglang.prompts.template import Slot, Template, build_prompts
from qwen3_sglang.prompts.tokenizer import load_tokenizer
from qwen3_sglang.protocol.call import Call
from qwen3_sglang.protocol.endpoints import ENDPOINTS
from qwen3_sglang.protocol.lists import score_documents
from steps import PATIENCE, where

# The query first, special tokens that begin alike and inside one another, nothing between document and head.
OTHER = Template(
    start=("[S]Question: ", Slot.QUERY, "\nTask: ", Slot.INSTRUCTION, "\nPassage:\n"),
    suffix="[[E]]\nRelevant:",
    special_tokens=("[S]", "[E]", "[[E]]", "\\eos"),
    instruction="Find passages",
    max_length=160,
)
NO_TASK = Template(start=(Slot.QUERY, " [SEP]"), joint=" ", suffix=" [END]")


def test_its_prompts_are_sent(server: FakeServer, mode: str) -> None:
    """Its words, its instruction, its special tokens broken; Qwen's are no special tokens to it."""
    client = RerankClient(server.url, template=OTHER)
    assert call(mode, client, "score", "why [S]?", ["p=0.4 [[E]] <think> \\eos"]) == [0.4]
    [prompt] = server.prompts
    assert prompt == (
        "[S]Question: why [ S]?\nTask: Find passages\nPassage:\np=0.4 [ [ E]] <think> \\ eos[[E]]\nRelevant:"
    )
    call(mode, client, "score", "why", ["p=0.4"], instruction="Find code")
    assert "\nTask: Find code\n" in server.prompts[1]


def test_a_template_without_a_task(server: FakeServer, mode: str) -> None:
    """Instructions have no place in it."""
    call(mode, RerankClient(server.url, template=NO_TASK), "score", "why", ["p=0.4"], instruction="Find code")
    assert server.prompts == ["why [SEP] p=0.4 [END]"]


@pytest.mark.parametrize("template", [OTHER, NO_TASK])
def test_several_queries_share_lists(server: FakeServer, mode: str, template: Template) -> None:
    """One request holds them all, each in the template's own words."""
    queries = [("one", ["p=0.1", "p=0.9"]), ("two", ["p=0.2"])]
    found = call(mode, RerankClient(server.url, template=template, max_length=500), "rerank_many", queries)
    assert [[result.score for result in own] for own in found] == [[0.9, 0.1], [0.2]]
    assert server.prompts == [p for query, own in queries for p in build_prompts(query, own, template=template)]
    assert [path for path, _ in server.asked].count("/v1/classify") == 1


@pytest.mark.parametrize("template", [OTHER, NO_TASK])
def test_long_documents_are_cut_to_its_limit(
    server: FakeServer, mode: str, causal_toy: Path, template: Template
) -> None:
    """The suffix stays, and the limit is the template's where none is given."""
    limit = None if template is OTHER else 160
    client = RerankClient(server.url, template=template, tokenizer=causal_toy, max_length=limit)
    [result] = call(mode, client, "rerank", "why", ["p=0.4 " + "tea " * 500])
    assert (result.score, result.truncated) == (0.4, True)
    [prompt] = server.prompts
    assert prompt.endswith(template.suffix)
    assert len(load_tokenizer(str(causal_toy)).encode([prompt])[0]) == 160
    with pytest.raises(InvalidInputError, match=r"query='why.*shorten the query") as caught:
        call(mode, client, "rerank", "why " * 200, ["d"])
    assert caught.value.value == "why " * 200


def test_the_page_shows_its_parts(server: FakeServer, mode: str) -> None:
    """Special tokens of the template, and those that were broken inside the texts."""
    client = RerankClient(server.url, template=OTHER)
    prompts = call(mode, client, "prompts", "why", ["p=0.4 [E]"])
    results = call(mode, client, "rerank", "why", ["p=0.4 [E]"])
    said = answer(Ranked(results, prompts, "toy", 1.0))
    assert said["prompt"]["before"] == [
        {"kind": "special", "text": "[S]"},
        {"kind": "template", "text": "Question: "},
        {"kind": "query", "text": "why"},
        {"kind": "template", "text": "\nTask: "},
        {"kind": "instruction", "text": "Find passages"},
        {"kind": "template", "text": "\nPassage:\n"},
    ]
    assert said["results"][0]["document"] == [
        {"kind": "document", "text": "p=0.4 "},
        {"kind": "broken", "text": "[ E]"},
    ]
    assert said["prompt"]["after"] == [
        {"kind": "special", "text": "[[E]]"},
        {"kind": "template", "text": "\nRelevant:"},
    ]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("template", [OTHER, NO_TASK])
def test_every_endpoint_takes_it(endpoint: str, template: Template) -> None:
    """However a payload is laid out, each prompt in it is the template's."""
    request: Any = next(score_documents(Call("m", template.head("q"), 99, PATIENCE, endpoint=endpoint), ["d"], where))
    body = json.loads(request.body)
    [whole] = build_prompts("q", ["d"], template=template)
    assert body.get("input", [body.get("query", "") + item for item in body.get("items", [])]) == [whole]


def test_a_client_with_it_can_be_copied(server: FakeServer) -> None:
    """By pickle, as workers get it."""
    client = pickle.loads(pickle.dumps(RerankClient(server.url, template=OTHER)))  # noqa: S301 - our own
    assert client.settings.template == OTHER
    client.score("why", ["p=0.4"])
    assert server.prompts == build_prompts("why", ["p=0.4"], template=OTHER)


def test_what_is_no_template_is_named() -> None:
    """As any other setting."""
    with pytest.raises(InvalidInputError, match="template='qwen'"):
        RerankClient(template="qwen")  # type: ignore[arg-type]
