"""A key that nothing shows: not a repr, not a pickle, not a traceback with its locals."""

from __future__ import annotations

import re
from base64 import b32encode, b64encode, urlsafe_b64encode
from collections.abc import Iterable
from html.entities import html5
from typing import Protocol, runtime_checkable

from qwen3_sglang.names import API_KEY_VARIABLE

MASK = "**********"
_NAMED: dict[str, list[str]] = {}  # a character -> its names in HTML
for _name, _char in html5.items():
    if _name.endswith(";"):
        _NAMED.setdefault(_char, []).append(_name)
_ASCII = 127
_UNMISTAKABLE = 8  # characters of base64: fewer occur in ordinary words by chance
_LEAST_PART = 4  # characters of a secret that a quotation ends in
_CUT_OFF = re.compile(r"[\\%&]?[\w#\\]{0,7}(?=…|\Z)")
_NEVER_PICKLED = f"a secret is never pickled: set {API_KEY_VARIABLE} where the copy runs"


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


class Hidden(str):
    """A header's value, whose repr hides it: HTTP libraries keep headers in their locals."""

    __slots__ = ()
    shown = MASK

    def __repr__(self) -> str:
        return f"'{self.shown}'"

    def __copy__(self) -> Hidden:
        return self

    def __deepcopy__(self, _memo: object) -> Hidden:  # recorders and tracers copy requests
        return self

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError(_NEVER_PICKLED)


class HiddenBytes(bytes):
    """Bytes where a secret is expected, whose repr hides them: they may be refused, but aren't shown."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"b'{MASK}'"


class Bearer(Hidden):
    """The Authorization header's value."""

    __slots__ = ()
    shown = f"Bearer {MASK}"

    def __new__(cls, key: SecretStr) -> Bearer:
        return super().__new__(cls, f"Bearer {key.get_secret_value()}")


def hide(text: str, secrets: Iterable[SecretStr]) -> str:
    """`text` without the secrets, however they are written in it: a server, or a proxy, may repeat what it was sent."""
    for secret in secrets:
        if secret.get_secret_value():
            text = _without_a_part(re.sub(_forms(secret), MASK, text), secret)
    return text


def _without_a_part(text: str, secret: SecretStr) -> str:
    """`text` without the secret's beginning where a quotation was cut off within it."""
    plain = secret.get_secret_value()
    for form in (plain, *_encoded(plain)):
        for found in re.finditer(_spelt(form[:_LEAST_PART]), text):
            end, rest = found.end(), iter(form[_LEAST_PART:])
            while (char := next(rest, None)) and (more := re.compile(_spelt(char)).match(text, end)):
                end = more.end()
            if (cut := _CUT_OFF.match(text, end)) is not None:
                return text[: found.start()] + MASK + text[cut.end() :]
    return text


def _forms(secret: SecretStr) -> str:
    """A pattern for the secret: plain (in any case where it is long), escaped as in JSON or HTML, and encoded."""
    plain = secret.get_secret_value()
    spelt = f"(?i:{_spelt(plain)})" if len(plain) >= _UNMISTAKABLE else _spelt(plain)
    longest_first = sorted(_encoded(plain), key=len, reverse=True)
    return "|".join([spelt, *(f"{_spelt_code(form)}=*" for form in longest_first)])


def _b32encode_in_small(secret: bytes) -> bytes:
    return b32encode(secret).lower()


# (bits per character, bytes after which a code begins anew, its alphabets)
_CODES = ((6, 3, (b64encode, urlsafe_b64encode)), (5, 5, (b32encode, _b32encode_in_small)))


def _encoded(plain: str) -> set[str]:
    """It in hexadecimal, base64 and base32."""
    secret = plain.encode("utf-8", "surrogatepass")
    forms = {secret.hex(), secret.hex().upper()}
    for bits, group, encoders in _CODES:
        for before in range(group):  # bytes in front of it, which decide where its bits lie
            padded = bytes(before) + secret
            first, last = -(-before * 8 // bits), len(padded) * 8 // bits  # characters that hold nothing else
            forms |= {encode(padded).decode()[first:last] for encode in encoders}
        forms |= {encode(secret).decode().rstrip("=") for encode in encoders}  # it alone
    return {form for form in forms if len(form) >= _UNMISTAKABLE}


def _spelt(plain: str) -> str:
    return "".join(f"(?:{'|'.join(_spellings(char))})" for char in plain)


def _spelt_code(form: str) -> str:
    """Of base64 and hexadecimal, only what isn't a letter or a digit is ever escaped."""
    return "".join(char if char.isalnum() else _spelt(char) for char in form)


def _spellings(char: str) -> list[str]:
    """Patterns for one character. A text that was quoted twice has more backslashes, or "%25" for "%"."""
    code, utf8 = ord(char), char.encode("utf-8", "surrogatepass")
    utf16 = char.encode("utf-16-be", "surrogatepass").hex()
    return [
        *([re.escape(utf8.decode("latin-1"))] if code > _ASCII else []),
        "".join(rf"\\+u(?i:{utf16[start : start + 4]})" for start in range(0, len(utf16), 4)),
        "".join(rf"\\+x(?i:{byte:02x})" for byte in utf8),
        "".join(rf"\\+0*{byte:o}" for byte in utf8),
        rf"\\+u\{{0*(?i:{code:x})\}}",
        "".join(rf"%(?:25)*(?i:{byte:02x})" for byte in utf8),
        rf"&#(?:0*{code}|[xX]0*(?i:{code:x}));",
        *(rf"&{name}" for name in _NAMED.get(char, ())),
        rf"\\*{re.escape(char)}",  # last: it begins some of the others
    ]
