"""Scores on disk, so that a run that broke off goes on where it stopped."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from types import TracebackType

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.ranking import Score

_TABLE = """
CREATE TABLE IF NOT EXISTS scores (
    key BLOB PRIMARY KEY, p_yes REAL NOT NULL, logit REAL NOT NULL, truncated INTEGER NOT NULL
) WITHOUT ROWID
"""
_AT_ONCE = 500  # SQLite's older builds take 999 variables a statement


def score_key(*parts: str) -> bytes:
    """A digest of model, instruction, texts and whatever else a score depends on; the file holds no texts."""
    digest = blake2b(digest_size=16)
    for part in parts:
        data = part.encode()
        digest.update(f"{len(data)} ".encode() + data)  # with its length: no two lists of parts can run together
    return digest.digest()


class ScoreStore:
    """A SQLite file of scores.

    Raises:
        InvalidInputError: the file can't be opened, or is something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path)
            with self._db:
                self._db.execute(_TABLE)
        except (sqlite3.Error, OSError) as error:
            remedy = f"name a file that may be written and is ours, or leave the option out ({error})"
            raise InvalidInputError("scores", str(path), remedy) from None

    def __enter__(self) -> ScoreStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._db.close()

    def find(self, keys: Iterable[bytes]) -> dict[bytes, Score]:
        """What is known of these keys."""
        wanted = list(keys)
        known: dict[bytes, Score] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            query = f"SELECT key, p_yes, logit, truncated FROM scores WHERE key IN ({marks})"  # noqa: S608 - marks only
            for key, p_yes, logit, truncated in self._db.execute(query, part):
                known[key] = Score(p_yes, logit, bool(truncated))
        return known

    def forget(self, keys: Iterable[bytes]) -> None:
        """These are unknown from now on."""
        with self._db:
            self._db.executemany("DELETE FROM scores WHERE key = ?", [(key,) for key in keys])

    def add(self, scores: Mapping[bytes, Score]) -> None:
        """Keep these; they are on disk when this returns."""
        rows: Sequence[tuple[bytes, float, float, bool]] = [(key, *score) for key, score in scores.items()]
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?)", rows)
