"""A multi-item server, asked by the client: the ordinary server's scores, in lists that stay below its context.

The embedded server has the route's semantics; SGLang's needs a GPU. Tests of `check/way.py`.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qwen3_sglang import RerankClient
from qwen3_sglang.check import check_server
from qwen3_sglang.errors import InvalidInputError, NotSGLangError
from qwen3_sglang.local import run_in_thread
from qwen3_sglang.protocol.exchange import Request
from qwen3_sglang.transport.transport import Transport

NOISE = 3e-5  # of float32: other lists are other sums
QUERY = "What is the capital of China?"
DOCUMENTS = [
    "Gravity is a force that attracts two bodies towards each other.",
    "The capital of China is Beijing.",
    "",
    " 1 space and a digit",
    "\n\n大きな文字 🙂 e\u0301",
    "The capital of China is Beijing. " + "Other words follow. " * 2000,
    "The capital of China is Beijing.",
]


@pytest.fixture(scope="module")
def shorter_toy(converted_toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The converted toy with half its context: a prompt as long as that costs a quarter."""
    folder = Path(shutil.copytree(converted_toy, tmp_path_factory.mktemp("shorter") / "toy"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 4096}))
    return folder


@pytest.fixture(scope="module")
def packing(shorter_toy: Path) -> Iterator[str]:
    """That toy, multi-item."""
    with run_in_thread(shorter_toy, device="cpu", dtype="float32", multi_item=True) as url:
        yield url


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """(path, body) of every request, in order."""
    found: list[tuple[str, Any]] = []
    sync, asynchronous = Transport._send, Transport._asend

    def note(request: Request) -> None:
        found.append((request.path, request.body and json.loads(request.body)))

    def send(self: Transport, request: Request, *more: Any) -> Any:
        note(request)
        return sync(self, request, *more)

    async def asend(self: Transport, request: Request) -> Any:
        note(request)
        return await asynchronous(self, request)

    monkeypatch.setattr(Transport, "_send", send)
    monkeypatch.setattr(Transport, "_asend", asend)
    return found


def score(client: RerankClient, mode: str, documents: list[str]) -> list[float]:
    """Sync or async."""
    if mode == "sync":
        return client.score(QUERY, documents)

    async def work() -> list[float]:
        async with client:
            return await client.ascore(QUERY, documents)

    return asyncio.run(work())


@pytest.fixture(scope="module")
def ordinary(shorter_toy: Path, causal_toy: Path) -> list[float]:
    """Each document as a prompt of its own."""
    with run_in_thread(shorter_toy, device="cpu", dtype="float32") as url:
        return RerankClient(url, tokenizer=str(causal_toy)).score(QUERY, DOCUMENTS)


@pytest.fixture(params=["texts", "ids"])
def tokenizer(request: pytest.FixtureRequest, causal_toy: Path) -> Path | None:
    """With one here, token ids are sent."""
    return causal_toy if request.param == "ids" else None


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_the_ordinary_servers_scores(
    packing: str, ordinary: list[float], sent: list[tuple[str, Any]], mode: str, tokenizer: Path | None
) -> None:
    """Asked once which way it runs, then /v1/score alone; a document that is cut is cut at the same place."""
    local = tokenizer is not None
    found = score(RerankClient(packing, tokenizer=tokenizer), mode, DOCUMENTS)
    paths, bodies = zip(*sent, strict=True)
    assert paths[:3] == ("/v1/models", "/model_info", "/server_info")
    assert "/v1/classify" not in paths
    assert ("/tokenize" in paths) is not local
    lists = [body for body in bodies if body and "items" in body]
    assert sorted(len(body["items"]) for body in lists) == [1, 5]  # the long one is alone, one occurs twice
    assert {type(body["query"]) for body in lists} == {list if local else str}
    assert found == pytest.approx(ordinary, abs=NOISE)


@pytest.mark.parametrize(("batch_size", "lists"), [(None, [50, 100]), (40, [30, 40, 40, 40])])
def test_about_100_documents_a_list(
    packing: str, causal_toy: Path, sent: list[tuple[str, Any]], batch_size: int | None, lists: list[int]
) -> None:
    """Unless the user says how many; a second call asks nothing of the server again."""
    client = RerankClient(packing, tokenizer=str(causal_toy), batch_size=batch_size)
    for _ in range(2):
        sent.clear()
        client.score(QUERY, [f"document {number}" for number in range(150)])
        assert sorted(len(body["items"]) for path, body in sent if path == "/v1/score") == lists
    assert {path for path, _ in sent} == {"/v1/score", "/v1/models"}  # several lists: is it still the same model?


def test_several_queries(packing: str, toy_url: str, causal_toy: Path) -> None:
    """Whose prompts share no more than the task: the query's first word keeps its space."""
    pairs = [(query, document) for query in (QUERY, " \n1 leading", "大きな文字") for document in DOCUMENTS[:5]]
    ordinary = RerankClient(toy_url).score_pairs(pairs)
    for tokenizer in (None, str(causal_toy)):
        assert RerankClient(packing, tokenizer=tokenizer).score_pairs(pairs) == pytest.approx(ordinary, abs=NOISE)


def test_a_named_endpoint_that_it_would_not_survive(packing: str, sent: list[tuple[str, Any]]) -> None:
    """A refusal names the remedy; once the server is known, nothing is sent."""
    client = RerankClient(packing, endpoint="v1/classify")
    with pytest.raises(NotSGLangError, match='endpoint="auto"'):
        client.score(QUERY, DOCUMENTS[:2])
    with pytest.raises(InvalidInputError, match='endpoint="auto"'):
        client.way()
    sent.clear()
    with pytest.raises(InvalidInputError, match="end its scheduler"):
        client.score(QUERY, DOCUMENTS[:2])
    assert sent == []


def test_check_says_so(packing: str, sent: list[tuple[str, Any]]) -> None:
    """And asks a named endpoint nothing that would end it."""
    findings = list(check_server(RerankClient(packing)))
    assert all(finding.ok for finding in findings)
    assert "multi-item scoring" in findings[1].text
    sent.clear()
    refused = list(check_server(RerankClient(packing, endpoint="v1/classify")))
    assert [finding.ok for finding in refused] == [True, False]
    assert "/v1/classify" not in [path for path, _ in sent]


def test_check_of_an_original_checkpoint(causal_toy: Path) -> None:
    """Usable, and what converting it adds."""
    with run_in_thread(causal_toy, device="cpu", dtype="float32") as url:
        findings = list(check_server(RerankClient(url)))
    assert all(finding.ok for finding in findings)
    assert findings[1].note
    assert "qwen3-sglang convert" in findings[1].text
