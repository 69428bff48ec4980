"""A BEIR folder, with a run or with BM25."""

from __future__ import annotations

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
    """Words in common come first."""
    found = ids(beir)
    assert (found["q1"][0], found["q2"][0]) == ("d1", "d3")
    assert sorted(found["q1"]) == ["d1", "d2", "d3"]
    assert len(ids(beir, top_k=1)["q1"]) == 1


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
