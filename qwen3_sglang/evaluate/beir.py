"""A folder of corpus, queries and judgements, as BEIR and TREC keep them -> Dataset; and a run to rerank."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.evaluate.bm25 import name_of, search
from qwen3_sglang.evaluate.dataset import Dataset, Document, Query, make_dataset
from qwen3_sglang.evaluate.lines import id_of, keys_of, one_of, rows, some, text_of
from qwen3_sglang.evaluate.trec import Run, read_qrels, read_run

DEPTH = 100
_ID = ("_id", "id")
_SUFFIXES = {".tsv", ".qrels", ".qrel", ".trec", ".txt"}


@dataclass(frozen=True, slots=True)
class Source:
    """Which files to read, and how deep.

    Attributes:
        folder: with corpus.jsonl, queries.jsonl, and qrels/ unless `qrels` is given; any of them may be gzip.
        run: the first stage's result in TREC format: query, Q0, document, rank, score, name; None: BM25.
        split: which file of qrels/; None: test, or the only one.
        qrels: the judgements, wherever they are.
        depth: documents per query.
    """

    folder: Path
    run: Path | None = None
    split: str | None = None
    qrels: Path | None = None
    depth: int = DEPTH


@dataclass(frozen=True, slots=True)
class Corpus:
    """The documents' ids, and the texts of those that are asked about."""

    ids: set[str]
    texts: dict[str, str]


def read_beir(source: Source) -> Dataset:
    """The judged queries with the top `depth` documents of the run, or of BM25 where no run is given.

    A document's text is its title and text, as BEIR joins them. Judged queries without a document in the run
    stay, and count 0.

    Raises:
        InvalidInputError: an unusable file or line (the message has its number), ids that don't match, or
            nothing to measure.
        MissingDependencyError: no run is given and bm25s isn't installed.
    """
    if source.depth < 1:
        raise InvalidInputError("top_k", source.depth, "pass an integer of at least 1")
    file = source.qrels or _qrels_file(source.folder / "qrels", source.split)
    qrels, texts = read_qrels(file), _queries(_there(source.folder / "queries.jsonl"))
    _check_known("query", qrels, texts, f"{file.name} names a query that queries.jsonl hasn't")
    judged = {name: texts[name] for name in qrels}
    found, corpus, first_stage = _first_stage(source, judged, texts)
    queries = [
        Query(name, text, _documents(name, text, found.get(name, []), corpus.texts)[: source.depth], qrels[name])
        for name, text in judged.items()
    ]
    where = source.folder.resolve().name
    notes = list(_notes(queries, corpus, "BM25" if source.run is None else source.run.name))
    return make_dataset(f"{where} ({_stem(file)})", first_stage, queries, notes, file=str(source.folder))


def _first_stage(source: Source, judged: Mapping[str, str], texts: Mapping[str, str]) -> tuple[Run, Corpus, str]:
    """Documents by query, the corpus, and what to call where they come from."""
    path = _there(source.folder / "corpus.jsonl")
    if source.run is None:
        corpus = _corpus(path, None)
        asked = {name: text for name, text in judged.items() if text.strip()}
        # One more than is asked for: the query itself may be among them.
        return search(corpus.texts, asked, source.depth + 1), corpus, name_of(asked.values())
    run = read_run(source.run)
    _check_known("query", run, texts, f"{source.run.name} names a query that queries.jsonl hasn't")
    run = {name: documents[: source.depth + 1] for name, documents in run.items() if name in judged}
    wanted = {name for documents in run.values() for name in documents}
    corpus = _corpus(path, wanted)
    _check_known("document", wanted, corpus.texts, "the run names a document that corpus.jsonl hasn't")
    return run, corpus, source.run.name


def _documents(query: str, text: str, found: Sequence[str], corpus: Mapping[str, str]) -> tuple[Document, ...]:
    # Where queries are documents of the corpus (ArguAna), the query itself isn't an answer.
    return tuple(Document(one, corpus[one]) for one in found if not (one == query and corpus[one].endswith(text)))


def _notes(queries: Sequence[Query], corpus: Corpus, stage: str) -> Iterator[str]:
    """Warnings where figures would be about the files or the first stage, not about the reranker."""
    asked = [query for query in queries if query.text.strip()]
    empty = sum(not query.documents for query in asked)
    if 2 * empty > len(asked):
        yield (
            f"most queries match nothing: {stage} found no document for {empty} of {len(asked)}, so these figures say "
            "little about the reranker; are both in one language? Else pass your retriever's run (--run)"
        )
    relevant = [name for query in queries for name, grade in query.grades.items() if grade > 0]
    unknown = [name for name in relevant if name not in corpus.ids]
    if unknown:
        yield (
            f"{len(unknown)} of {len(relevant)} relevant documents aren't in corpus.jsonl ({unknown[0]} is the first); "
            "they count as not found"
        )


def _qrels_file(folder: Path, split: str | None) -> Path:
    files: dict[str, Path] = {}
    for path in sorted(folder.glob("*")):
        if path.is_file() and Path(path.name.removesuffix(".gz")).suffix in _SUFFIXES and path.name[0] != ".":
            if _stem(path) in files:
                remedy = f"{files[_stem(path)].name} has the same name; pass the one that you mean by --qrels"
                raise InvalidInputError("split", path.name, remedy)
            files[_stem(path)] = path
    if not files:
        beside = sorted(one.name for one in folder.parent.iterdir())
        remedy = (
            "a BEIR folder has qrels/*.tsv beside corpus.jsonl, and here is none; name your file by --qrels, a table "
            f"with tabs or TREC's; found {some(beside)}"
        )
        raise InvalidInputError("data", str(folder), remedy)
    if split is None and len(files) == 1:
        return next(iter(files.values()))
    name = split or "test"
    if name not in files:
        raise InvalidInputError("split", split, f"pass one of {', '.join(files)}")
    return files[name]


def _stem(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).stem


def _there(path: Path) -> Path:
    """The file, or its compressed form."""
    packed = path.with_name(f"{path.name}.gz")
    there = next((one for one in (path, packed) if one.is_file()), None)
    if there is None:
        found = sorted(one.name for one in path.parent.iterdir()) if path.parent.is_dir() else []
        remedy = f"a BEIR folder has corpus.jsonl and queries.jsonl (CSV and Parquet aren't read); found {some(found)}"
        raise InvalidInputError("data", str(path), remedy)
    return there


def _queries(path: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    for where, row in rows(path):
        texts[_new_id(where, row, texts)] = text_of(where, row, "text")
    return texts


def _corpus(path: Path, wanted: set[str] | None) -> Corpus:
    """All ids, and the texts of those in `wanted`, so that a large corpus needn't fit into memory; None: of all."""
    texts: dict[str, str] = {}
    ids: set[str] = set()
    for where, row in rows(path):
        name = _new_id(where, row, ids)
        ids.add(name)
        if wanted is None or name in wanted:
            title, text = row.get("title") or "", row.get("text")
            if not isinstance(text, str) or not isinstance(title, str):
                raise InvalidInputError(where, row, f'give "text" (and "title", if any) a string; found {keys_of(row)}')
            texts[name] = f"{title} {text}".strip()
    return Corpus(ids, texts)


def _new_id(where: str, row: dict[str, Any], known: Collection[str]) -> str:
    key = one_of(where, row, _ID)
    if key is None:
        raise InvalidInputError(where, row, f'give "_id" a text or a whole number; found {keys_of(row)}')
    name = id_of(where, key, row[key])
    if name in known:
        raise InvalidInputError(where, name, 'this "_id" was used before; give each its own')
    return name


def _check_known(kind: str, names: Mapping[str, object] | set[str], known: Mapping[str, str], problem: str) -> None:
    unknown = sorted(set(names) - known.keys())
    if unknown:
        remedy = f"{problem} ({len(unknown)} in all); use files of the same data set"
        raise InvalidInputError(f"{kind} id", unknown[0], remedy)
