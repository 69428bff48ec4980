"""Headers that a gateway wants: names checked by RFC 9110, values kept as secret as a key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.names import PATIENCE
from qwen3_sglang.secret import MASK, SecretLike, SecretStr

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# What the client, or the HTTP library under it, sets by itself: another value would break the request.
_TAKEN = {
    *("host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "keep-alive"),
    *("te", "trailer", "upgrade", "expect", "accept", "accept-encoding", "proxy-authorization", "proxy-connection"),
    PATIENCE.lower(),
}
AUTHORIZATION = "Authorization"
_REMEDY = 'pass a mapping such as {"x-api-key": "…"}, or lines of Name: value'


class Headers(Mapping[str, SecretStr]):
    """Names and secret values; immutable, so that what was checked is what is sent."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> SecretStr:
        found: SecretStr = self._values[name]
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Headers({', '.join(name if is_name(name) else MASK for name in self._values)})"

    def __copy__(self) -> Headers:
        return self

    def __deepcopy__(self, _memo: object) -> Headers:
        return self

    def names(self) -> set[str]:
        """The names in lower case."""
        return {name.lower() for name in self._values}


def read_headers(value: Any) -> Any:
    """A mapping, or lines of `Name: value`, with every value wrapped; None for none. Anything else stays as it is."""
    if isinstance(value, str):
        value = Headers(dict(map(_line, filter(str.strip, value.splitlines()))))
    if isinstance(value, Mapping) and not isinstance(value, Headers):
        value = Headers({name: _wrapped(one) for name, one in value.items()})
    return None if isinstance(value, Headers) and not value else value


def _line(line: str) -> tuple[str, Any]:
    name, colon, value = line.partition(":")
    # Without a colon all of it may be the value.
    return (name.strip(), SecretStr(value.strip())) if colon else ("", SecretStr(line))


def _wrapped(value: Any) -> Any:
    if isinstance(value, SecretLike) and not isinstance(value, SecretStr):
        value = value.get_secret_value()
    return SecretStr(value) if isinstance(value, str) else value


def is_name(name: object) -> bool:
    """Whether this is a header's name: a token of RFC 9110."""
    return isinstance(name, str) and _TOKEN.fullmatch(name) is not None


def check_headers(field: str, value: Any) -> None:
    """Check names and values, none of which is shown but a name that is one.

    Raises:
        InvalidInputError: otherwise.
    """
    if not isinstance(value, Headers):
        raise InvalidInputError(field, type(value), _REMEDY)
    for name, secret in value.items():
        check_name(field, name)
        if not isinstance(secret, SecretStr) or not _fits(secret):
            remedy = f"give {name} a value of printable ASCII without spaces or line ends around it"
            raise InvalidInputError(field, MASK, remedy)
    if len(value.names()) < len(value):
        raise InvalidInputError(field, sorted(value), "name each header once; case makes no difference")


def check_name(field: str, name: object) -> None:
    """Check that a header of that name may be sent.

    Raises:
        InvalidInputError: otherwise; what is no name isn't shown, since it may hold the value.
    """
    if not isinstance(name, str) or not is_name(name):
        raise InvalidInputError(field, MASK, "pass names of letters, digits and hyphens, such as x-api-key")
    if name.lower() in _TAKEN:
        raise InvalidInputError(field, name, "leave it out: the client sets it by itself")


def check_together(headers: Headers | None, key_header: str | None, *, keyed: bool) -> None:
    """Check that the key and the headers don't meet under one name.

    Raises:
        InvalidInputError: otherwise.
    """
    sent_as = key_header or AUTHORIZATION
    if keyed and headers is not None and sent_as.lower() in headers.names():
        raise InvalidInputError("headers", sent_as, "leave it out: api_key is sent under that name (api_key_header=)")


def _fits(secret: SecretStr) -> bool:
    plain = secret.get_secret_value()
    return plain.isascii() and plain.isprintable() and plain == plain.strip() != ""
