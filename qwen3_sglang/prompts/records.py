"""Documents as mappings: where the text is, and what the rest is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

# Where a mapping, or another library's object, has its text: LangChain's own name first.
TEXT_FIELDS = ("page_content", "text", "content")
_IDS = ("id", "id_")


class Record(NamedTuple):
    """A mapping's parts.

    Attributes:
        text: what is under "page_content", "text" or "content".
        id: what is under "id" or "id_", as a string; None where there is none.
        metadata: the mapping under "metadata"; where there is none, everything that is neither text nor id.
    """

    text: str
    id: str | None
    metadata: dict[str, Any]


def text_field(record: Mapping[Any, Any]) -> str | None:
    """The name under which the mapping has a text; None where it has none."""
    return next((name for name in TEXT_FIELDS if isinstance(record.get(name), str)), None)


def read_record(value: object) -> Record | None:
    """The parts of a mapping that has a text; None for anything else."""
    field = text_field(value) if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or field is None:
        return None
    own = next((value[name] for name in _IDS if value.get(name) is not None), None)
    given = value.get("metadata")
    rest = given if isinstance(given, Mapping) else {name: value[name] for name in value if name not in {field, *_IDS}}
    return Record(value[field], None if own is None else str(own), dict(rest))
