"""What callers pass as texts: which of it can be asked about, and as what it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qwen3_sglang.errors import InvalidInputError

# A string subclass as the string that it is: an enum or Jinja's Markup turns into other text where it is put together.
plain: Callable[[str], str] = str.__str__


def check_text(field: str, value: object) -> None:
    """Refuse what can't be asked about: not a string, or nothing but white space.

    Raises:
        InvalidInputError: names `field`.
    """
    if not isinstance(value, str):
        raise InvalidInputError(field, value, "pass a string")
    if not value.strip():
        raise InvalidInputError(field, value, "pass a text that isn't blank")
    _check_encodable(field, value)


def check_documents(documents: object) -> None:
    """Refuse one string (it would be read letter by letter) and any item that isn't a string.

    Raises:
        InvalidInputError: names `documents`, or the item.
    """
    if isinstance(documents, (str, bytes)) or not isinstance(documents, Sequence):
        raise InvalidInputError("documents", documents, "pass a list of strings")
    try:
        if all(map(str.isascii, documents)):  # the usual case, in a third of the time
            return
    except TypeError:
        pass
    for index, document in enumerate(documents):
        if not isinstance(document, str):
            raise InvalidInputError(f"documents[{index}]", document, "pass a string")
        if not document.isascii():
            _check_encodable(f"documents[{index}]", document)


def _check_encodable(field: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        remedy = 'remove the lone surrogates, for example text.encode("utf-8", "replace").decode()'
        raise InvalidInputError(field, value, remedy) from None
