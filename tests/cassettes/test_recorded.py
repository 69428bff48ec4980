"""RerankClient against answers that real SGLang gave, replayed without a network.

`make cassettes` records them again: it serves the converted toy with real SGLang and runs these tests
with QWEN3_SGLANG_RECORD=1.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import vcr

from qwen3_sglang import RerankClient
from real_sglang import needs_sglang, real_sglang

RECORD = bool(os.environ.get("QWEN3_SGLANG_RECORD"))
HERE = Path(__file__).parent
URL = "http://127.0.0.1:30000"
QUERY = "What is the capital of China?"
DOCUMENTS = ["Gravity is a force.", "The capital of China is Beijing.", "The capital of China is Beijing."]


@pytest.fixture(scope="module", autouse=True)
def sglang(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Real SGLang while recording, nothing while replaying."""
    if not RECORD:
        yield
        return
    model = request.getfixturevalue("converted_toy")
    needs_sglang()
    with real_sglang(model, tmp_path_factory.mktemp("log") / "log", "--served-model-name", "toy", port=30000):
        yield


@pytest.fixture(autouse=True)
def cassette(request: pytest.FixtureRequest) -> Iterator[vcr.cassette.Cassette]:
    """One file a test; a request that was not recorded is an error."""
    recorder = vcr.VCR(
        record_mode="all" if RECORD else "none",
        match_on=["method", "uri", "raw_body"],
        filter_headers=["authorization", "user-agent"],
        decode_compressed_response=True,
    )
    with recorder.use_cassette(str(HERE / f"{request.node.name}.yaml")) as tape:
        yield tape
        assert tape.all_played or RECORD


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_scores(mode: str, cassette: vcr.cassette.Cassette) -> None:
    """One call asks for the model's name and sends each distinct document once."""
    client = RerankClient(URL, api_key="any")
    found = client.score(QUERY, DOCUMENTS) if mode == "sync" else asyncio.run(client.ascore(QUERY, DOCUMENTS))
    assert found[1] > 0.9
    assert found[0] < 0.5
    assert found[1] == found[2]
    assert [r.path for r in cassette.requests] == ["/v1/models", "/v1/classify"]


def test_over_long() -> None:
    """Where the user allows more than the server takes, its refusal tells so, and the document is cut to fit."""
    client = RerankClient(URL, model="toy", max_length=50_000)
    [result] = client.rerank(QUERY, ["word " * 8500])
    assert result.truncated


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_cut_by_the_server(mode: str, cassette: vcr.cassette.Cassette) -> None:
    """Three small requests find out where to cut; a short document beside it costs none."""
    client, documents = RerankClient(URL, max_length=120), ["The capital of China is Beijing. " * 30, DOCUMENTS[0]]
    call = client.rerank if mode == "sync" else lambda *args: asyncio.run(client.arerank(*args))
    assert [(r.index, r.truncated) for r in call(QUERY, documents)] == [(0, True), (1, False)]
    assert [r.path for r in cassette.requests] == [
        "/v1/models",
        "/tokenize",
        "/detokenize",
        "/tokenize",
        "/v1/classify",
    ]
