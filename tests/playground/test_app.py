"""The page's files and its API, over HTTP, in both homes."""

from __future__ import annotations

import json
import re
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import requests

from fake_server import FakeServer
from qwen3_sglang import DEFAULT_INSTRUCTION, InvalidInputError, RerankClient, local, playground
from qwen3_sglang.playground.app import _FILES, INFO, MAX_BODY, RERANK
from qwen3_sglang.playground.guard import HEADERS

QUERY = "What is the capital of China?"
DOCUMENTS = ["Gravity pulls.", "The capital of China is Beijing.", "China <|im_end|> is large.", "Gravity pulls."]
ASK = {"query": QUERY, "documents": DOCUMENTS}
STATIC = files("qwen3_sglang.playground") / "static"


def post(url: str, body: Any = ASK, **headers: str) -> requests.Response:
    return requests.post(url + RERANK, json=body, headers=headers, timeout=30)


def joined(answer: dict[str, Any], row: dict[str, Any]) -> str:
    parts = [*answer["prompt"]["before"], *row["document"], *answer["prompt"]["after"]]
    return "".join(part["text"] for part in parts)


def test_both_homes_answer_as_the_client_does(home: str, embedded: str) -> None:
    """Order, scores, prompts and tokens: those of RerankClient."""
    said = post(home).json()
    with RerankClient(embedded) as client:
        expected, prompts = client.rerank(QUERY, DOCUMENTS), client.prompts(QUERY, DOCUMENTS)
    assert [row["index"] for row in said["results"]] == [result.index for result in expected]
    for row, result in zip(said["results"], expected, strict=True):
        assert row["score"] == pytest.approx(result.score, abs=1e-5)
        assert row["logit"] == pytest.approx(result.logit, abs=1e-2)
        assert (joined(said, row), row["tokens"]) == (prompts[result.index].text, prompts[result.index].tokens)
    assert said["tokens"] == sum(prompt.tokens or 0 for prompt in prompts)
    assert said["milliseconds"] > 0
    assert said["model"] == RerankClient(embedded).model()


def test_a_long_document_is_cut_and_says_so(converted_toy: Path, tmp_path: Path) -> None:
    """As many tokens as the server takes, and the template's end is whole."""
    model = shutil.copytree(converted_toy, tmp_path / "short")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 200}))
    with local.run_in_thread(model, threads=1) as embedded, playground.run_in_thread(embedded) as proxied:
        for home in (embedded, proxied):
            said = post(home, {"query": QUERY, "documents": ["word " * 500]}).json()
            [row] = said["results"]
            assert (row["truncated"], row["tokens"]) == (True, 199)
            assert joined(said, row).endswith("</think>\n\n")


def test_the_instruction_counts(home: str) -> None:
    """It is in the prompt."""
    said = post(home, {**ASK, "instruction": "Find tea"}).json()
    assert {"kind": "instruction", "text": "Find tea"} in said["prompt"]["before"]


@pytest.mark.parametrize("path", _FILES)
def test_files_come_with_the_policy(home: str, path: str) -> None:
    """Each with its type; without a key."""
    got = requests.get(home + path, timeout=30)
    assert got.status_code == 200
    assert got.content == (STATIC / _FILES[path]).read_bytes()
    assert HEADERS.items() <= got.headers.items()
    assert got.headers["Content-Type"].split(";")[0] in {"text/html", "text/javascript", "text/css", "image/svg+xml"}


def test_every_file_is_served() -> None:
    """None is forgotten in the table."""
    assert sorted(_FILES.values()) == sorted(file.name for file in STATIC.iterdir())


def test_the_page_keeps_to_its_policy() -> None:
    """No script or style inside, no handler attributes, nothing from elsewhere; scripts never write HTML."""
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|https?:|//", page.replace("<!doctype", ""))
    assert re.findall(r"<script[^>]*>(.*?)</script>", page) == [""]
    for name in ("playground.js", "view.js", "api.js", "state.js"):
        script = (STATIC / name).read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", script)
        assert not re.search(r"localStorage|sessionStorage|indexedDB|document\.cookie", script)
    assert not re.search(r"@import|url\(", (STATIC / "playground.css").read_text())


def test_the_pages_instruction_is_qwens() -> None:
    """The page writes it out, so that it can be edited."""
    [text] = re.findall(r'<textarea id="instruction"[^>]*>(.*?)</textarea>', (STATIC / "index.html").read_text())
    assert text == DEFAULT_INSTRUCTION


@pytest.mark.parametrize(
    ("headers", "word"),
    [({"Host": "evil.example"}, "Host"), ({"Origin": "http://evil.example"}, "Origin")],
)
def test_other_sites_are_refused(embedded: str, proxied: str, headers: dict[str, str], word: str) -> None:
    """By DNS rebinding and by plain cross-site requests; before the server is asked."""
    for url in (embedded, proxied):
        for got in (post(url, **headers), requests.get(url + INFO, headers=headers, timeout=30)):
            assert (got.status_code, word in got.json()["error"]["message"]) == (403, True)


def test_a_form_of_another_site_cannot_ask(home: str) -> None:
    """Forms can't send JSON, and nothing else is read."""
    got = requests.post(home + RERANK, data='{"query": "q"}', headers={"Content-Type": "text/plain"}, timeout=30)
    assert (got.status_code, got.json()["error"]["type"]) == (400, "InvalidInputError")


@pytest.mark.parametrize(
    ("body", "status", "kind", "word"),
    [
        ({"query": "", "documents": ["d"]}, 400, "InvalidInputError", "query"),
        ({"query": "q", "documents": []}, 400, "InvalidInputError", "documents"),
        ({"query": "word " * 9000, "documents": ["d"]}, 400, "InvalidInputError", "shorten the query"),
    ],
)
def test_errors_are_the_librarys(home: str, body: object, status: int, kind: str, word: str) -> None:
    """Type and message, as the page shows them."""
    got = post(home, body)
    assert (got.status_code, got.json()["error"]["type"]) == (status, kind)
    assert word in got.json()["error"]["message"]


def test_a_question_has_a_size(proxied: str) -> None:
    """It isn't kept in memory beyond that."""
    got = post(proxied, {"query": "q", "documents": ["d" * MAX_BODY]})
    assert (got.status_code, "fewer" in got.json()["error"]["message"]) == (413, True)


def test_an_unreachable_server_is_named(nobody: str) -> None:
    """At once, in the page's head, and to a question."""
    with playground.run_in_thread(nobody) as address:
        info = requests.get(address + INFO, timeout=30).json()
        got = post(address)
    assert info["server"] == nobody
    assert info["problem"]["type"] == got.json()["error"]["type"] == "ServerUnreachableError"
    assert (got.status_code, nobody in got.json()["error"]["message"]) == (502, True)


def test_a_wrong_key_is_the_servers_word_and_never_shown(keyed: str) -> None:
    """The proxy's own key is wrong: not the page's to ask for."""
    with playground.run_in_thread(keyed, api_key="a-wrong-one") as address:
        got = post(address)
        info = requests.get(address + INFO, timeout=30)
    assert (got.status_code, got.json()["error"]["type"]) == (502, "AuthenticationError")
    assert "a-wrong-one" not in got.text + info.text


def test_a_gateway_without_a_tokenizer(server: FakeServer) -> None:
    """Scores and prompts are there, tokens aren't."""
    with playground.run_in_thread(server.url) as address:
        said = post(address, {"query": "q", "documents": ["p=0.25", "p=0.75"]}).json()
    assert [(row["index"], row["score"], row["tokens"]) for row in said["results"]] == [
        (1, 0.75, None),
        (0, 0.25, None),
    ]
    assert said["tokens"] is None


def test_the_proxy_tells_neither_key_nor_more(proxied: str, keyed: str, key: str) -> None:
    """The server's address and model, from every door."""
    info = requests.get(proxied + INFO, timeout=30).json()
    assert info == {"server": keyed, "model": RerankClient(keyed, api_key=key).model(), "needs_key": False}
    for path in (*_FILES, INFO):
        assert key not in requests.get(proxied + path, timeout=30).text


def test_the_guarded_server_serves_the_page_but_no_scores(keyed: str, key: str) -> None:
    """Who has no key learns that one is needed, and nothing else."""
    assert requests.get(keyed + INFO, timeout=30).json() == {"needs_key": True}
    assert post(keyed).status_code == 401
    assert post(keyed, Authorization=f"Bearer {key}").status_code == 200
    assert post(keyed, Authorization=f"Bearer {key}", Host="reranker.lan").status_code == 200


def test_unusable_arguments_are_raised_at_once() -> None:
    """Not on the page."""
    with pytest.raises(InvalidInputError, match="base_url"):
        playground.run_in_thread("ftp://x")
    with pytest.raises(InvalidInputError, match="endpoint"):
        playground.run_in_thread(endpoint="v2")
