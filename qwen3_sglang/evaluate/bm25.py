"""A first stage made on the spot, where no run is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qwen3_sglang.errors import InvalidInputError, MissingDependencyError


def search(corpus: Mapping[str, str], queries: Mapping[str, str], depth: int) -> dict[str, list[str]]:
    """The ids of the top `depth` documents of each query, best first, by BM25 with English stop words.

    Raises:
        InvalidInputError: an empty corpus.
        MissingDependencyError: bm25s isn't installed.
    """
    try:
        import bm25s  # noqa: PLC0415 - needed only where no run is given
    except ModuleNotFoundError as missing:
        raise MissingDependencyError(missing.name or "bm25s", "evaluate") from None

    def tokens(texts: list[str]) -> Any:
        return bm25s.tokenize(texts, stopwords="en", show_progress=False)

    if not corpus:
        raise InvalidInputError("corpus.jsonl", 0, "holds no document")
    names = list(corpus)
    index = bm25s.BM25()
    index.index(tokens(list(corpus.values())), show_progress=False)
    found, _ = index.retrieve(tokens(list(queries.values())), k=min(depth, len(names)), show_progress=False)
    return {query: [names[row] for row in rows] for query, rows in zip(queries, found, strict=True)}
