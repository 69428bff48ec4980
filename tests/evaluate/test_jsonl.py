"""Judged queries in one file: each layout, what it means, and what is refused.

Tests of `evaluate/dataset.py`, `evaluate/documents.py`, `evaluate/grades.py`, `evaluate/lines.py`,
`evaluate/readings.py`.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from judged_data import ROWS, write_lines

from qwen3_sglang import InvalidInputError
from qwen3_sglang.evaluate import load_dataset
from qwen3_sglang.evaluate.dataset import Dataset

GOOD = ROWS[0]
FOUR = ["Gravity pulls.", "The capital is Beijing.", "Tea is a drink.", "A cat sleeps."]
BEIJING = [0, 1, 0, 0]


def read(tmp_path: Path, *rows: Any, relevant: str | None = None) -> Dataset:
    return load_dataset(write_lines(tmp_path / "data.jsonl", rows), relevant=relevant)


def row(relevant: object, documents: list[Any] | None = None, **more: object) -> dict[str, Any]:
    """A line, whose query is its own as its judgement is."""
    return {"query": f"{relevant}?", "documents": documents or FOUR, "relevant": relevant} | more


def grades(dataset: Dataset) -> list[list[int]]:
    """Of each query's documents, in their order."""
    return [[query.grade(document) for document in query.documents] for query in dataset.queries]


def test_reads_lists_and_grades(data: Path) -> None:
    """Documents by their index, grades as given, blank lines and a byte order mark skipped."""
    data.write_text("\ufeff\n" + data.read_text(), encoding="utf-8")
    dataset = load_dataset(data)
    assert [query.id for query in dataset.queries] == ["a", "b", "c"]
    assert grades(dataset) == [[0, 1, 0], [0, 2, 1], [0, 0]]
    assert [document.text for document in dataset.queries[1].documents] == ROWS[1]["documents"]
    assert [query.judged for query in dataset.queries] == [True, True, False]


def test_windows_lines_and_gzip(data: Path, tmp_path: Path) -> None:
    """Both at once; the name needn't say that it is compressed."""
    packed = tmp_path / "packed.jsonl"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + data.read_bytes().replace(b"\n", b"\r\n")))
    assert load_dataset(packed).queries == load_dataset(data).queries
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(InvalidInputError, match=r"packed\.jsonl.*readable"):
        load_dataset(packed)


def test_a_json_array_is_read_too(tmp_path: Path, data: Path) -> None:
    """As other tools write it, over several lines; a bad item is named by its number."""
    path = tmp_path / "array.json"
    path.write_text(json.dumps(ROWS, indent=2), encoding="utf-8")
    assert load_dataset(path).queries == load_dataset(data).queries
    path.write_text(json.dumps([GOOD, 1]), encoding="utf-8")
    with pytest.raises(InvalidInputError, match=r"array\.json item 2=1"):
        load_dataset(path)
    path.write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(InvalidInputError, match=r"array\.json=.*JSON array"):
        load_dataset(path)


def test_an_id_is_optional(tmp_path: Path) -> None:
    """The line's number stands in."""
    rows = [{key: value for key, value in GOOD.items() if key != "id"}] * 2
    assert [query.id for query in read(tmp_path, *rows).queries] == ["1", "2"]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row([1])], [BEIJING]),
        ([row(BEIJING), row([1, 0, 0, 0])], [BEIJING, [1, 0, 0, 0]]),
        ([row([False, True, False, False])], [BEIJING]),
        ([row([0.0, 1.0, 0.0, 0.0])], [BEIJING]),
        ([row([0, 3, 1, 1])], [[0, 3, 1, 1]]),
        ([row([1, 0], ["a", "b"]), row(BEIJING)], [[1, 0], BEIJING]),
        ([row([1, 0], ["a", "b"]), row([1])], [[1, 1], BEIJING]),
        ([row([0, 1], ["a", "b"]), row([], ["a", "b"])], [[1, 1], [0, 0]]),
        ([row([0, 1, 2], ["a", "b", "c"]), row([2, 2, 1], ["a", "b", "c"])], [[0, 1, 2], [2, 2, 1]]),
        ([row(["1"])], [BEIJING]),
        ([row({"1": 2, "3": 1.0})], [[0, 2, 0, 1]]),
        ([{"query": "q", "documents": FOUR, "labels": [1, 0, 0, 2]}], [[1, 0, 0, 2]]),
        ([{"query": "q", "docs": FOUR, "labels": BEIJING}], [BEIJING]),
        ([{"query": "q", "documents": ["a", "b"], "labels": [1, 0]}], [[1, 0]]),
        ([{"query": "q", "documents": FOUR, "positive": [FOUR[1]]}], [BEIJING]),
        ([{"query": "q", "documents": [{"text": "a", "label": 0}, {"text": "b", "label": 1}]}], [[0, 1]]),
    ],
)
def test_what_is_relevant(tmp_path: Path, rows: list[Any], expected: list[list[int]]) -> None:
    """Indices, labels or grades; what one row leaves open, another tells."""
    assert grades(read(tmp_path, *rows)) == expected


@pytest.mark.parametrize("values", [[1, 0], [0, 1]])
def test_what_the_file_leaves_open_is_asked_for(tmp_path: Path, values: list[int]) -> None:
    """Labels of two documents, or the indices of both: never guessed."""
    rows = [row(values, ["a", "b"]), row([0, 1], ["c", "d"])]
    with pytest.raises(InvalidInputError, match=r"line 1, relevant=.*--relevant indices or labels"):
        read(tmp_path, *rows)
    assert grades(read(tmp_path, *rows, relevant="labels")) == [values, [0, 1]]
    assert grades(read(tmp_path, *rows, relevant="indices")) == [[1, 1], [1, 1]]
    with pytest.raises(InvalidInputError, match="relevant='maybe'"):
        read(tmp_path, *rows, relevant="maybe")


def test_one_document_alone_is_open_too(tmp_path: Path) -> None:
    """[0] is the index of the one document, or its label."""
    with pytest.raises(InvalidInputError, match="--relevant"):
        read(tmp_path, row([0], ["a"]))


def test_documents_with_ids(tmp_path: Path) -> None:
    """The ids name documents, in `relevant` too; a title stands before the text."""
    documents = [{"id": "x", "text": "one"}, {"_id": 7, "title": "Two.", "text": "two"}]
    dataset = read(tmp_path, row(["7"], documents), row({"x": 1}, documents))
    assert [(one.id, one.text) for one in dataset.queries[0].documents] == [("x", "one"), ("7", "Two. two")]
    assert grades(dataset) == [[0, 1], [1, 0]]


def test_ids_that_are_indices_of_others_are_asked_about(tmp_path: Path) -> None:
    """The documents' ids are 1 and 0, in this order."""
    documents = [{"id": 1, "text": "one"}, {"id": 0, "text": "two"}]
    with pytest.raises(InvalidInputError, match="ids or indices"):
        read(tmp_path, row([1], documents))
    with pytest.raises(InvalidInputError, match="ids, and also indices"):
        read(tmp_path, row({"1": 1}, documents))
    assert grades(read(tmp_path, row([1], documents), relevant="ids")) == [[1, 0]]


def test_sides(tmp_path: Path) -> None:
    """Positives and negatives, under any of their names, as lists, texts or objects, in one row or as triplets."""
    dataset = read(
        tmp_path,
        {"query": "capital of China", "pos": ["The capital is Beijing."], "neg": ["Gravity pulls.", "Tea is a drink."]},
        {"query": "pulls", "positive": {"id": 7, "text": "Gravity pulls."}, "negative": {"id": 3, "text": "A cat."}},
        {"query": "drink", "positive": "Tea is a drink.", "negative": "A cat sleeps."},
        {"query": "drink", "positive": "Tea is a drink.", "negative": "Gravity pulls."},
    )  # fmt: skip
    found = {query.text: {d.text: query.grade(d) for d in query.documents} for query in dataset.queries}
    assert found == {
        "capital of China": {"The capital is Beijing.": 1, "Gravity pulls.": 0, "Tea is a drink.": 0},
        "pulls": {"Gravity pulls.": 1, "A cat.": 0},
        "drink": {"Tea is a drink.": 1, "A cat sleeps.": 0, "Gravity pulls.": 0},
    }
    assert dataset.first_stage.startswith("BM25 over each query's own documents")


def test_pairs(tmp_path: Path) -> None:
    """A row per document, gathered by query."""
    dataset = read(
        tmp_path,
        {"query": "capital", "document": "Tea is a drink.", "label": 0},
        {"query": "pulls", "document": "Gravity pulls.", "label": True},
        {"query": "capital", "document": "The capital is Beijing.", "label": 2.0},
        {"query": "capital", "document": "Tea is a drink.", "label": "0"},
    )
    assert [query.text for query in dataset.queries] == ["capital", "pulls"]
    assert grades(dataset) == [[2, 0], [1]]


def test_without_an_order_the_positives_place_tells_nothing(tmp_path: Path) -> None:
    """Words in common decide, and where there are none, neither the file's order nor the label does."""
    rows = [{"query": f"zz{n}", "positive": [f"aa{n}"], "negative": [f"bb{n}"]} for n in range(40)]
    first = [query.grade(query.documents[0]) for query in read(tmp_path, *rows).queries]
    assert 8 <= sum(first) <= 32
    swapped = [{"query": one["query"], "negative": one["negative"], "positive": one["positive"]} for one in rows]
    assert [query.grade(query.documents[0]) for query in read(tmp_path, *swapped).queries] == first


def test_positives_that_the_list_hasnt_were_missed(tmp_path: Path) -> None:
    """They count in recall, as a run's do."""
    [query] = read(tmp_path, {"query": "q", "documents": ["a", "b"], "positive": ["b", "c"]}).queries
    assert sorted(query.grades.values()) == [0, 1, 1]
    assert [query.grade(document) for document in query.documents] == [0, 1]


def test_a_list_sorted_by_label_is_noted(tmp_path: Path) -> None:
    """Its order is no retriever's, so the figures before reranking would be too good."""
    rows = [{"query": f"q{n}", "documents": ["a", "b", "c"], "labels": [1, 0, 0]} for n in range(3)]
    assert "sorted by label" in read(tmp_path, *rows).notes[0]
    assert read(tmp_path, *rows, {"query": "q", "documents": ["a", "b"], "labels": [0, 1]}).notes == ()


def test_a_blank_query_costs_itself(tmp_path: Path) -> None:
    """It is named, and the others are measured."""
    dataset = read(tmp_path, GOOD, GOOD | {"id": "n", "query": " "})
    assert [query.id for query in dataset.queries] == ["a"]
    assert [(one.id, one.reason) for one in dataset.skipped] == [("n", "the query is blank")]
    with pytest.raises(InvalidInputError, match=r"no document is marked relevant \(1 of 1 queries are blank\)"):
        read(tmp_path, GOOD | {"query": " "})


def test_lines_of_one_query_that_contradict_each_other(tmp_path: Path) -> None:
    """Refused with both lines; queries with ids of their own may be judged each in its way."""
    first, second = row([1, 0, 0, 0], query="q?"), row(BEIJING, query="q?")
    with pytest.raises(InvalidInputError, match=r"line 2='Gravity pulls\.'.* grade 0 here and 1 in data\.jsonl line 1"):
        read(tmp_path, first, second)
    assert len(read(tmp_path, first, first).queries) == 2
    assert grades(read(tmp_path, first | {"id": "a"}, second | {"id": "b"})) == [[1, 0, 0, 0], BEIJING]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("{broken", "line 2.*one JSON object per line"),
        ("[1]", "line 2.*one JSON object per line"),
        ("[" * 100_000, "line 2.*one JSON object per line"),
        (GOOD | {"id": "n", "relevant": {"1" * 5000: 1}}, "line 2, relevant"),
        (
            r'{"query": "\ud800", "documents": ["d"], "relevant": [0]}',
            r"line 2.*\\ud800 is half of a character: write all of it",
        ),
        ('{"id": ' + "9" * 5000 + ', "query": "q", "documents": ["d"], "relevant": [0]}', "line 2.*id in quotes"),
        ('{"query": "q", "query": "p", "documents": ["d"], "relevant": [0]}', 'line 2.*"query" is there twice'),
        (GOOD | {"id": "n", "query": None}, 'line 2.*"query"'),
        (GOOD | {"id": "n", "documents": []}, 'line 2.*"documents"'),
        (GOOD | {"id": "n", "documents": "one text"}, 'line 2.*"documents"'),
        (GOOD | {"id": "n", "documents": ["a", 1]}, r"line 2, documents\[1\]=1: pass a text"),
        (GOOD | {"id": "n", "documents": [{"id": "x"}]}, r'line 2, documents\[0\].*"text"; found "id"'),
        (GOOD | {"id": "n", "documents": [{"id": "x", "text": "a"}, "b"]}, "line 2.*every document.*an id"),
        (GOOD | {"id": "n", "documents": [{"id": 1, "text": "a"}, {"id": "1", "text": "b"}]}, "line 2='1'.*this id"),
        (GOOD | {"id": "n", "relevant": [3]}, "line 2, relevant=3: pass an index from 0 to 2"),
        (GOOD | {"id": "n", "relevant": [-1]}, "line 2, relevant=-1"),
        (GOOD | {"id": "n", "relevant": [True]}, "line 2, relevant=True"),
        (GOOD | {"id": "n", "relevant": [[0]]}, "line 2, relevant"),
        (GOOD | {"id": "n", "relevant": [0, 0]}, "line 2, relevant=0: this document is named twice"),
        (GOOD | {"id": "n", "relevant": {"x": 1}}, "line 2, relevant='x'"),
        (GOOD | {"id": "n", "relevant": {"0": -1}}, "line 2, grade of 0=-1"),
        (GOOD | {"id": "n", "relevant": {"0": 0.5}}, "line 2, grade of 0=0.5"),
        (GOOD | {"id": "n", "relevant": {"0": 1e300}}, "line 2, grade of 0=1e.300.*at most 1,000"),
        ('{"query": "q", "documents": ["a"], "labels": [NaN]}', r"line 2, labels\[0\]=nan: write a whole number"),
        ('{"query": "q", "documents": ["a"], "labels": [1e999]}', r"line 2, labels\[0\]=inf"),
        ({"query": "q", "documents": ["a", "b"], "labels": [1]}, "line 2, labels.*found 1 labels for 2 documents"),
        ({"query": "q", "documents": ["a", "b"], "labels": [0.7, 0.2]}, r"line 2, labels\[0\]=0.7.*whole number"),
        ({"query": "q", "documents": ["a", "b"], "labels": [-1, 1]}, r"line 2, labels\[0\]=-1.*0 means not"),
        ({"query": "q", "documents": ["a"], "labels": [1], "relevant": [0]}, "line 2.*leave one of"),
        ({"query": "q", "documents": ["a"], "docs": ["a"], "labels": [1]}, "line 2.*leave one of"),
        ({"query": "q", "documents": ["a"]}, 'line 2.*found "query", "documents".*"relevant"'),
        ({"query": "q", "documents": ["a", "a"], "labels": [1, 0]}, "line 2='a'.*grade 0 here and 1"),
        (row([0, 1, 0, 0]), r"line 2, relevant=\[0, 1, 0, 0\]: these are labels, but .*line 1 has indices"),
        (row([0, 1, 0]), "line 2, relevant=0: this document is named twice"),
        ({"query": "q", "positive": ["a"], "negative": ["b"]}, "line 2.*line 1 gives documents in an order"),
        ({"question": "q", "answers": ["a"]}, 'line 2.*"query".*found "question", "answers"'),
        ({"query": "q", "context": "a"}, 'line 2.*found "query", "context".*"positive"'),
        (GOOD, "line 2='a'.*used before"),
        (GOOD | {"id": [1]}, 'line 2.*"id"'),
        (GOOD | {"id": True}, 'line 2.*"id"'),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, bad: Any, said: str) -> None:
    """The message has the line's number, what was found and what to write."""
    with pytest.raises(InvalidInputError, match=said):
        read(tmp_path, GOOD, bad)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"query": "q", "pos": ["a"], "neg": ["a"]}], "line 1='a'.*grade 0 here and 1 in .*line 1"),
        ([{"query": "q", "pos": ["a"], "positive": ["a"]}], "line 1.*leave one of"),
        ([{"query": "q", "pos": [], "neg": []}], "line 1.*at least one document"),
        ([{"query": "q", "pos": [1]}], r"line 1, pos\[0\]=1"),
        ([{"query": "q", "document": "a", "label": 1}, {"query": "q", "document": "a", "label": 0}],
         "line 2='a'.*grade 0 here and 1 in .*line 1"),
        ([{"query": "q", "document": "a", "label": "yes"}], "line 1, label='yes'.*whole number"),
        ([{"query": "q", "document": "a", "label": 10**400}], "line 1, label=1.*at most 1,000"),
        ([{"query": "q", "document": "a", "score": 1}], 'line 1.*found "query", "document", "score"'),
        ([{"query": "q", "document": {"id": 1, "text": "a"}, "label": 1},
          {"query": "q", "document": {"id": 1, "text": "b"}, "label": 0}], "two documents of this query have one id"),
    ],
)  # fmt: skip
def test_a_bad_line_without_an_order(tmp_path: Path, rows: list[Any], said: str) -> None:
    """Contradictions name both lines."""
    with pytest.raises(InvalidInputError, match=said):
        read(tmp_path, *rows)


@pytest.mark.parametrize(
    ("rows", "said"),
    [([], "no query"), ([GOOD | {"relevant": []}], "no document is marked relevant")],
)
def test_nothing_to_measure(tmp_path: Path, rows: list[Any], said: str) -> None:
    """Figures of nothing would be noise."""
    with pytest.raises(InvalidInputError, match=said):
        read(tmp_path, *rows)


def test_a_missing_or_unreadable_file(tmp_path: Path) -> None:
    """Each says which, and what it is where that can be told."""
    with pytest.raises(InvalidInputError, match=r"nowhere\.jsonl.*exists"):
        load_dataset(tmp_path / "nowhere.jsonl")
    other = tmp_path / "other.jsonl"
    for content, said in (
        (b'{"query": "caf\xe9"}\n', "UTF-8"),
        (b"PAR1\x15\x04", "Parquet.*to_json"),
        (json.dumps(GOOD).encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04rest", "zip"),
    ):
        other.write_bytes(content)
        with pytest.raises(InvalidInputError, match=rf"other\.jsonl.*{said}"):
            load_dataset(other)


@pytest.mark.parametrize("option", [{"run": "run.trec"}, {"split": "dev"}, {"top_k": 5}, {"qrels": "x.qrels"}])
def test_what_only_beir_has_is_refused(data: Path, option: dict[str, Any]) -> None:
    """An option that would be ignored is an error."""
    with pytest.raises(InvalidInputError, match=f"{next(iter(option))}=.*only a BEIR folder"):
        load_dataset(data, **option)


def test_numbered_negatives_are_read(tmp_path: Path) -> None:
    """As sentence-transformers writes mined hard negatives; none is lost without a word."""
    row = {
        "query": "cats purr",
        "positive": "cats purr",
        "negative_1": "dogs bark",
        "negative_2": "fish",
        "negative_3": None,
    }
    dataset = load_dataset(write_lines(tmp_path / "n.jsonl", [row]))
    [query] = dataset.queries
    assert {one.text: query.grade(one) for one in query.documents} == {"cats purr": 1, "dogs bark": 0, "fish": 0}


def test_a_key_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """Which of the two counts nobody knows."""
    line = '{"query": "q", "query": "r", "documents": ["a", "b"], "labels": [1, 0]}'
    with pytest.raises(InvalidInputError, match=r'line 1.*"query" is there twice'):
        load_dataset(write_lines(tmp_path / "twice.jsonl", [line]))
