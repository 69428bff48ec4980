"""Scores on disk, so that a run that broke off goes on where it stopped."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.ranking import Chunk, Score

T = TypeVar("T")
_COLUMNS = ("key", "p_yes", "logit", "truncated")
_TABLE = """
CREATE TABLE IF NOT EXISTS scores (
    key BLOB PRIMARY KEY, p_yes REAL NOT NULL, logit REAL NOT NULL, truncated INTEGER NOT NULL
) WITHOUT ROWID
"""
# Apart, so that stores from before chunks stay as they are.
_CHUNKS = """
CREATE TABLE IF NOT EXISTS chunks (
    key BLOB PRIMARY KEY, first INTEGER NOT NULL, behind INTEGER NOT NULL, scored INTEGER NOT NULL
) WITHOUT ROWID
"""
_FIND = """
SELECT key, p_yes, logit, truncated, first, behind, scored FROM scores LEFT JOIN chunks USING (key) WHERE key IN
"""
_APPLICATION = 0x51335247  # "Q3RG", in the file's header; stores of version 0.1 have 0 there
_AT_ONCE = 500  # SQLite's older builds take 999 variables per statement
_PATIENCE = 5.0  # seconds to wait for another evaluation that is writing
_SLICE = 0.25  # of these, waited inside SQLite, where Ctrl-C isn't heard
_BUSY = ("locked", "busy")
_FOREIGN = "this is no store of scores, and it stays as it is: name another file, or none for the default"
_DAMAGED = "the store is damaged: delete it, or name another file, and the scores are asked for again"
_WRONG = "a kept score is damaged: run with --fresh (fresh=True), or delete the file, and it is asked for again"
_LOCKED = "another program is using this store: wait until it is done, or name another file"
_REMEDIES = {  # by SQLite's words for its failures
    "disk is full": "the disk is full: free some space and run the same again, which goes on from here",
    "readonly": "the store can't be written: change its permissions, or name another file",
    "unable to open": "name a file in a folder that may be written",
    "locked": _LOCKED,
    "busy": _LOCKED,
    "not a database": _FOREIGN,
    "malformed": _DAMAGED,
    "decode": _WRONG,
}


def score_key(*parts: str) -> bytes:
    """A digest of model, instruction, texts and whatever else a score depends on; the file holds no texts."""
    digest = blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")  # half a pair is asked about as U+FFFD, but kept apart
        digest.update(f"{len(data)} ".encode() + data)  # with its length: no two lists of parts can run together
    return digest.digest()


class ScoreStore:
    """A SQLite file of scores.

    Raises:
        InvalidInputError: the file can't be opened, is damaged or locked, or belongs to something else. Every
            method raises it too; the message names the file and the remedy.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        new = not path.exists()
        try:
            # Absolute, since SQLite gives names such as ":memory:" a meaning of their own.
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path.absolute(), timeout=_SLICE)
        except (sqlite3.Error, OSError) as error:
            raise self._refused("name a file that may be written", error) from None
        try:
            self._do(self._open)
        except BaseException:
            self._db.close()
            with suppress(OSError):
                if new and not path.stat().st_size:  # nothing is in it; another run may have begun it meanwhile
                    path.unlink()
            raise

    def __enter__(self) -> ScoreStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._db.close()

    def find(self, keys: Iterable[bytes]) -> dict[bytes, Score]:
        """The scores known for these keys.

        Raises: as the class; a row that no server can have given counts as damage.
        """
        wanted = list(keys)
        known: dict[bytes, Score] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            query = f"{_FIND} ({marks})"
            for key, *values in self._do(partial(self._read, query, part)):
                known[key] = self._score(values)
        return known

    def forget(self, keys: Iterable[bytes]) -> None:
        """These are unknown from now on. Raises: as the class."""
        rows = [(key,) for key in keys]
        self._do(lambda: self._write("DELETE FROM scores WHERE key = ?", rows))
        self._do(lambda: self._write("DELETE FROM chunks WHERE key = ?", rows))

    def add(self, scores: Mapping[bytes, Score]) -> None:
        """Keep these; they are on disk when this returns. Raises: as the class."""
        rows = [(key, one.p_yes, one.logit, one.truncated) for key, one in scores.items()]
        chunks = [(key, *one.chunk) for key, one in scores.items() if one.chunk is not None]
        if chunks:
            self._do(lambda: self._write("INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?)", chunks))
        self._do(lambda: self._write("INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?)", rows))

    def _read(self, query: str, part: Sequence[bytes]) -> list[tuple[Any, ...]]:
        return self._db.execute(query, part).fetchall()

    def _write(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        with self._db:
            self._db.executemany(statement, rows)

    def _open(self) -> None:
        """Make the table in a new file; refuse a file that is damaged or somebody else's."""
        [application] = self._db.execute("PRAGMA application_id").fetchone()
        names = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")}
        columns = tuple(row[1] for row in self._db.execute("PRAGMA table_info(scores)"))
        if application not in {0, _APPLICATION} or ((columns or names) and columns != _COLUMNS):
            raise self._refused(_FOREIGN)
        if not columns:
            with self._db:
                self._db.execute(_TABLE)
                self._db.execute(f"PRAGMA application_id = {_APPLICATION}")
        with self._db:
            self._db.execute(_CHUNKS)
        [[found]] = self._db.execute("PRAGMA quick_check(1)").fetchall()
        if found != "ok":
            raise self._refused(_DAMAGED)

    def _score(self, values: Sequence[object]) -> Score:
        """The row as a score."""
        p_yes, logit, truncated, *place = values
        usable = isinstance(p_yes, float) and 0 <= p_yes <= 1 and isinstance(logit, float) and not math.isnan(logit)
        if not usable or truncated not in (0, 1):
            raise self._refused(f"{_WRONG} (it holds {str(values)[:80]})")
        chunk = None if place[0] is None else Chunk(*place)  # type: ignore[arg-type]
        return Score(p_yes, logit, bool(truncated), chunk)  # type: ignore[arg-type]

    def _do(self, work: Callable[[], T]) -> T:
        """The work's result; SQLite's failures get our words, and a lock is waited for."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                return work()
            except sqlite3.Error as error:
                if not any(word in str(error) for word in _BUSY) or time.monotonic() > until:
                    raise self._refused(_remedy(error), error) from None

    def _refused(self, remedy: str, error: Exception | None = None) -> InvalidInputError:
        return InvalidInputError("scores", str(self.path), f"{remedy} ({error})" if error else remedy)


def _remedy(error: sqlite3.Error) -> str:
    unknown = "name a file on another disk" if isinstance(error, sqlite3.OperationalError) else _DAMAGED
    return next((remedy for words, remedy in _REMEDIES.items() if words in str(error)), unknown)
