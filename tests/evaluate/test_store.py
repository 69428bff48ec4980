"""What the store of scores takes for its own, and what it says where it can't be used."""

from __future__ import annotations

import math
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from qwen3_sglang import InvalidInputError
from qwen3_sglang.evaluate.store import ScoreStore, score_key
from qwen3_sglang.ranking import Chunk, Score

KEY = score_key("one")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scores.sqlite"


def sql(path: Path, *statements: str) -> None:
    """Done by somebody else."""
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)


def filled(path: Path, count: int = 2000) -> Path:
    """A store with many pages."""
    with ScoreStore(path) as store:
        store.add({score_key(str(number)): Score(0.5, 0.0) for number in range(count)} | {KEY: Score(0.9, 2.0)})
    return path


def test_keeps_what_a_score_is(path: Path) -> None:
    """Infinite logits and the mark of a cut document come back; more keys than one statement takes."""
    known = {score_key(str(number)): Score(number / 2000, float("-inf"), number % 2 == 0) for number in range(1200)}
    with ScoreStore(path) as store:
        store.add(known)
    with ScoreStore(path) as store:
        assert store.find(known) == known
        assert store.find([score_key("none")]) == {}


def test_keys_dont_run_together() -> None:
    """The parts' borders count."""
    assert len({score_key("ab", "c"), score_key("a", "bc"), score_key("abc"), score_key("abc", "")}) == 4


def text(path: Path) -> None:
    path.write_text("my notes, which nobody else has\n" * 100, encoding="utf-8")


def another_application(path: Path) -> None:
    sql(path, "CREATE TABLE customers (name TEXT)", "INSERT INTO customers VALUES ('Ada')")


def another_shape(path: Path) -> None:
    sql(path, "CREATE TABLE scores (player TEXT, points INTEGER)", "INSERT INTO scores VALUES ('Ada', 3)")


def a_view(path: Path) -> None:
    sql(path, "CREATE TABLE t (key, p_yes)", "CREATE VIEW scores AS SELECT key, p_yes FROM t")


def another_stamp(path: Path) -> None:
    sql(path, "PRAGMA application_id = 1196444487")


def truncated(path: Path) -> None:
    filled(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwritten(path: Path) -> None:
    filled(path)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 8192)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (text, "no store of scores"),
        (another_application, "no store of scores"),
        (another_shape, "no store of scores"),
        (a_view, "no store of scores"),
        (another_stamp, "no store of scores"),
        (truncated, "damaged: delete it"),
        (overwritten, "damaged: delete it"),
        (Path.mkdir, "name a file"),
    ],
)
def test_what_is_no_store_is_refused_and_left_alone(path: Path, make: Callable[[Path], None], said: str) -> None:
    """The message names the file and what to do; not a byte of it changes."""
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(InvalidInputError, match=said) as refused, ScoreStore(path) as store:
        store.find([KEY])
    assert refused.value.field == "scores"
    assert "scores.sqlite" in str(refused.value)
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_store_of_the_first_version_is_read(path: Path) -> None:
    """It has no stamp in its header."""
    filled(path)
    sql(path, "PRAGMA application_id = 0")
    with ScoreStore(path) as store:
        assert store.find([KEY]) == {KEY: Score(0.9, 2.0)}


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    """As `mktemp` leaves one."""
    path.touch()
    with ScoreStore(path) as store:
        store.add({KEY: Score(0.9, 2.0)})
        assert store.find([KEY])


@pytest.mark.parametrize(
    "row",
    [
        "p_yes = 1.5",
        "p_yes = -0.1",
        "p_yes = 9e999",
        "p_yes = 'high'",
        "p_yes = x'00'",
        "logit = 'nan'",
        "logit = x'ff'",
        "truncated = 2",
        "truncated = 'no'",
    ],
)
def test_a_score_that_no_server_gave_is_refused(path: Path, row: str) -> None:
    """It would go into every figure; asking again is the remedy, and works."""
    filled(path, 3)
    sql(path, f"UPDATE scores SET {row} WHERE key = x'{KEY.hex()}'")  # noqa: S608 - a test's own
    with ScoreStore(path) as store:
        with pytest.raises(InvalidInputError, match=r"scores\.sqlite.*--fresh"):
            store.find([KEY])
        store.forget([KEY])
        assert store.find([KEY]) == {}


def test_a_score_that_is_not_a_number_is_refused(path: Path) -> None:
    """SQLite makes NULL of NaN, which a table made by hand may allow."""
    sql(path, "CREATE TABLE scores (key, p_yes, logit, truncated)")
    with ScoreStore(path) as store:
        store.add({KEY: Score(math.nan, math.nan)})
        with pytest.raises(InvalidInputError, match="a kept score is damaged"):
            store.find([KEY])


def test_a_locked_store_is_waited_for_and_then_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another evaluation writes for a moment only; whoever holds the lock longer is said."""
    filled(path, 3)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        release = threading.Timer(0.4, other.execute, ("ROLLBACK",))
        release.start()
        with ScoreStore(path) as store:
            assert store.find([KEY])
        release.join()
        monkeypatch.setattr("qwen3_sglang.evaluate.store._PATIENCE", 0.3)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InvalidInputError, match=r"scores\.sqlite.*another program is using"):
            ScoreStore(path)


def test_a_store_that_another_run_began_meanwhile_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two evaluations began at once; the one that can't open it doesn't delete what the other has kept."""
    monkeypatch.setattr("qwen3_sglang.evaluate.store._PATIENCE", 0.0)

    locks: list[sqlite3.Connection] = []

    class Late(ScoreStore):
        """The other one is quicker, and holds the lock."""

        def _open(self) -> None:
            filled(path, 3)
            locks.append(sqlite3.connect(path, isolation_level=None))
            locks[0].execute("BEGIN EXCLUSIVE")
            super()._open()

    with pytest.raises(InvalidInputError, match="another program is using"):
        Late(path)
    locks[0].close()
    with ScoreStore(path) as store:
        assert store.find([KEY])


def test_ctrl_c_is_heard_while_a_lock_is_waited_for(path: Path) -> None:
    """SQLite's own wait would hold it back for all of its time."""
    filled(path, 3)
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background ignores it
        "from pathlib import Path\nfrom qwen3_sglang.evaluate.store import ScoreStore\n"
        f"print(flush=True)\nScoreStore(Path({str(path)!r}))"
    )
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as waiting:
            assert waiting.stdout is not None
            waiting.stdout.readline()
            time.sleep(0.5)  # it waits by now, or will in a moment: both must end
            waiting.send_signal(2)
            since = time.monotonic()
            waiting.wait(10)
            assert time.monotonic() - since < 4
            assert b"KeyboardInterrupt" in waiting.stderr.read()  # type: ignore[union-attr]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_that_cant_be_written_is_named(path: Path) -> None:
    """Reading it goes on."""
    filled(path, 3).chmod(0o444)
    with ScoreStore(path) as store:
        assert store.find([KEY])
        with pytest.raises(InvalidInputError, match="can't be written"):
            store.add({score_key("two"): Score(0.5, 0.0)})


def test_a_full_disk_is_said_and_keeps_what_is_there(path: Path) -> None:
    """SQLite's own limit stands in for the disk's."""
    filled(path, 100)
    with ScoreStore(path) as store:
        store._db.execute("PRAGMA max_page_count = 1")
        with pytest.raises(InvalidInputError, match=r"scores\.sqlite.*disk is full"):
            store.add({score_key(f"more {number}"): Score(0.5, 0.0) for number in range(20_000)})
        assert store.find([KEY]) == {KEY: Score(0.9, 2.0)}


def test_names_that_mean_something_to_sqlite_are_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores in memory would be gone after the run."""
    monkeypatch.chdir(tmp_path)
    with ScoreStore(Path(":memory:")) as store:
        store.add({KEY: Score(0.9, 2.0)})
    assert (tmp_path / ":memory:").stat().st_size > 0


def test_a_damaged_score_is_shown_in_short(path: Path) -> None:
    """Eighty characters of what the row holds."""
    filled(path, 3)
    sql(path, f"UPDATE scores SET p_yes = '{'x' * 200}' WHERE key = x'{KEY.hex()}'")  # noqa: S608 - a test's own
    with ScoreStore(path) as store, pytest.raises(InvalidInputError) as refused:
        store.find([KEY])
    assert refused.value.remedy.endswith(f"(it holds ['{'x' * 78})")


def test_chunks_are_kept_with_their_scores(path: Path) -> None:
    """And forgotten with them."""
    known = {KEY: Score(0.75, 1.5, True, Chunk(3, 9, 4)), score_key("whole"): Score(0.25, -1.5)}
    with ScoreStore(path) as store:
        store.add(known)
    with ScoreStore(path) as store:
        assert store.find(known) == known
        store.forget([KEY])
        store.add({KEY: Score(0.5, 0.0)})
        assert store.find([KEY]) == {KEY: Score(0.5, 0.0)}
