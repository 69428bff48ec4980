"""examples/deploy/nginx.conf, run with other addresses: what passes, what is sent again, and over two real servers."""

from __future__ import annotations

import json
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

CONFIG = Path(__file__).parents[2] / "examples" / "deploy" / "nginx.conf"


@contextmanager
def balancer(folder: Path, *servers: str) -> Iterator[str]:
    """Over these servers' addresses, from the first answer on; yields its own. Skipped where nginx isn't installed."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("nginx isn't installed: apt-get install nginx-light")
    text, own = CONFIG.read_text(encoding="utf-8"), f"127.0.0.1:{free_port()}"
    for old, new in zip(("127.0.0.1:30000", "127.0.0.1:30001", "127.0.0.1:30002"), (own, *servers), strict=True):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (config := folder / "nginx.conf").write_text(text, encoding="utf-8")
    command = [program, "-p", str(folder), "-c", str(config), "-g", f"daemon off; pid {folder}/pid;"]
    process = subprocess.Popen(command)
    try:
        wait_until(lambda: answers(f"http://{own}/health"))
        yield f"http://{own}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The balancer over two recorders."""
    with recorder() as one, recorder() as two, balancer(tmp_path_factory.mktemp("nginx"), one, two) as url:
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


def test_a_list_of_long_documents_passes(recording: str, seen: list[Asked]) -> None:
    """nginx refuses more than 1 MiB unless it is told otherwise."""
    body = b'{"items": "%s"}' % (b"x" * 3_000_000)
    assert requests.post(f"{recording}/v1/score", data=body, timeout=30).status_code == 200
    assert len(seen) == 1


def test_nothing_is_scored_twice(recording: str, seen: list[Asked]) -> None:
    """A server that takes a request and dies: the client hears of it, and decides."""
    answer = requests.post(f"{recording}/v1/score", data=b"hang up", timeout=30)
    assert answer.status_code == 502
    assert len(seen) == 1


def test_a_refused_connection_goes_to_the_other_server(tmp_path: Path, seen: list[Asked]) -> None:
    """No request of a client fails, although one server isn't there; and once it is, it is used."""
    port = free_port()
    with recorder() as one, balancer(tmp_path, one, f"127.0.0.1:{port}") as url:
        statuses = [requests.post(f"{url}/v1/score", data=b"{}", timeout=30).status_code for _ in range(20)]
        assert statuses == [200] * 20
        assert port not in {asked.port for asked in seen}
        with recorder(port):

            def used() -> bool:
                assert requests.post(f"{url}/v1/score", data=b"{}", timeout=30).status_code == 200
                return port in {asked.port for asked in seen}

            wait_until(used)


def test_busy_servers_get_less(tmp_path: Path, seen: list[Asked]) -> None:
    """While one server is at work on a request, the next ones go to the other. A worker counts its own requests."""
    with recorder() as one, recorder() as two, balancer(tmp_path, one, two) as url:
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


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_scores_through_it(converted_toy: Path, tmp_path: Path, mode: str) -> None:
    """Those of a server by itself, in many lists at once."""
    with ExitStack() as stack:
        urls = [
            stack.enter_context(
                local.run_in_thread(converted_toy, device="cpu", dtype="float32", multi_item=True, name="toy")
            )
            for _ in range(2)
        ]
        hosts = [url.removeprefix("http://") for url in urls]
        expected = RerankClient(urls[0], endpoint=ENDPOINT).score(QUERY, DOCUMENTS)
        url = stack.enter_context(balancer(tmp_path, *hosts))
        async with RerankClient(url, endpoint=ENDPOINT, batch_size=3, max_concurrency=8) as client:
            found = client.score(QUERY, DOCUMENTS) if mode == "sync" else await client.ascore(QUERY, DOCUMENTS)
        assert found == pytest.approx(expected, abs=1e-4)
    assert expected[1] > 0.9
