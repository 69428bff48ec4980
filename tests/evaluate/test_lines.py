"""How much of a file a message repeats, and which values are taken, at their edges.

Tests of `evaluate/lines.py`, `evaluate/documents.py`, `evaluate/formats.py`, `evaluate/grades.py`,
`evaluate/readings.py`, `evaluate/trec.py`, `evaluate/dataset.py`, `evaluate/__init__.py`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from judged_data import ROWS, write_lines

from qwen3_sglang import InvalidInputError
from qwen3_sglang.evaluate import _check_share, _cuts, load_dataset
from qwen3_sglang.evaluate.dataset import Dataset, Document, Query, Skipped
from qwen3_sglang.evaluate.documents import Given, read_documents
from qwen3_sglang.evaluate.formats import instead_of_json
from qwen3_sglang.evaluate.grades import as_grade, grade_of
from qwen3_sglang.evaluate.lines import id_of, keys_of, lines, one_of, rows, some, text_of
from qwen3_sglang.evaluate.readings import is_index
from qwen3_sglang.evaluate.trec import read_qrels, read_run


def refused(work: Any, *arguments: Any) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        work(*arguments)
    return caught.value


def test_names_in_a_message() -> None:
    """The first twelve, and forty characters of each."""
    names = [f"n{number}" for number in range(13)]
    assert some(names[:12]) == ", ".join(names[:12])
    assert some(names) == ", ".join(names[:12]) + ", …"
    assert some([]) == "nothing"
    assert keys_of({"é" * 41: 1, "b": 2}) == f'"{"é" * 40}", "b"'


def test_columns_in_a_message() -> None:
    """The first eight, and forty characters of each."""
    said = instead_of_json(",".join([*"abcdefghi", "x"])) or ""
    assert 'its first line has 10 columns: "a", "b", "c", "d", "e", "f", "g", "h"), which' in said
    assert f'"{"x" * 40}", "b"' in (instead_of_json("x" * 41 + ",b") or "")
    assert "2 columns" in (instead_of_json("a|b") or "")
    assert "CSV with bars" in (instead_of_json("a|b") or "")
    assert instead_of_json("one column") is None
    assert "TREC judgements" in (instead_of_json("q 0 d 1") or "")
    assert instead_of_json("q 1 d 1") is None
    assert "a TREC run" in (instead_of_json("q q0 d 1 2 x") or "")


def test_lines_are_numbered_from_one(tmp_path: Path) -> None:
    """Blank ones count, and aren't given; line ends go, spaces stay."""
    path = tmp_path / "file.txt"
    path.write_bytes(b" a \r\n\n\t\nb")
    assert list(lines(path)) == [("file.txt line 1", " a "), ("file.txt line 4", "b")]
    path.write_bytes(b"a\nb\n\xff\n")
    assert "after line" not in refused(lambda: list(lines(path))).remedy  # read in one piece, so nothing came before
    path.write_text('[{"a": 1},\n {"b": 2}]')
    assert list(rows(path)) == [("file.txt item 1", {"a": 1}), ("file.txt item 2", {"b": 2})]
    path.write_text("")
    assert list(rows(path)) == []


def test_one_name_for_one_thing() -> None:
    """None where there is none; null is none; two are refused with both names."""
    assert one_of("w", {"b": 0, "a": None}, ("a", "b")) == "b"
    assert one_of("w", {"c": 1}, ("a", "b")) is None
    error = refused(one_of, "w", {"a": 1, "b": 2}, ("a", "b"))
    assert (error.value, error.remedy) == (["a", "b"], 'leave one of "a" and "b" out: they mean the same')
    assert text_of("w", {"a": " "}, "a") == " "
    assert refused(text_of, "w", {"b": 1}, "a").remedy == 'give "a" a text; found "b"'


@pytest.mark.parametrize(
    ("value", "found"),
    [("x", "x"), (7, "7"), (0, "0"), (" a ", " a "), (True, None), ("  ", None), (1.0, None), (None, None)],
)
def test_ids(value: object, found: str | None) -> None:
    """Texts that aren't blank, and whole numbers."""
    if found is None:
        assert refused(id_of, "w", "id", value).remedy == 'write a text or a whole number as "id"'
    else:
        assert id_of("w", "id", value) == found


@pytest.mark.parametrize(
    ("value", "grade"),
    [
        (True, 1),
        (False, 0),
        (2.0, 2),
        (2.5, None),
        (math.nan, None),
        (math.inf, None),
        ("3", 3),
        (" +3.00 ", 3),
        ("-2", -2),
        ("3.5", None),
        ("1e3", None),
        ("", None),
        ("9" * 300, int("9" * 300)),
        ("9" * 301, None),
        (None, None),
        ([1], None),
    ],
)
def test_grades(value: object, grade: int | None) -> None:
    """Whole numbers, however they are written."""
    assert as_grade(value) == grade


@pytest.mark.parametrize(("grade", "least", "usable"), [(0, 0, True), (-1, 0, False), (1000, 0, True), (1001, 0, False),
                                                       (-1000, -1000, True), (-1001, -1000, False)])  # fmt: skip
def test_the_least_and_the_highest_grade(grade: int, least: int, usable: bool) -> None:
    """What trec_eval can count."""
    if usable:
        assert grade_of("w", grade, least) == grade
    else:
        said = f"at least {least}" if grade < least else "at most 1,000"
        assert said in refused(grade_of, "w", grade, least).remedy


def test_places_among_three() -> None:
    """Integers, or their digits, up to nine."""
    given = [0, 2, 3, -1, True, 1.0, None, "2", "3", "-1", "", "\u0662", "000000002", "0000000002"]
    assert [value for value in given if is_index(value, 3)] == [0, 2, "2", "000000002"]
    assert not is_index(True, 3)


def test_documents_of_a_row() -> None:
    """Texts or objects, titles in front, all with ids or none; of many ids three are repeated."""
    given = [{"title": "T", "text": "a", "id": 1, "label": 2}, {"title": "", "content": " b ", "pid": "x"}]
    assert read_documents("w", "docs", given) == [Given("T a", "1", 2), Given(" b ", "x")]
    assert read_documents("w", "docs", "one") == [Given("one")]
    named = [{"text": "t", "id": number} for number in range(5)]
    assert refused(read_documents, "w", "docs", [*named, "t"]).value == ["0", "1", "2"]
    assert refused(read_documents, "w", "docs", [*named, named[3], named[1]]).value == "1"
    assert refused(read_documents, "w", "docs", ["a", 3]).field == "w, docs[1]"
    assert refused(read_documents, "w", "docs", [{"text": "a", "title": 3}]).remedy.startswith('give "title" a text')


def test_judgements_in_columns(tmp_path: Path) -> None:
    """A header by its words; ids may hold spaces between tabs; the same grade twice is one."""
    path = tmp_path / "qrels.tsv"
    write_lines(path, ["query-id\tcorpus-id\tscore", "q 1\td 1\t1", "q 1\td 1\t1.0", "q 1\td2\t0"])
    assert read_qrels(path) == {"q 1": {"d 1": 1, "d2": 0}}
    write_lines(path, ["topic 0 docno relevance", "q 0 d 1", "q 0 e -1"])
    assert read_qrels(path) == {"q": {"d": 1, "e": -1}}
    write_lines(path, ["q\td\t1", "q 0 e 1"])
    assert "found 4 columns, but 3 in qrels.tsv line 1" in refused(read_qrels, path).remedy
    write_lines(path, ["q d"])
    assert refused(read_qrels, path).remedy.startswith("found 2 columns: write query id")


def test_a_runs_order(tmp_path: Path) -> None:
    """By score; of equal ones the lower rank first. Numbers of sixty characters are read, longer ones aren't."""
    path = tmp_path / "run.trec"
    write_lines(path, ["q Q0 a 3 1 x", "q Q0 b 2 1.0 x", "q Q0 c 1 0.5 x", "q Q0 d 9 +1e1 x", "q Q0 e 4 -.5 x"])
    assert read_run(path) == {"q": ["d", "b", "a", "c", "e"]}
    write_lines(path, [f"q Q0 a 1 {'0' * 59}1 x"])
    assert read_run(path) == {"q": ["a"]}
    write_lines(path, [f"q Q0 a 1 {'0' * 60}1 x"])
    assert "rank and score are finite numbers" in refused(read_run, path).remedy


def test_a_data_set_without_some_of_its_queries() -> None:
    """Those that are left out are named; where no relevant document is left, that is an error with the first reason."""
    queries = tuple(Query(name, name, (Document("d", "t"),), {"d": int(name == "b")}) for name in "abc")
    dataset = Dataset("n", "s", queries, (Skipped("z", "blank"),))
    left = dataset.without([Skipped("a", "too long")])
    assert [query.id for query in left.queries] == ["b", "c"]
    assert left.skipped == (Skipped("z", "blank"), Skipped("a", "too long"))
    assert left.judged == (queries[1],)
    error = refused(dataset.without, [Skipped("a", "too long"), Skipped("b", "refused")])
    assert (error.field, error.value) == ("query a", 2)
    assert error.remedy == "no query with a relevant document is left; 2 were left out: too long"
    assert queries[1].grade(Document("other", "t")) == 0


@pytest.mark.parametrize(("value", "usable"), [(None, True), (1, True), (0.001, True), (0, False), (1.001, False),
                                              (True, False), ("0.5", False), (math.nan, False)])  # fmt: skip
def test_shares(value: object, usable: bool) -> None:
    """Above 0 and up to 1."""
    if usable:
        _check_share("target_recall", value)
    else:
        assert refused(_check_share, "target_recall", value).remedy == "pass a share above 0 and up to 1, or None"


def test_cut_offs() -> None:
    """Sorted, each once, from 1 on."""
    assert _cuts([10, 1, 10]) == (1, 10)
    for wrong in (0, True, 1.0):
        assert refused(_cuts, [1, wrong]).value is wrong


def test_how_many_documents_of_a_folder(beir: Path, tmp_path: Path) -> None:
    """100 of them where nothing is said, at least one; a JSONL file has no such number."""
    corpus = [{"_id": f"d{number}", "text": "cats purr"} for number in range(150)]
    write_lines(beir / "corpus.jsonl", corpus)
    write_lines(beir / "qrels" / "test.tsv", ["q1\td0\t1"])
    assert len(load_dataset(beir).queries[0].documents) == 100
    assert len(load_dataset(beir, top_k=1).queries[0].documents) == 1
    data = write_lines(tmp_path / "data.jsonl", ROWS)
    assert "only a BEIR folder has one" in refused(lambda: load_dataset(data, top_k=100)).remedy
