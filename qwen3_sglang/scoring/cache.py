"""Scores already known: the least recently used go first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from hashlib import blake2b

from qwen3_sglang.ranking import Outcome, Score


class ScoreCache:
    """At most `size` scores, by model, the prompts' head (instruction and query) and document.

    Keys are digests, so that it holds no texts. Safe from several threads.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._scores: OrderedDict[bytes, Score] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, model: str, head: str, documents: Iterable[str]) -> dict[str, Score]:
        """What is known of these documents."""
        keys = _keys(model, head, documents)
        known: dict[str, Score] = {}
        with self._lock:
            for document, key in keys.items():
                if key in self._scores:
                    self._scores.move_to_end(key)
                    known[document] = self._scores[key]
        return known

    def add(self, model: str, head: str, outcomes: Mapping[str, Outcome]) -> None:
        """Remember the scores among these, by document, and forget the least recently used beyond `size`."""
        keys = _keys(model, head, outcomes)
        with self._lock:
            for document, score in outcomes.items():
                if isinstance(score, Score):
                    self._scores[keys[document]] = score
                    self._scores.move_to_end(keys[document])
            while len(self._scores) > self._size:
                self._scores.popitem(last=False)


def _keys(model: str, head: str, documents: Iterable[str]) -> dict[str, bytes]:
    # The prompt, wherever its head ends: a query's documents and the pairs of several queries share what is known.
    # The length in front: no model's name can run into a prompt.
    shared = blake2b(f"{len(model)} {model}{head}".encode(), digest_size=16)
    keys = {}
    for document in documents:
        one = shared.copy()
        one.update(document.encode())
        keys[document] = one.digest()
    return keys
