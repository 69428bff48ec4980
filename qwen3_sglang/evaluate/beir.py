"""A BEIR folder -> Dataset: corpus.jsonl, queries.jsonl, qrels/*.tsv, and a run to rerank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.evaluate.bm25 import search
from qwen3_sglang.evaluate.dataset import Dataset, Document, Query, make_dataset
from qwen3_sglang.evaluate.lines import lines, rows, text_of

Qrels = dict[str, dict[str, int]]
Run = dict[str, list[str]]
_QRELS_COLUMNS, _RUN_COLUMNS = 3, 6


def read_beir(folder: Path, run: Path | None = None, *, split: str | None = None, depth: int = 100) -> Dataset:
    """The judged queries with the top `depth` documents of `run`, or of BM25 where no run is given.

    A document's text is its title and text, as BEIR joins them. Judged queries without a document in the run
    stay, and count 0.

    Args:
        folder: with corpus.jsonl, queries.jsonl and qrels/*.tsv.
        run: the first stage's result in TREC format: query, Q0, document, rank, score, name.
        split: which qrels/*.tsv; None: test, or the only one.
        depth: documents a query.

    Raises:
        InvalidInputError: an unusable file or line (the message has its number), ids that don't match, or
            nothing to measure.
        MissingDependencyError: no run is given and bm25s isn't installed.
    """
    if depth < 1:
        raise InvalidInputError("top_k", depth, "pass an integer of at least 1")
    qrels_file = _qrels_file(folder / "qrels", split)
    qrels = read_qrels(qrels_file)
    texts = _queries(folder / "queries.jsonl")
    _check_known("query", qrels, texts, f"{qrels_file.name} names a query that queries.jsonl hasn't")
    judged = {name: texts[name] for name in qrels}
    found = None if run is None else read_run(run)
    if found is not None:
        _check_known("query", found, texts, f"{run.name if run else ''} names a query that queries.jsonl hasn't")
        found = {name: documents[: depth + 1] for name, documents in found.items() if name in judged}
        wanted = {name for documents in found.values() for name in documents}
    corpus = _corpus(folder / "corpus.jsonl", None if found is None else wanted)
    if found is None:
        found = search(corpus, judged, depth + 1)
    else:
        _check_known("document", wanted, corpus, "the run names a document that corpus.jsonl hasn't")
    first_stage = "BM25" if run is None else run.name
    queries = [
        Query(name, text, _documents(name, text, found.get(name, []), corpus)[:depth], qrels[name])
        for name, text in judged.items()
    ]
    return make_dataset(f"{folder.resolve().name} ({qrels_file.stem})", first_stage, queries)


def _documents(query: str, text: str, found: Sequence[str], corpus: Mapping[str, str]) -> tuple[Document, ...]:
    # Where queries are documents of the corpus (ArguAna), the query itself isn't an answer.
    return tuple(Document(one, corpus[one]) for one in found if not (one == query and corpus[one].endswith(text)))


def read_qrels(path: Path) -> Qrels:
    """Grades by query and document.

    Raises:
        InvalidInputError: an unusable file or line, or no judgement at all.
    """
    qrels: Qrels = {}
    for number, (where, line) in enumerate(lines(path)):
        columns = line.split("\t")
        if number == 0 and columns[0].startswith("query"):
            continue  # BEIR's header
        if len(columns) != _QRELS_COLUMNS or not _is_integer(columns[2]):
            raise InvalidInputError(where, line, "write query id, document id and a whole number, tabs between")
        qrels.setdefault(columns[0], {})[columns[1]] = int(columns[2])
    if not qrels:
        raise InvalidInputError("qrels", str(path), "holds no judgement; name another with --split")
    return qrels


def read_run(path: Path) -> Run:
    """Documents by query, best first: by score, ties by rank.

    Raises:
        InvalidInputError: an unusable file or line, a document twice for a query, or an empty run.
    """
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for where, line in lines(path):
        columns = line.split()
        try:
            query, _, document, rank, score, _ = columns
            place = (-float(score), float(rank))
        except ValueError:
            remedy = f"write {_RUN_COLUMNS} columns: query id, Q0, document id, rank, score, name"
            raise InvalidInputError(where, line, remedy) from None
        if document in found.setdefault(query, {}):
            raise InvalidInputError(where, document, f"query {query} has this document twice; leave one out")
        found[query][document] = place
    if not found:
        raise InvalidInputError("run", str(path), "holds no line; name the right file")
    return {query: sorted(places, key=places.__getitem__) for query, places in found.items()}


def _qrels_file(folder: Path, split: str | None) -> Path:
    files = {path.stem: path for path in sorted(folder.glob("*.tsv"))}
    if not files:
        raise InvalidInputError("data", str(folder), "a BEIR folder has qrels/*.tsv beside corpus.jsonl; there is none")
    if split is None and len(files) == 1:
        return next(iter(files.values()))
    name = split or "test"
    if name not in files:
        raise InvalidInputError("split", split, f"pass one of {', '.join(files)}")
    return files[name]


def _queries(path: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    for where, row in rows(path):
        texts[_new_id(where, row, texts)] = text_of(where, row, "text")
    return texts


def _corpus(path: Path, wanted: set[str] | None) -> dict[str, str]:
    """Texts by id; only those in `wanted`, so that a large corpus needn't fit into memory."""
    texts: dict[str, str] = {}
    for where, row in rows(path):
        name = _new_id(where, row, texts)
        if wanted is None or name in wanted:
            title, text = row.get("title") or "", row.get("text")
            if not isinstance(text, str) or not isinstance(title, str):
                raise InvalidInputError(where, row, 'give "text" (and "title", if any) a string')
            texts[name] = f"{title} {text}".strip()
    return texts


def _new_id(where: str, row: Mapping[str, object], known: Mapping[str, str]) -> str:
    name = row.get("_id")
    if not isinstance(name, str) or not name:
        raise InvalidInputError(where, row, 'give "_id" a string')
    if name in known:
        raise InvalidInputError(where, name, 'this "_id" was used before; give each its own')
    return name


def _check_known(kind: str, names: Mapping[str, object] | set[str], known: Mapping[str, str], problem: str) -> None:
    unknown = sorted(set(names) - known.keys())
    if unknown:
        remedy = f"{problem} ({len(unknown)} in all); use files of the same data set"
        raise InvalidInputError(f"{kind} id", unknown[0], remedy)


def _is_integer(text: str) -> bool:
    return text.strip().removeprefix("-").isdecimal()
