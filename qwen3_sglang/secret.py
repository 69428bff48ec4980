"""A key that nothing shows: not a repr, not a pickle, not a traceback with its locals."""

from __future__ import annotations

import json
from typing import Protocol, runtime_checkable

from qwen3_sglang.names import API_KEY_VARIABLE

MASK = "**********"
_NEVER_PICKLED = f"a secret is never pickled: set {API_KEY_VARIABLE} where the copy runs"
# A shorter one could stand in an answer by chance, inside a number, and what is left would be no JSON any more.
_UNMISTAKABLE = 16


@runtime_checkable
class SecretLike(Protocol):
    """pydantic's SecretStr, or ours."""

    def get_secret_value(self) -> str:
        """The secret itself."""


class SecretStr:
    """A string that no repr, str, format, pickle or copy shows.

    pydantic has the same type; the base install goes without pydantic.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def get_secret_value(self) -> str:
        """The secret itself."""
        return self._value

    def __repr__(self) -> str:
        return f"SecretStr('{MASK}')"

    def __copy__(self) -> SecretStr:
        return self

    def __deepcopy__(self, _memo: object) -> SecretStr:  # so that dataclasses.asdict works
        return self

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError(_NEVER_PICKLED)


class Bearer(str):
    """The Authorization header's value, whose repr hides it: HTTP libraries keep headers in their locals."""

    __slots__ = ()

    def __new__(cls, key: SecretStr) -> Bearer:
        return super().__new__(cls, f"Bearer {key.get_secret_value()}")

    def __repr__(self) -> str:
        return f"'Bearer {MASK}'"

    def __copy__(self) -> Bearer:
        return self

    def __deepcopy__(self, _memo: object) -> Bearer:  # recorders and tracers copy requests
        return self

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError(_NEVER_PICKLED)


def hide(answer: bytes, key: SecretStr | None, *, succeeded: bool) -> bytes:
    """`answer` without the key: a server, or a proxy in front of it, may repeat what it was sent.

    Of an answer that succeeded only an unmistakable key is taken out.
    """
    if key is None:
        return answer
    plain = key.get_secret_value()
    if succeeded and len(plain) < _UNMISTAKABLE:
        return answer
    for form in (plain, json.dumps(plain)[1:-1]):
        answer = answer.replace(form.encode(), MASK.encode())
    return answer
