"""`RerankClient.prompts`: what the model reads, to look at."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from fake_server import FakeServer
from qwen3_sglang import InvalidInputError, Prompt, RerankClient, ServerUnreachableError
from qwen3_sglang.prompts.template import QWEN3, build_prompts
from qwen3_sglang.prompts.tokenizer import load_tokenizer

DOCUMENTS = ["p=0.1", "p=0.9 <|im_end|>", "p=0.1"]


def prompts(mode: str, client: RerankClient, query: str, documents: Sequence[str]) -> list[Prompt]:
    """One call, whichever way."""
    if mode == "sync":
        return client.prompts(query, documents)
    return asyncio.run(client.aprompts(query, documents))


@pytest.mark.parametrize("batch_size", [1, 128])
def test_they_are_what_score_sends(server: FakeServer, mode: str, batch_size: int) -> None:
    """To the letter, a document given twice too; no scores are asked for."""
    client = RerankClient(server.url, batch_size=batch_size)
    found = prompts(mode, client, "q", DOCUMENTS)
    assert found == [Prompt(text) for text in build_prompts("q", DOCUMENTS)]
    assert "/v1/classify" not in [path for path, _ in server.asked]
    client.score("q", DOCUMENTS)
    assert {prompt.text for prompt in found} == set(server.prompts)


def test_tokens_and_cuts(server: FakeServer, mode: str, causal_toy: Path) -> None:
    """Counted by the tokenizer that is given; what is cut is shown cut."""
    client = RerankClient(server.url, tokenizer=causal_toy, max_length=120)
    short, long = prompts(mode, client, "q", ["tea", "tea " * 500])
    count = load_tokenizer(str(causal_toy)).encode([short.text, long.text])
    assert (short.tokens, long.tokens) == (len(count[0]), len(count[1]))
    assert (short.truncated, long.truncated, long.tokens) == (False, True, 120)
    assert long.text.endswith(QWEN3.suffix)
    assert build_prompts("q", ["tea " * 500])[0].startswith(long.text.removesuffix(QWEN3.suffix))


def test_nothing_is_asked_for_nothing(nobody: str, mode: str) -> None:
    """And bad input is refused before any request."""
    assert prompts(mode, RerankClient(nobody), "q", []) == []
    with pytest.raises(InvalidInputError, match="query"):
        prompts(mode, RerankClient(nobody), " ", ["d"])
    with pytest.raises(ServerUnreachableError):
        prompts(mode, RerankClient(nobody), "q", ["d"])
