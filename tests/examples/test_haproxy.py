"""examples/deploy/haproxy.cfg, run as it is: what it lets through, what it sends again, and over two real servers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests

from balancers import (
    DOCUMENTS,
    ENDPOINT,
    LET_THROUGH,
    QUERY,
    REFUSED,
    Asked,
    Recorder,
    answers,
    ask_raw,
    recorder,
    wait_until,
)
from qwen3_sglang import RerankClient, local
from real_sglang import free_port

CONFIG = Path(__file__).parents[2] / "examples" / "deploy" / "haproxy.cfg"


def program() -> str:
    """HAProxy's path; the test is skipped where it isn't installed."""
    found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip("haproxy isn't installed: apt-get install haproxy")
    return found


@contextmanager
def balancer(one: str, two: str) -> Iterator[str]:
    """Over two servers' addresses, from the first answer on; yields its own."""
    port = free_port()
    settings = {"BIND": f"127.0.0.1:{port}", "SERVER_1": one, "SERVER_2": two}
    process = subprocess.Popen([program(), "-db", "-f", str(CONFIG)], env=os.environ | settings)
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def recording() -> Iterator[str]:
    """The balancer over two recorders."""
    with recorder() as one, recorder() as two, balancer(one, two) as url:
        yield url


@pytest.fixture
def seen() -> list[Asked]:
    """What the recorders were asked in this test."""
    Recorder.seen.clear()
    Recorder.hold.clear()
    return Recorder.seen


@pytest.mark.parametrize(("method", "path"), LET_THROUGH)
def test_what_is_let_through(recording: str, seen: list[Asked], method: str, path: str) -> None:
    """With the key and the time that the client has."""
    headers = {"Authorization": "Bearer k", "X-Request-Timeout": "7.5"}
    answer = requests.request(method, recording + path, headers=headers, data=b"{}", timeout=30)
    assert answer.status_code == 200
    [asked] = seen
    assert asked.path == path
    assert (asked.headers["authorization"], asked.headers["x-request-timeout"]) == ("Bearer k", "7.5")


@pytest.mark.parametrize(("method", "path"), REFUSED)
def test_what_is_not(recording: str, seen: list[Asked], method: str, path: str) -> None:
    """Not a byte of it reaches a server; the answer says what does, in the shape of SGLang's errors."""
    top, _, body = ask_raw(recording, method, path).partition(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.1 404 ")
    assert json.loads(body)["code"] == 404
    assert "POST /v1/score" in json.loads(body)["message"]
    assert seen == []


def test_a_whole_address_in_the_request_line(recording: str, seen: list[Asked]) -> None:
    """As a client of a forward proxy sends it: its path counts."""
    for path, status in (("/v1/score", b"200"), ("/v1/classify", b"404")):
        assert ask_raw(recording, "POST", f"http://localhost{path}").startswith(b"HTTP/1.1 " + status)
    assert len(seen) == 1


def test_nothing_is_scored_twice(recording: str, seen: list[Asked]) -> None:
    """A server that takes a request and dies: the client hears of it, and decides."""
    answer = requests.post(f"{recording}/v1/score", data=b"hang up", timeout=30)
    assert answer.status_code == 502
    assert len(seen) == 1


def test_a_refused_connection_goes_to_the_other_server(seen: list[Asked]) -> None:
    """No request of a client fails, although one server isn't there; and once it is, it is used."""
    port = free_port()
    with recorder() as one, balancer(one, f"127.0.0.1:{port}") as url:
        answers = [requests.post(f"{url}/v1/score", data=b"{}", timeout=30).status_code for _ in range(20)]
        assert answers == [200] * 20
        assert port not in {asked.port for asked in seen}
        with recorder(port):

            def used() -> bool:
                assert requests.post(f"{url}/v1/score", data=b"{}", timeout=30).status_code == 200
                return port in {asked.port for asked in seen}

            wait_until(used)


def test_busy_servers_get_less(seen: list[Asked]) -> None:
    """While one server is at work on a request, the next ones go to the other."""
    with recorder() as one, recorder() as two, balancer(one, two) as url:
        slow = threading.Thread(
            target=requests.post, args=(f"{url}/v1/score",), kwargs={"data": b"hold", "timeout": 60}
        )
        slow.start()
        wait_until(lambda: seen)
        for _ in range(6):
            assert requests.post(f"{url}/v1/score", data=b"{}", timeout=30).status_code == 200
        assert seen[0].port not in {asked.port for asked in seen[1:]}
        Recorder.hold.set()
        slow.join()


@pytest.fixture(scope="module")
def two_servers(converted_toy: Path) -> Iterator[tuple[list[str], str]]:
    """Two embedded servers with multi-item scoring, and the balancer in front of them."""
    with ExitStack() as stack:
        run = {"device": "cpu", "dtype": "float32", "multi_item": True, "name": "toy"}
        urls = [stack.enter_context(local.run_in_thread(converted_toy, **run)) for _ in range(2)]  # type: ignore[arg-type] # options by name
        hosts = [url.removeprefix("http://") for url in urls]
        yield urls, stack.enter_context(balancer(*hosts))


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_scores_through_it(two_servers: tuple[list[str], str], mode: str) -> None:
    """Those of a server by itself, in many lists at once."""
    [alone, _], url = two_servers
    expected = RerankClient(alone, endpoint=ENDPOINT).score(QUERY, DOCUMENTS)
    async with RerankClient(url, endpoint=ENDPOINT, batch_size=3, max_concurrency=8) as client:
        for _ in range(3):
            found = client.score(QUERY, DOCUMENTS) if mode == "sync" else await client.ascore(QUERY, DOCUMENTS)
            assert found == pytest.approx(expected, abs=1e-4)
    assert expected[1] > 0.9


def test_long_documents_are_cut_by_its_tokenizer(two_servers: tuple[list[str], str]) -> None:
    """/tokenize and /detokenize pass, so truncation is exact."""
    [alone, _], url = two_servers
    documents = ["The capital of China is Beijing. " * 60, DOCUMENTS[0]]
    direct, through = (
        RerankClient(where, endpoint=ENDPOINT, max_length=200).rerank(QUERY, documents) for where in (alone, url)
    )
    assert [(r.index, r.truncated) for r in through] == [(r.index, r.truncated) for r in direct]
    assert [r.logit for r in through] == pytest.approx([r.logit for r in direct], abs=1e-3)


def test_a_stray_request_does_no_harm(two_servers: tuple[list[str], str]) -> None:
    """The default endpoint is stopped at the door, with an error that names the right one."""
    _, url = two_servers
    answer = requests.post(f"{url}/v1/classify", json={"input": "a"}, timeout=30)
    assert (answer.status_code, "name the endpoint" in answer.json()["message"]) == (404, True)
