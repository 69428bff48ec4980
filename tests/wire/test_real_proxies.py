"""Behind HAProxy and nginx, which nobody here wrote: early hints, limits, restarts, redirects, closed connections."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from asking import Ask
from peer import Peer, peer, right

from qwen3_sglang import RerankClient, errors

CALLS = ([0.1], [0.6, 0.2], [0.3])
MANY = [n / 256 for n in range(1, 200)]
UP_WITHIN = 20.0  # seconds


def program(name: str) -> str:
    """Its path; the test is skipped where it isn't installed."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{name} isn't installed: apt-get install {name}")
    return found


def free_port() -> int:
    """A port of loopback that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until it takes connections."""
    until = time.monotonic() + UP_WITHIN
    while time.monotonic() < until:
        assert process.poll() is None, "it ended at once"
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError("it did not come up")


@contextmanager
def running(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A proxy until left."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield process
    finally:
        process.terminate()
        process.wait(10)


def haproxy(folder: Path, port: int, upstream: str, frontend: str = "") -> list[str]:
    """The command, with a configuration of its own."""
    config = folder / "haproxy.cfg"
    lines = f"""
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    retries 0
frontend it
    bind 127.0.0.1:{port}
    {frontend}
    default_backend them
backend them
    server one {upstream.removeprefix("http://")}
"""
    config.write_text(lines)
    return [program("haproxy"), "-db", "-f", str(config)]


def nginx(folder: Path, port: int, upstream: str, server: str = "", location: str = "") -> list[str]:
    """The command, with a configuration and all its files in the folder."""
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(f"""
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off; {paths}
    server {{
        listen 127.0.0.1:{port};
        {server}
        location / {{ {location or f"proxy_pass {upstream}; proxy_http_version 1.1;"} }}
    }}
}}
""")
    return [program("nginx"), "-p", str(folder), "-c", str(config)]


Start = Callable[..., list[str]]


@pytest.fixture
def worker() -> Iterator[Peer]:
    """What stands behind them."""
    with peer(right) as server:
        yield server


def expect_scores(ask: Ask, command: Start, folder: Path, worker: Peer, **options: str) -> None:
    """Right scores through that proxy, a call at a time and several lists at once."""
    port = free_port()
    with running(command(folder, port, worker.url, **options), port):
        client = RerankClient(f"http://127.0.0.1:{port}", timeout=30, batch_size=8, max_concurrency=4)
        assert ask(client, *CALLS, MANY) == [*CALLS, MANY]


@pytest.mark.parametrize("command", [haproxy, nginx])
def test_scores_through_a_proxy(ask: Ask, command: Start, tmp_path: Path, worker: Peer) -> None:
    """As it is installed."""
    expect_scores(ask, command, tmp_path, worker)


def test_early_hints(ask: Ask, tmp_path: Path, worker: Peer) -> None:
    """One line in HAProxy's configuration puts a 103 before each answer."""
    expect_scores(ask, haproxy, tmp_path, worker, frontend='http-request early-hint Link "</x>; rel=preload"')


@pytest.mark.parametrize("frontend", ["option httpclose", "http-after-response set-header Connection close"])
def test_haproxy_closes_each_connection(ask: Ask, tmp_path: Path, worker: Peer, frontend: str) -> None:
    """None is used again, and none is missed."""
    expect_scores(ask, haproxy, tmp_path, worker, frontend=frontend)


@pytest.mark.parametrize("server", ["keepalive_requests 2;", "keepalive_timeout 0;", "keepalive_timeout 20ms;"])
def test_nginx_closes_connections(ask: Ask, tmp_path: Path, worker: Peer, server: str) -> None:
    """After some requests, or some time: just when another request is sent, too."""
    expect_scores(ask, nginx, tmp_path, worker, server=server)


def test_a_body_too_large_for_nginx(ask: Ask, tmp_path: Path, worker: Peer) -> None:
    """413 of a list is no refusal of its documents: they go in smaller lists."""
    port = free_port()
    with running(nginx(tmp_path, port, worker.url, server="client_max_body_size 16k;"), port):
        client = RerankClient(f"http://127.0.0.1:{port}", timeout=30, batch_size=128)
        assert ask(client, MANY) == [MANY]


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_nginx_redirects(ask: Ask, tmp_path: Path, worker: Peer, code: int) -> None:
    """To https, say: that isn't followed, and the address is told."""
    port = free_port()
    with running(
        nginx(tmp_path, port, worker.url, location=f"return {code} https://elsewhere.test$request_uri;"), port
    ):
        [failure] = ask(RerankClient(f"http://127.0.0.1:{port}", timeout=30), [0.1])
    assert isinstance(failure, errors.NotSGLangError)
    assert "https://elsewhere.test/v1/models" in str(failure)


@pytest.mark.parametrize("command", [haproxy, nginx])
def test_a_worker_that_is_gone(ask: Ask, command: Start, tmp_path: Path, nobody: str) -> None:
    """502 or 503 of the proxy itself: a typed error once there are no more retries."""
    port = free_port()
    with running(command(tmp_path, port, nobody), port):
        [failure] = ask(RerankClient(f"http://127.0.0.1:{port}", timeout=30, max_retries=1), [0.1])
    assert isinstance(failure, errors.ServerError)
    assert failure.status in {502, 503}


@pytest.mark.parametrize("command", [haproxy, nginx])
def test_a_proxy_that_restarts_under_load(ask: Ask, command: Start, tmp_path: Path, worker: Peer) -> None:
    """Killed with requests in flight and started again: right scores, every one."""
    port, over = free_port(), threading.Event()
    line = command(tmp_path, port, worker.url)

    def restart() -> None:
        for _ in range(3):
            with running(line, port) as process:
                up.set()
                over.wait(0.4)
                process.send_signal(signal.SIGKILL)
        with running(line, port):
            over.wait(60)

    up = threading.Event()
    thread = threading.Thread(target=restart)
    thread.start()
    try:
        assert up.wait(UP_WITHIN)
        client = RerankClient(f"http://127.0.0.1:{port}", timeout=40, batch_size=4, max_concurrency=4)
        calls = [MANY[start:] for start in range(12)]
        assert ask(client, *calls) == calls
    finally:
        over.set()
        thread.join()


def test_hints_and_restarts_never_mix_texts(tmp_path: Path, worker: Peer) -> None:
    """Several threads with one client."""
    port = free_port()
    command = haproxy(tmp_path, port, worker.url, frontend='http-request early-hint Link "</x>; rel=preload"')
    wrong: list[object] = []
    with running(command, port):
        client = RerankClient(f"http://127.0.0.1:{port}", timeout=30, batch_size=3, max_concurrency=4)

        def call(shift: int) -> None:
            wanted = MANY[shift:] + MANY[:shift]
            wrong.extend(found for _ in range(3) if (found := client.score("q", [f"p={p}" for p in wanted])) != wanted)

        threads = [threading.Thread(target=call, args=(shift,)) for shift in (0, 50, 100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
