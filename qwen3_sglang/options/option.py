"""What an option of a connection is made of, and the bounds that options may have."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.names import API_KEY_VARIABLE
from qwen3_sglang.prompts.template import Template
from qwen3_sglang.prompts.texts import check_encodable, check_text
from qwen3_sglang.protocol.retry import Backoff
from qwen3_sglang.secret import MASK, SecretLike, SecretStr

DEFAULT_BASE_URL = "http://127.0.0.1:30000"  # the port of `sglang.launch_server`
_MOST_SECONDS = 1_000_000  # more than 11 days; sockets and locks take no more than weeks

Check = Callable[[str, Any], None]  # (name, value): raises InvalidInputError
Read = Callable[[Any], Any]  # what is passed -> what is kept


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Option:
    """One thing that a connection is made of.

    Attributes:
        default: what counts where nothing is passed.
        help: what it does, for docstrings, field descriptions, docs/options.md and the command's help.
        check: refuses a value that can't be used.
        read: what is passed -> what is kept.
        takes: the annotation of what may be passed, where that is more than what is kept.
        variable: the environment variable that is read where None is passed.
        shown: the default in words, where the value doesn't say it.
        per_call: sent with each call, so it may change between two.
        adapters: whether the adapters have it too.
    """

    default: Any
    help: str
    check: Check
    read: Read = _as_it_is
    takes: str | None = None
    variable: str | None = None
    shown: str | None = None
    per_call: bool = False
    adapters: bool = True


def option(*args: Any, **kwargs: Any) -> dict[str, Option]:
    """An Option as the metadata of a dataclass' field."""
    return {"option": Option(*args, **kwargs)}


def optional(check: Check) -> Check:
    """`check`, but None passes."""

    def unless_none(name: str, value: Any) -> None:
        if value is not None:
            check(name, value)

    return unless_none


def at_least(least: int) -> Check:
    """A check for an integer of at least `least`. The check raises InvalidInputError otherwise."""

    def check(name: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InvalidInputError(name, value, f"pass an integer of at least {least}")

    return check


def one_of(*values: str) -> Check:
    """A check for one of these strings. The check raises InvalidInputError otherwise."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, str) or value not in values:
            raise InvalidInputError(name, value, f"pass {' or '.join(map(json.dumps, values))}")

    return check


def seconds(name: str, value: Any) -> None:
    """Check for a number of seconds above 0; bool is no number. Raises: InvalidInputError otherwise."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value <= _MOST_SECONDS:
        raise InvalidInputError(name, value, f"pass a number of seconds above 0, {_MOST_SECONDS:,} at most")


def switch(name: str, value: Any) -> None:
    """Check for True or False, and nothing that is merely truthy. Raises: InvalidInputError otherwise."""
    if not isinstance(value, bool):
        raise InvalidInputError(name, value, "pass True or False")


def text(name: str, value: Any) -> None:
    """Check for a text that isn't blank. Raises: InvalidInputError otherwise."""
    check_text(name, value)


def sent_name(name: str, value: Any) -> None:
    """Check for a name that a request can carry. Raises: InvalidInputError otherwise."""
    text(name, value)
    check_encodable(name, value)


def secret(name: str, value: Any) -> None:
    """Check for a key that fits into a header: printable ASCII. Raises: InvalidInputError otherwise."""
    if not isinstance(value, SecretStr) or not isinstance(value.get_secret_value(), str):
        raise InvalidInputError(name, type(value), "pass a string or a SecretStr")
    plain = value.get_secret_value()
    fits = plain.isascii() and plain.isprintable() and plain == plain.strip()
    del plain  # a traceback with locals shows what is left
    if not fits:
        remedy = "pass printable ASCII without spaces or line ends around it (was it read from a file?)"
        raise InvalidInputError(name, MASK, remedy)


def read_secret(value: Any) -> Any:
    """A string, or another library's secret, as our SecretStr; None for an empty one."""
    key = SecretStr(value) if isinstance(value, str) else value
    del value  # from here on no local shows it
    if isinstance(key, SecretLike):
        key = SecretStr(key.get_secret_value())
    return None if isinstance(key, SecretStr) and key.get_secret_value() == "" else key


def read_url(value: Any) -> Any:
    """The address without trailing slashes; the default where there is none."""
    url = DEFAULT_BASE_URL if value is None else value
    return url.rstrip("/") if isinstance(url, str) else url


def url(name: str, value: Any) -> None:
    """Check for scheme, host, port and an optional path; what may hold a password isn't shown.

    Raises: InvalidInputError otherwise.
    """
    if not isinstance(value, str):
        raise InvalidInputError(name, value, f"pass a string such as {DEFAULT_BASE_URL}")
    shown = "…@…" if "@" in value else value.partition("?")[0].partition("#")[0]
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        usable = usable and value.isprintable() and " " not in value  # urlsplit overlooks line ends
    except ValueError:  # a port that is no number, a broken IPv6 address
        raise InvalidInputError(name, "…", f"pass scheme://host:port, such as {DEFAULT_BASE_URL}") from None
    if "@" in parts.netloc:
        raise InvalidInputError(name, shown, f"take the credentials out of the address; use {API_KEY_VARIABLE}")
    if not usable:
        raise InvalidInputError(name, shown, f"pass scheme, host and port, such as {DEFAULT_BASE_URL}")
    if parts.query or parts.fragment:
        raise InvalidInputError(name, shown, "leave out what follows ? or #")
    if value.endswith("/v1"):
        raise InvalidInputError(name, value, "leave out the trailing /v1; it is added for you")


def read_path(value: Any) -> Any:
    """A path as a string."""
    return str(value) if isinstance(value, os.PathLike) else value


def path(name: str, value: Any) -> None:
    """Check for a path, without looking at the disk. Raises: InvalidInputError otherwise."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidInputError(name, value, "pass a path, or None")


def backoff(name: str, value: Any) -> None:
    """Check for a Backoff whose times are 0 or a number of seconds. Raises: InvalidInputError otherwise."""
    if not isinstance(value, Backoff):
        raise InvalidInputError(name, value, "pass a qwen3_sglang.Backoff")
    for field in ("base", "cap"):
        if getattr(value, field) != 0:  # 0: no wait
            seconds(f"{name}.{field}", getattr(value, field))


def template(name: str, value: Any) -> None:
    """Check for a Template. Raises: InvalidInputError otherwise."""
    if not isinstance(value, Template):
        raise InvalidInputError(name, value, "pass a qwen3_sglang.prompts.template.Template")


def bundle(name: str, value: Any) -> None:
    """Check for True, False, or the path of certificates that can be loaded. Raises: InvalidInputError otherwise."""
    if isinstance(value, bool):
        return
    remedy = "pass True, False, or the path of a CA bundle: a file of PEM certificates, or a folder c_rehash made"
    if not isinstance(value, str) or not os.path.exists(value):
        raise InvalidInputError(name, value, remedy)
    try:
        if not os.path.isdir(value):
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
    except OSError as error:  # ssl.SSLError is one
        raise InvalidInputError(name, value, f"{remedy} ({error.strerror or error})") from None
