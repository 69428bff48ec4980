"""Ctrl-C and a first failure end an evaluation at once, and what was answered is kept."""

from __future__ import annotations

import asyncio
import itertools
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from judged_data import write_lines

from fake_server import FakeServer
from qwen3_sglang import AuthenticationError, RerankClient
from qwen3_sglang.evaluate import evaluate, load_dataset

SOON = 5  # seconds; the promise is one, where the machine has nothing else to do, and no answer comes within 60
# A shell starts what it puts into the background with SIGINT ignored, and so would this process then.
COMMAND = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from qwen3_sglang.__main__ import main; main()"
)


class Silent(threading.Barrier):
    """Lets requests through by their number, from 0; the others get no answer until `over`."""

    def __init__(self, *answered: int) -> None:
        super().__init__(1)
        self.over = threading.Event()
        self._answered, self._numbers = answered, itertools.count()

    def wait(self, timeout: float | None = None) -> int:
        if next(self._numbers) not in self._answered:
            self.over.wait(60)
        return 0


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Two queries: two requests."""
    return write_lines(
        tmp_path / "two.jsonl",
        [
            {"query": "first?", "documents": ["x p=0.2", "y p=0.9"], "relevant": [1]},
            {"query": "second?", "documents": ["x p=0.3", "y p=0.8"], "relevant": [0]},
        ],
    )


def kept(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        [[count]] = database.execute("SELECT count(*) FROM scores")
    return int(count)


def test_ctrl_c_ends_it_whatever_is_in_flight(server: FakeServer, rows: Path, tmp_path: Path) -> None:
    """Through the real command; the timeout is far away."""
    server.barrier = silent = Silent(0)
    command = [sys.executable, "-c", COMMAND, "evaluate", str(rows), "--url", server.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        store = tmp_path / "two.scores.sqlite"
        until = time.monotonic() + 60
        while not (store.exists() and len(server.prompts) == 4 and kept(store) == 2) and time.monotonic() < until:
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        since = time.monotonic()
        _, said = running.communicate(timeout=30)
        assert time.monotonic() - since < SOON
        silent.over.set()
    assert running.returncode == 130
    assert "2 of 4 scores are kept" in said
    assert "Traceback" not in said


def test_a_first_failure_ends_it_whatever_is_in_flight(
    server: FakeServer, data: Path, rows: Path, tmp_path: Path
) -> None:
    """A wrong key for one list; another list's answer never comes."""
    both = write_lines(tmp_path / "both.jsonl", data.read_text().splitlines() + rows.read_text().splitlines())
    client = RerankClient(server.url, timeout=60)
    evaluate(client, load_dataset(data), scores=tmp_path / "s.sqlite")
    server.barrier = silent = Silent(1)
    server.fault = (401, {"message": "wrong key"})
    since = time.monotonic()
    with pytest.raises(AuthenticationError) as failed:
        evaluate(client, load_dataset(both), scores=tmp_path / "s.sqlite")
    assert time.monotonic() - since < SOON
    silent.over.set()
    assert "8 of 12 scores are kept" in failed.value.__notes__[0]


def test_a_caller_that_breaks_off_is_obeyed_at_once(server: FakeServer, rows: Path, tmp_path: Path) -> None:
    """An exception out of `progress` is the way to cancel from within; the scores that were told are kept."""
    server.barrier = silent = Silent(0)

    class EnoughError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done:
            raise EnoughError

    since = time.monotonic()
    with pytest.raises(EnoughError):
        evaluate(RerankClient(server.url), load_dataset(rows), scores=tmp_path / "s.sqlite", progress=stop)
    assert time.monotonic() - since < SOON
    silent.over.set()
    assert kept(tmp_path / "s.sqlite") == 2


def test_works_where_an_event_loop_runs(server: FakeServer, data: Path, tmp_path: Path) -> None:
    """As in a notebook."""

    async def cell() -> int:
        return evaluate(RerankClient(server.url), load_dataset(data), scores=tmp_path / "s.sqlite").asked

    assert asyncio.run(cell()) == 8


def test_no_session_stays_open(server: FakeServer, data: Path, tmp_path: Path) -> None:
    """Nothing is said on standard error, by -X dev least of all."""
    code = (
        "from qwen3_sglang import RerankClient\nfrom qwen3_sglang.evaluate import evaluate, load_dataset\n"
        f"client = RerankClient({server.url!r})\n"
        f"print(evaluate(client, load_dataset({str(data)!r}), scores={str(tmp_path / 's.sqlite')!r}).asked)\n"
        "client.close()\n"
    )
    done = subprocess.run([sys.executable, "-X", "dev", "-W", "ignore::DeprecationWarning", "-c", code],
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout.strip() == "8"
    assert "Unclosed" not in done.stderr
    assert "ResourceWarning" not in done.stderr
