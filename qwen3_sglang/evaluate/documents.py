"""The documents of one row: texts, or objects with a text, and perhaps an id and a grade."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.evaluate.lines import id_of, keys_of, one_of

_TEXT = ("text", "content", "contents", "page_content", "passage", "document", "body")
_ID = ("id", "_id", "docid", "doc_id", "document_id", "pid")
_JUDGED = ("label", "relevant", "relevance", "grade")


@dataclass(frozen=True, slots=True)
class Given:
    """A document as a row gives it.

    Attributes:
        text: what the model reads; title and text, as BEIR joins them.
        id: None where the row names none.
        judged: what the document itself says of its relevance, unchecked; None where it says nothing.
    """

    text: str
    id: str | None = None
    judged: object = None


def read_documents(where: str, name: str, value: object) -> list[Given]:
    """The documents in `value`: a list of texts or objects, or one of them.

    Raises:
        InvalidInputError: no list of documents, or an id that is there twice.
    """
    items = [value] if isinstance(value, (str, dict)) else value
    if not isinstance(items, list):
        raise InvalidInputError(where, value, f'give "{name}" a list of texts, or of objects with a "text"')
    documents = [_given(f"{where}, {name}[{index}]", item) for index, item in enumerate(items)]
    named = [document.id for document in documents if document.id is not None]
    if named and len(named) < len(documents):
        raise InvalidInputError(where, named[:3], f'give every document in "{name}" an id, or none of them')
    twice = {one for one in named if named.count(one) > 1} if len(set(named)) < len(named) else set()
    if twice:
        raise InvalidInputError(where, min(twice), f'two documents in "{name}" have this id; give each its own')
    return documents


def _given(where: str, item: object) -> Given:
    if isinstance(item, str):
        return Given(item)
    if not isinstance(item, dict):
        raise InvalidInputError(where, item, 'pass a text, or an object with a "text"')
    text = one_of(where, item, _TEXT)
    if text is None or not isinstance(item[text], str):
        raise InvalidInputError(where, item, f'give the document a "text"; found {keys_of(item)}')
    judged, name = one_of(where, item, _JUDGED), one_of(where, item, _ID)
    return Given(
        _titled(where, item, item[text]),
        None if name is None else id_of(where, name, item[name]),
        None if judged is None else item[judged],
    )


def _titled(where: str, item: Mapping[str, Any], text: str) -> str:
    title = item.get("title") or ""
    if not isinstance(title, str):
        raise InvalidInputError(where, title, 'give "title" a text, or leave it out')
    return f"{title} {text}".strip() if title else text
