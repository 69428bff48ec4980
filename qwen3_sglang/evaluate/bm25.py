"""A first stage made on the spot, where the data have none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from qwen3_sglang.errors import InvalidInputError, MissingDependencyError
from qwen3_sglang.evaluate.tokens import has_unspaced, how, tokens


class Index:
    """BM25 (Lucene's variant) over texts.

    Raises:
        MissingDependencyError: bm25s isn't installed.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        try:
            import bm25s  # noqa: PLC0415 - needed only where the data have no first stage
        except ModuleNotFoundError as missing:
            raise MissingDependencyError(missing.name or "bm25s", "evaluate") from None
        vocabulary: dict[str, int] = {}
        ids = [[vocabulary.setdefault(one, len(vocabulary)) for one in tokens(text)] for text in texts]
        self._known = vocabulary.keys()
        self._index: Any = None
        if vocabulary:
            self._index = bm25s.BM25()
            self._index.index(bm25s.tokenization.Tokenized(ids=ids, vocab=dict(vocabulary)), show_progress=False)

    def scores(self, query: str) -> Any:
        """An array with each text's score; above 0 where it shares a word with the query. None: no word is known."""
        known = [one for one in tokens(query) if one in self._known]
        return self._index.get_scores(known) if known else None

    def best(self, query: str, depth: int) -> list[int]:
        """Places of the texts that share a word with the query, best first, at most `depth`."""
        import numpy as np  # noqa: PLC0415 - bm25s brings it

        scores = self.scores(query)
        if scores is None:
            return []
        hits = np.flatnonzero(scores > 0)
        if len(hits) > depth:
            hits = np.sort(hits[np.argpartition(-scores[hits], depth - 1)[:depth]])
        return [int(place) for place in hits[np.argsort(-scores[hits], kind="stable")]]


def search(corpus: Mapping[str, str], queries: Mapping[str, str], depth: int) -> dict[str, list[str]]:
    """The ids of the top `depth` documents of each query, best first; a document without a hit isn't found.

    Raises:
        InvalidInputError: an empty corpus.
        MissingDependencyError: bm25s isn't installed.
    """
    if not corpus:
        raise InvalidInputError("corpus.jsonl", 0, "holds no document")
    names, index = list(corpus), Index(corpus.values())
    return {query: [names[place] for place in index.best(text, depth)] for query, text in queries.items()}


def order(rows: Sequence[tuple[str, Sequence[str]]]) -> list[list[int]]:
    """For each (query, its documents) the documents' places, best first; word statistics are of all rows.

    Documents without a hit come last, in an order that says nothing of the one they were given in.

    Raises:
        MissingDependencyError: bm25s isn't installed.
    """
    texts = list(dict.fromkeys(text for _, documents in rows for text in documents))
    places = {text: place for place, text in enumerate(texts)}
    index = Index(texts)
    orders = []
    for query, documents in rows:
        scores = index.scores(query)
        own = [0.0 if scores is None else float(scores[places[text]]) for text in documents]
        keys = [(-score, _mixed(query, text)) for score, text in zip(own, documents, strict=True)]
        orders.append(sorted(range(len(documents)), key=keys.__getitem__))
    return orders


def name_of(texts: Iterable[str]) -> str:
    """What a report calls this first stage."""
    return f"BM25, {how()} where words aren't spaced" if any(map(has_unspaced, texts)) else "BM25"


def _mixed(query: str, text: str) -> bytes:
    return blake2b(f"{query}\0{text}".encode("utf-8", "replace"), digest_size=8).digest()
