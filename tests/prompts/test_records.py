"""A mapping's text, id and metadata."""

from __future__ import annotations

from typing import Any

import pytest

from qwen3_sglang.prompts.records import read_record, text_field


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"text": "a"}, ("a", None, {})),
        ({"page_content": "a", "text": "b", "id": 7}, ("a", "7", {"text": "b"})),
        ({"content": "a", "id_": "n", "page": 3}, ("a", "n", {"page": 3})),
        ({"text": "a", "metadata": {"page": 3}, "score": 0.5}, ("a", None, {"page": 3})),
        ({"text": "a", "metadata": "m", "id": None}, ("a", None, {"metadata": "m"})),
        ({"text": 3, "content": "a"}, ("a", None, {"text": 3})),
        ({"text": ""}, ("", None, {})),
        ({"text": 3}, None),
        ({"body": "a"}, None),
        ("a", None),
        (None, None),
    ],
)
def test_parts(given: Any, expected: Any) -> None:
    """LangChain's name first; without metadata of its own, everything else is that."""
    assert read_record(given) == expected


def test_nothing_is_shared() -> None:
    """The metadata can be changed; the caller's stays as it was."""
    given = {"text": "a", "metadata": {"page": 3}}
    record = read_record(given)
    assert record is not None
    record.metadata["page"] = 4
    assert given == {"text": "a", "metadata": {"page": 3}}


def test_where_the_text_is() -> None:
    """Its name, for messages."""
    assert text_field({"id": 1, "content": "a"}) == "content"
    assert text_field({"id": 1}) is None
