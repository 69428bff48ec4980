"""What is asked of a caller's arguments, and what is kept of them."""

from __future__ import annotations

from typing import Any

import pytest

from qwen3_sglang.errors import InvalidInputError, QueryError
from qwen3_sglang.scoring.aside import MUCH
from qwen3_sglang.scoring.asked import Asked, Reader
from qwen3_sglang.settings import make_settings

DOCUMENTS = ["one <think>", "two"]


def ways(**options: Any) -> list[Asked]:
    """The same documents, asked for by one query, as pairs, and by several queries."""
    reader = Reader(make_settings(environ={}, **options))
    return [
        reader.query("q", DOCUMENTS, None, None, collect=True),
        reader.pairs([("q", document) for document in DOCUMENTS], None, None),
        reader.queries([("q", DOCUMENTS[:1]), ("r", DOCUMENTS[1:])], None, None),
    ]


@pytest.mark.parametrize("long_documents", ["chunks", "truncate"])
@pytest.mark.parametrize("escape", [True, False])
def test_documents_are_kept_where_chunks_of_them_are_found_again(long_documents: str, escape: bool) -> None:
    """Chunks of escaped texts: what is sent has other places than what was passed."""
    kept = DOCUMENTS if long_documents == "chunks" and escape else []
    for asked in ways(long_documents=long_documents, escape_special_tokens=escape):
        assert list(asked.unescaped) == kept


def test_how_much_there_is_to_do() -> None:
    """In characters as they are sent, and 100 more per document."""
    sizes = [asked.size for asked in ways()]
    assert sizes == [200 + len("one < think>" + "two")] * 3


@pytest.mark.parametrize(("known", "size"), [(MUCH, MUCH), (MUCH + 1, 215)])
def test_what_was_counted_is_not_counted_again(known: int, size: int) -> None:
    """Unless it is much: of huge documents only the start is sent."""
    assert Reader(make_settings(environ={})).query("q", DOCUMENTS, None, None, size=known).size == size


@pytest.mark.parametrize("on_error", ["raise", "passthrough"])
def test_whose_errors_are_outcomes(on_error: str) -> None:
    """Those of calls that return results; only several queries are told apart."""
    one, pairs, several = ways(on_error=on_error)
    collects = on_error == "passthrough"
    assert [asked.collect for asked in (one, pairs, several)] == [collects, False, collects]
    assert [asked.by_query for asked in (one, pairs, several)] == [False, False, True]
    assert [list(asked.counts) for asked in (one, pairs, several)] == [[2], [1, 1], [1, 1]]


@pytest.mark.parametrize("collect", [True, False])
def test_a_blank_query(collect: bool) -> None:
    """It costs its documents their scores where errors are outcomes; else it raises."""
    reader = Reader(make_settings(environ={}, on_error="passthrough"))
    if not collect:
        with pytest.raises(QueryError):
            reader.query(" ", DOCUMENTS, None, None)
        return
    asked = reader.query(" ", DOCUMENTS, None, None, collect=True)
    assert (list(asked.counts), asked.size, asked.by_query, asked.collect) == ([2], 0, False, True)
    assert isinstance(asked.failure, QueryError)


def test_an_instruction_of_the_calls_own() -> None:
    """It stands in for the client's."""
    reader = Reader(make_settings(environ={}, instruction="The client's."))
    heads = [reader.group("q", ["d"], task).head.text for task in (None, "The call's.")]
    assert ["The client's." in text for text in heads] == [True, False]
    assert ["The call's." in text for text in heads] == [False, True]


def test_arguments_in_the_wrong_order() -> None:
    """Said so, instead of that the query isn't a string."""
    reader = Reader(make_settings(environ={}))
    with pytest.raises(InvalidInputError, match="the query comes first"):
        reader.query(["d"], "q", None, None)  # type: ignore[arg-type] # wrong on purpose
    with pytest.raises(InvalidInputError) as caught:
        reader.query(["d"], ["q"], None, None)  # type: ignore[arg-type] # as well
    assert "comes first" not in caught.value.remedy


def test_what_was_not_read_in_time() -> None:
    """As many outcomes as documents, where errors are outcomes."""
    late = QueryError("query", "q", "too late")
    for on_error in ("raise", "passthrough"):
        asked = Reader(make_settings(environ={}, on_error=on_error)).unread([("q", ["a", "b"]), ("r", [])])(late)
        assert (list(asked.counts), asked.failure, asked.collect) == ([2, 0], late, on_error == "passthrough")
        assert asked.groups(9) == []
