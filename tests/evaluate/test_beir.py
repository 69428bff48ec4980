"""A BEIR folder, with a run or with BM25.

Tests of `evaluate/trec.py`.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from judged_data import write_lines

from qwen3_sglang import InvalidInputError
from qwen3_sglang.evaluate import load_dataset


def ids(folder: Path, run: Path | None = None, top_k: int = 100) -> dict[str, list[str]]:
    """Documents by query, as they would be reranked."""
    dataset = load_dataset(folder, run, top_k=top_k)
    return {query.id: [document.id for document in query.documents] for query in dataset.queries}


def test_reads_a_run(beir: Path) -> None:
    """Ordered by score, ties by rank; judged queries only, also those the run hasn't; title and text joined."""
    dataset = load_dataset(beir, beir / "run.trec")
    assert ids(beir, beir / "run.trec") == {"q1": ["d2", "d1", "d3"], "q2": []}
    assert [document.text for document in dataset.queries[0].documents] == [
        "Dogs bark p=0.2",
        "Cats purr p=0.9",
        "Fish swim p=0.5",
    ]
    assert dict(dataset.queries[0].grades) == {"d1": 2, "d2": 0}
    assert (dataset.name, dataset.first_stage) == ("tiny (test)", "run.trec")


def test_top_k_cuts_the_run(beir: Path) -> None:
    """As many as asked for."""
    assert ids(beir, beir / "run.trec", top_k=2)["q1"] == ["d2", "d1"]


def test_bm25_where_no_run_is_given(beir: Path) -> None:
    """Words in common come first; a document without any isn't found."""
    assert ids(beir) == {"q1": ["d1"], "q2": ["d3"]}
    write_lines(beir / "queries.jsonl", [{"_id": "q1", "text": "fish p purr"}, {"_id": "q2", "text": "fish"}])
    assert ids(beir)["q1"][0] in {"d1", "d3"}
    assert sorted(ids(beir)["q1"]) == ["d1", "d2", "d3"]
    assert len(ids(beir, top_k=1)["q1"]) == 1


def test_most_queries_without_a_hit_are_a_warning(beir: Path) -> None:
    """The figures would be about the first stage; a run is told in the same words."""
    write_lines(beir / "qrels" / "test.tsv", ["q1\td1\t2", "q2\td3\t1", "q3\td1\t1"])
    write_lines(
        beir / "queries.jsonl", [{"_id": f"q{n}", "text": text} for n, text in ((1, "purr"), (2, "x"), (3, "y"))]
    )
    [note] = load_dataset(beir).notes
    assert "most queries match nothing: BM25 found no document for 2 of 3" in note
    assert "--run" in note
    assert load_dataset(beir, top_k=1).notes == (note,)
    write_lines(beir / "run.trec", ["q1 Q0 d1 1 1 x"])
    assert "run.trec found no document for 2 of 3" in load_dataset(beir, beir / "run.trec").notes[0]


def test_relevant_documents_that_the_corpus_lacks_are_a_warning(beir: Path) -> None:
    """No reranker can bring them back; with a run, the whole corpus counts, not only what the run names."""
    write_lines(beir / "qrels" / "test.tsv", ["q1\td1\t1", "q1\tgone\t1", "q1\tlost\t0", "q2\td3\t1"])
    for run in (None, beir / "run.trec"):
        notes = " ".join(load_dataset(beir, run).notes)
        assert "1 of 3 relevant documents aren't in corpus.jsonl (gone is the first)" in notes


def test_a_blank_query_costs_itself(beir: Path) -> None:
    """Named, and in no figure."""
    write_lines(beir / "queries.jsonl", [{"_id": "q1", "text": "cats"}, {"_id": "q2", "text": " "}])
    dataset = load_dataset(beir)
    assert [query.id for query in dataset.queries] == ["q1"]
    assert [one.id for one in dataset.skipped] == ["q2"]


def test_integer_ids_compressed_files_and_other_endings(beir: Path) -> None:
    """Ids are text or integers; each file may be gzip, with a byte order mark and Windows' line ends."""
    rows = [{"_id": 1, "title": "", "text": "Cats purr."}, {"id": "2", "text": "Fish swim."}]
    write_lines(beir / "corpus.jsonl", rows)
    write_lines(beir / "queries.jsonl", [{"_id": 10, "text": "cats"}])
    (beir / "qrels" / "test.tsv").unlink()
    write_lines(beir / "qrels" / "test.qrels", ["10 0 1 1\r"])
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.qrels"):
        packed = gzip.compress(b"\xef\xbb\xbf" + (beir / name).read_bytes())
        (beir / name).unlink()
        (beir / f"{name}.gz").write_bytes(packed)
    assert ids(beir) == {"10": ["1"]}
    write_lines(beir / "qrels" / "test.tsv", ["10\t1\t1"])
    with pytest.raises(InvalidInputError, match="--qrels"):
        load_dataset(beir)


def test_judgements_from_elsewhere(beir: Path, tmp_path: Path) -> None:
    """As TREC keeps them, beside no folder."""
    qrels = write_lines(tmp_path / "topics.qrels", ["q1 0 d1 1", "q2\t0\td3\t1.0", "q2  0   d2  -2"])
    dataset = load_dataset(beir, qrels=qrels)
    assert [dict(query.grades) for query in dataset.queries] == [{"d1": 1}, {"d3": 1, "d2": -2}]
    assert dataset.name == "tiny (topics)"


def test_what_only_jsonl_has_is_refused(beir: Path) -> None:
    """An option that would be ignored is an error."""
    with pytest.raises(InvalidInputError, match=r"relevant='labels'.*only a JSONL file"):
        load_dataset(beir, relevant="labels")


def test_a_query_that_is_a_document_is_no_answer(beir: Path) -> None:
    """Same id and same text, as in ArguAna; the same id alone means nothing."""
    corpus = [{"_id": "q1", "text": "cats purr"}, {"_id": "q2", "text": "else"}, {"_id": "d1", "text": "cats purr"}]
    write_lines(beir / "corpus.jsonl", corpus)
    write_lines(beir / "run.trec", ["q1 Q0 q1 1 3 x", "q1 Q0 d1 2 2 x", "q2 Q0 q2 1 1 x"])
    assert ids(beir, beir / "run.trec") == {"q1": ["d1"], "q2": ["q2"]}
    assert ids(beir, top_k=1)["q1"] == ["d1"]


@pytest.mark.parametrize(
    ("name", "lines", "said"),
    [
        ("run.trec", ["q1 Q0 d1 1"], "run.trec line 1.*6 columns"),
        ("run.trec", ["q1 Q0 d1 1 1 x", "q1 Q0 d2 first 1 x"], "run.trec line 2.*6 columns"),
        ("run.trec", ["q1 Q0 d1 1 2 x", "q1 Q0 d1 2 1 x"], "run.trec line 2='d1'.*twice"),
        ("run.trec", ["zz Q0 d1 1 1 x"], "query id='zz'.*queries.jsonl"),
        ("run.trec", ["q1 Q0 zz 1 1 x"], "document id='zz'.*corpus.jsonl"),
        ("run.trec", [""], "run=.*no line"),
        ("run.trec", ["q1 Q0 d2 1 1 x"], "the first stage found no relevant document"),
        ("qrels/test.tsv", ["query-id\tcorpus-id\tscore"], "qrels=.*no judgement"),
        ("qrels/test.tsv", ["q1\td1"], "test.tsv line 1.*tabs"),
        ("qrels/test.tsv", ["query1\td1\t1"], "query id='query1'"),
        ("qrels/test.tsv", ["q1\td1\tx"], "test.tsv line 1, grade of d1='x'.*whole number"),
        ("qrels/test.tsv", ["corpus-id\tquery-id\tscore"], "test.tsv line 1, grade of query-id='score'"),
        ("qrels/test.tsv", ["q1\td1\t1", "query-id\tcorpus-id\tscore"], "test.tsv line 2, grade of corpus-id"),
        ("qrels/test.tsv", ["q1\td1\t2", "q1\td1\t0"], "test.tsv line 2, grade of d1=0: test.tsv line 1 judged it 2"),
        ("qrels/test.tsv", ["q1\td1\t1000000000000"], "test.tsv line 1, grade of d1=.*at most 1,000"),
        ("qrels/test.tsv", ["q1\td1\tnan"], "test.tsv line 1, grade of d1='nan'"),
        ("qrels/test.tsv", ["q1\td1\t1e3"], "test.tsv line 1, grade of d1='1e3'"),
        ("qrels/test.tsv", ["q1\td1\t0.5"], "test.tsv line 1, grade of d1='0.5'"),
        ("qrels/test.tsv", ["q1\td1\t\u0661"], "test.tsv line 1, grade of d1="),
        ("qrels/test.tsv", ["q1\td1\t1", "q1 0 d2 1"], "test.tsv line 2.*4 columns, but 3 in test.tsv line 1"),
        ("qrels/test.tsv", ["q1\t\t1"], "test.tsv line 1.*tabs"),
        ("run.trec", ["q1 Q0 d1 1 nan x"], "run.trec line 1.*finite"),
        ("run.trec", ["q1 Q0 d1 1 1e999 x"], "run.trec line 1.*finite"),
        ("run.trec", ["q1 Q0 d1 inf 1 x"], "run.trec line 1.*finite"),
        ("run.trec", ["q1 Q0 d1 1 1_0 x"], "run.trec line 1.*finite"),
        ("run.trec", ["q1 Q0 d1 1 " + "9" * 5000 + " x"], "run.trec line 1.*finite"),
        ("corpus.jsonl", ['{"_id": 1.5, "text": "a"}'], "corpus.jsonl line 1=1.5.*whole number"),
        ("corpus.jsonl", ['{"_id": true, "text": "a"}'], "corpus.jsonl line 1=True.*whole number"),
        ("corpus.jsonl", ['{"_id": "1", "text": "a"}', '{"_id": 1, "text": "b"}'], "corpus.jsonl line 2='1'.*used"),
        ("corpus.jsonl", ['{"pid": "1", "body": "a"}'], 'corpus.jsonl line 1.*found "pid", "body"'),
        ("qrels/test.tsv", ["q1\td1\t1", "q1 d2 0"], "test.tsv line 2.*tabs"),
        ("qrels/test.tsv", ["zz\td1\t1"], "query id='zz'.*queries.jsonl"),
        ("qrels/test.tsv", ["q1\td1\t0"], "no document is marked relevant"),
        ("queries.jsonl", ['{"_id": "q1"}'], 'queries.jsonl line 1.*"text"'),
        ("queries.jsonl", ['{"text": "q"}'], 'queries.jsonl line 1.*"_id"'),
        ("corpus.jsonl", ['{"_id": "d1"}'], 'corpus.jsonl line 1.*"text"'),
        ("corpus.jsonl", ['{"_id": "d1", "text": "a"}'] * 2, "corpus.jsonl line 2='d1'.*used before"),
        ("corpus.jsonl", ["{"], "corpus.jsonl line 1.*JSON"),
    ],
)
def test_bad_files_are_named(beir: Path, name: str, lines: list[str], said: str) -> None:
    """File, line, value, remedy."""
    write_lines(beir / name, lines)
    with pytest.raises(InvalidInputError, match=said):
        load_dataset(beir, beir / "run.trec")


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "run.trec"])
def test_missing_files_are_named(beir: Path, name: str) -> None:
    """Which one."""
    (beir / name).unlink()
    with pytest.raises(InvalidInputError, match=name):
        load_dataset(beir, beir / "run.trec")


def test_splits(beir: Path) -> None:
    """test unless another is named; without test and without a name, the choice is the user's."""
    write_lines(beir / "qrels" / "dev.tsv", ["q2\td3\t1"])
    assert len(load_dataset(beir).queries) == 2
    assert len(load_dataset(beir, split="dev").queries) == 1
    with pytest.raises(InvalidInputError, match="split='train': pass one of dev, test"):
        load_dataset(beir, split="train")
    (beir / "qrels" / "test.tsv").rename(beir / "qrels" / "train.tsv")
    with pytest.raises(InvalidInputError, match="pass one of dev, train"):
        load_dataset(beir)
    (beir / "qrels" / "train.tsv").unlink()
    assert len(load_dataset(beir).queries) == 1
    (beir / "qrels" / "dev.tsv").unlink()
    with pytest.raises(InvalidInputError, match=r"qrels/\*\.tsv"):
        load_dataset(beir)


def test_top_k_below_one_is_refused(beir: Path) -> None:
    """Nothing would be reranked."""
    with pytest.raises(InvalidInputError, match="top_k=0"):
        load_dataset(beir, top_k=0)
