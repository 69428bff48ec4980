"""The page's files and its API, over HTTP, in both homes.

Tests of `local/playground.py`, `playground/proxy.py`.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fake_server import FakeServer
from qwen3_sglang import DEFAULT_INSTRUCTION, InvalidInputError, RerankClient, local, playground
from qwen3_sglang.playground.app import _FILES, INFO, RERANK
from qwen3_sglang.playground.guard import HEADERS
from qwen3_sglang.serving.limits import MAX_BODY, PatientProtocol

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
    """Order, scores, prompts and tokens: those of RerankClient. It took no longer than the page waited."""
    since = time.perf_counter()
    said = post(home).json()
    waited = time.perf_counter() - since
    with RerankClient(embedded) as client:
        expected, prompts = client.rerank(QUERY, DOCUMENTS), client.prompts(QUERY, DOCUMENTS)
    assert [row["index"] for row in said["results"]] == [result.index for result in expected]
    for row, result in zip(said["results"], expected, strict=True):
        assert row["score"] == pytest.approx(result.score, abs=1e-5)
        assert row["logit"] == pytest.approx(result.logit, abs=1e-2)
        assert (joined(said, row), row["tokens"]) == (prompts[result.index].text, prompts[result.index].tokens)
    assert said["tokens"] == sum(prompt.tokens or 0 for prompt in prompts)
    assert 0 < said["milliseconds"] <= 1000 * waited
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


def test_a_long_document_has_its_best_chunks_score(converted_toy: Path, tmp_path: Path) -> None:
    """Both homes name the same chunk of the pasted text, and show the prompt that has the score."""
    model = shutil.copytree(converted_toy, tmp_path / "short")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 400}))
    long = "word <|im_end|> " * 200 + "The capital of China is Beijing." + " word" * 300
    ask = {"query": QUERY, "documents": ["Gravity pulls.", long], "long_documents": "chunks"}
    with local.run_in_thread(model, threads=1) as embedded, playground.run_in_thread(embedded) as proxied:
        answers = [post(home, ask).json() for home in (embedded, proxied)]
    chunks = [said["results"][0]["chunk"] for said in answers]
    assert chunks[0] == chunks[1]
    own = long[chunks[0]["start"] : chunks[0]["end"]]
    assert "The capital of China is Beijing." in own
    assert chunks[0]["scored"] > 3
    for said in answers:
        best, other = said["results"]
        assert (best["index"], best["truncated"], other["chunk"]) == (1, False, None)
        assert best["score"] > 0.5
        assert "The capital of China is Beijing." in joined(said, best)
        assert best["tokens"] <= 399
        assert said["tokens"] is None


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
        ({"query": "", "documents": ["d"]}, 400, "QueryError", "query"),
        ({"query": "q", "documents": []}, 400, "InvalidInputError", "documents"),
        ({"query": "word " * 9000, "documents": ["d"]}, 400, "QueryError", "shorten the query"),
    ],
)
def test_errors_are_the_librarys(home: str, body: object, status: int, kind: str, word: str) -> None:
    """Type and message, as the page shows them."""
    got = post(home, body)
    assert (got.status_code, got.json()["error"]["type"]) == (status, kind)
    assert word in got.json()["error"]["message"]


def test_a_question_has_a_size(home: str) -> None:
    """It isn't kept in memory beyond that."""
    got = post(home, {"query": "q", "documents": ["d" * MAX_BODY]})
    assert (got.status_code, "send less" in got.json()["error"]["message"]) == (413, True)


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


@pytest.mark.parametrize("path", [*_FILES, INFO, RERANK, "/nothing"])
def test_every_route_refuses_a_rebound_name(home: str, path: str) -> None:
    """The page's files too."""
    assert requests.get(home + path, headers={"Host": "evil.example"}, timeout=30).status_code == 403


def test_unfinished_headers_end(nobody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the standalone playground as in the embedded server, which has its own tests."""
    monkeypatch.setattr(PatientProtocol, "header_seconds", 0.3)
    with playground.run_in_thread(nobody) as address:
        port = int(address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-")
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(100) == b""


def test_who_leaves_the_page_ends_the_question(silent: Silent) -> None:
    """The server behind the playground sees its caller leave too: the connection is closed."""
    with playground.run_in_thread(silent.url) as address:
        port = int(address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            body = json.dumps(ASK).encode()
            head = f"POST {RERANK} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert silent.asked.wait(20)
        assert silent.left.wait(20)


class Silent:
    """A server that takes every request, answers none, and tells when a caller leaves."""

    def __init__(self) -> None:
        self.asked, self.left = threading.Event(), threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def hold(self) -> None:
        """Until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._hold, args=(self.listener.accept()[0],), daemon=True).start()

    def _hold(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while connection.recv(65536):
                self.asked.set()
            self.left.set()


@pytest.fixture
def silent() -> Iterator[Silent]:
    """One."""
    server = Silent()
    thread = threading.Thread(target=server.hold, daemon=True)
    thread.start()
    yield server
    server.listener.shutdown(socket.SHUT_RDWR)
    server.listener.close()
    thread.join(5)


TEXT = st.text(st.characters(exclude_categories=[]), max_size=30)


@given(TEXT, st.lists(TEXT, max_size=3), st.one_of(st.none(), TEXT))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_text_fails(embedded: str, query: str, documents: list[str], instruction: str | None) -> None:
    """Any characters, lone surrogates included: scored, or refused by name."""
    body = json.dumps({"query": query, "documents": documents} | ({"instruction": instruction} if instruction else {}))
    got = requests.post(embedded + RERANK, data=body, headers={"Content-Type": "application/json"}, timeout=60)
    assert got.status_code in {200, 400}, (body, got.text)
