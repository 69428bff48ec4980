"""What a file's text is read as: lines, JSON lines, a JSON array."""

from __future__ import annotations

import json
import math

import pytest

from qwen3_sglang import InvalidInputError, RerankResult
from qwen3_sglang.cli.documents import Document, as_rows, first_lines, read_documents
from qwen3_sglang.ranking import Chunk


@pytest.mark.parametrize(
    ("text", "documents"),
    [
        ("one\n\n two \n", ["one", " two "]),
        ('{"text": "a"}\n"b"\n', ["a", "b"]),
        ("1\n2", ["1", "2"]),
        ('"a"\nplain', ['"a"', "plain"]),
        ('\ufeff{"text": "a"}\n"b"', ["a", "b"]),  # what Windows editors put in front
        ('{"text": "a\u2028b\x85c"}\r\n"d"\r\n', ["a\u2028b\x85c", "d"]),  # no line ends to JSON
        ("9" * 5000 + "\n" + "[" * 100_000, ["9" * 5000, "[" * 100_000]),
        ('[{"text": "a"},\n {"text": "b"}]', ["a", "b"]),
        ('["a", "b"]\n', ["a", "b"]),
        ("[1] a footnote\n[2] another", ["[1] a footnote", "[2] another"]),
        ("[1, 2]", ["[1, 2]"]),
        ("", []),
    ],
)
def test_documents_of_a_text(text: str, documents: list[str]) -> None:
    """JSON where it is meant to be, else lines."""
    assert [document.text for document in read_documents(text)] == documents


def test_ids_are_kept() -> None:
    """Whatever they are; BEIR's name for them too."""
    text = '{"text": "a", "id": 7}\n{"text": "b", "_id": "x"}\n{"text": "c"}'
    assert read_documents(text) == [Document("a", 7), Document("b", "x"), Document("c")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"text": "a"}\n\nnot json', "Expecting value, character 1"),
        ('{"text": "a"}\n\n{"text": "b"', "character 13"),
        ('{"text": "a"}\n\n3', "has no text"),
        ('\n\n{"text": "no line is whole', "Unterminated string"),
        ('\n\n{"text": "a", "id": ' + "9" * 5000 + "}", "thousands of digits"),
        ('\n\n{"text": ' + "[" * 100_000, "too deep"),
        ('\n\n[ {"text": "an array"}, {"text": ', "character 34"),
    ],
)
def test_a_broken_line_is_named(text: str, said: str) -> None:
    """With what is wrong; it isn't scored as a text, also where no other line is JSON."""
    with pytest.raises(InvalidInputError, match=said) as caught:
        read_documents(text)
    assert caught.value.field == "line 3"
    assert "int_max_str" not in str(caught.value)


@pytest.mark.parametrize(("text", "where"), [('{"body": "a"}', "line 1"), ('["a", {"body": "b"}]', "document 2")])
def test_an_object_without_the_field_is_refused(text: str, where: str) -> None:
    """The message names the option to set, and the fields that are there."""
    with pytest.raises(InvalidInputError, match="--field") as caught:
        read_documents(text)
    assert (caught.value.field, caught.value.value) == (where, ["body"])


def test_a_long_document_is_shown_by_its_first_lines() -> None:
    """Blank ones left out."""
    assert first_lines("one") == "one"
    assert first_lines("one\n\ntwo") == "one\ntwo"
    assert first_lines("one\ntwo\nthree") == "one\ntwo …"
    assert first_lines("x" * 160) == "x" * 160
    assert first_lines("x" * 161) == "x" * 159 + "…"
    assert first_lines(" one \n\t\n two ", lines=1) == "one …"
    assert first_lines("onward", width=5) == "onwa…"


def test_rows_are_json_that_every_parser_reads() -> None:
    """An infinite logit is null there."""
    results = [RerankResult(1, 1.0, math.inf), RerankResult(0, 0.5, 0.0, truncated=True)]
    rows = json.loads(json.dumps(as_rows(results, [Document("a", "x"), Document("b")]), allow_nan=False))
    rest = {"logit": None, "truncated": False, "chunk": None, "document": "b"}
    assert rows[0] == {"index": 1, "id": None, "score": 1.0, **rest}
    assert rows[1] == {
        "index": 0,
        "id": "x",
        "score": 0.5,
        "logit": 0.0,
        "truncated": True,
        "document": "a",
        "chunk": None,
    }


def test_a_rows_chunk_and_a_logit_below_all_numbers() -> None:
    """By name, and null."""
    [row] = as_rows([RerankResult(0, 0.0, -math.inf, chunk=Chunk(3, 9, 2))], [Document("a", 7)])
    assert (row["logit"], row["id"], row["chunk"]) == (None, 7, {"start": 3, "end": 9, "scored": 2})


def test_the_field_with_the_text() -> None:
    """As named; an id of 0 is one, and "id" goes before "_id"."""
    text = '{"text": "no", "body": "a", "id": 0, "_id": 1}\n{"body": "b", "_id": 0}'
    assert read_documents(text, "body") == [Document("a", 0), Document("b", 0)]
