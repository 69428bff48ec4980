"""Arguments and environment -> frozen, validated settings."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, get_args, runtime_checkable
from urllib.parse import urlsplit

from qwen3_sglang.endpoints import DEFAULT_ENDPOINT, ENDPOINTS
from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.prompt import DEFAULT_INSTRUCTION, check_text
from qwen3_sglang.retry import DEFAULT_BACKOFF, Backoff

BASE_URL_VARIABLE = "QWEN3_SGLANG_BASE_URL"
API_KEY_VARIABLE = "QWEN3_SGLANG_API_KEY"
OnError = Literal["raise", "passthrough"]
DEFAULT_BASE_URL = "http://127.0.0.1:30000"  # the port of `sglang.launch_server`


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
        return "SecretStr('**********')"

    def __copy__(self) -> SecretStr:
        return self

    def __deepcopy__(self, _memo: object) -> SecretStr:  # so that dataclasses.asdict works
        return self

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError(f"a secret is never pickled: set {API_KEY_VARIABLE} where the copy runs")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a call needs to know, checked once.

    Attributes:
        base_url: scheme, host, port and an optional path, without a trailing slash.
        api_key: sent as a bearer token; None sends none.
        model: name the server knows the model by; None asks the server.
        instruction: the task, in Qwen3's template.
        batch_size: prompts a request.
        max_concurrency: requests in flight at once, for one client (per event loop when async).
        timeout: seconds that one call may take in all, every retry included.
        connect_timeout: seconds to get a connection, and to send a request over a new one.
        read_timeout: seconds between two pieces of an answer; None: what is left of `timeout`.
        max_retries: how often a request that failed for now is sent again; None: while `timeout` lasts.
        on_error: "raise", or "passthrough": `rerank` gives the documents back unscored and marked.
        backoff: how long to wait before a retry.
        max_length: tokens that a prompt may have; None: 8192, or the server's limit where that is lower.
        tokenizer: folder, or tokenizer.json, that tells where to cut; None asks the server.
        escape_special_tokens: whether special tokens inside texts are broken.
        endpoint: which of ENDPOINTS is asked.
        cache_size: scores to remember; 0 remembers none.
    """

    base_url: str
    api_key: SecretStr | None
    model: str | None
    instruction: str
    batch_size: int
    max_concurrency: int
    timeout: float
    connect_timeout: float
    read_timeout: float | None
    max_retries: int | None
    on_error: OnError
    backoff: Backoff
    max_length: int | None
    tokenizer: str | None
    escape_special_tokens: bool
    endpoint: str
    cache_size: int

    def __post_init__(self) -> None:
        _check_base_url(self.base_url)
        check_text("instruction", self.instruction)
        if self.model is not None:
            check_text("model", self.model)
        for field in ("batch_size", "max_concurrency"):
            _check_count(field, getattr(self, field))
        for field in ("timeout", "connect_timeout", "read_timeout"):
            if field != "read_timeout" or self.read_timeout is not None:
                _check_seconds(field, getattr(self, field))
        if self.max_retries is not None:
            _check_count("max_retries", self.max_retries, least=0)
        if not isinstance(self.on_error, str) or self.on_error not in get_args(OnError):
            raise InvalidInputError("on_error", self.on_error, 'pass "raise" or "passthrough"')
        if self.max_length is not None:
            _check_count("max_length", self.max_length)
        if not isinstance(self.escape_special_tokens, bool):
            raise InvalidInputError("escape_special_tokens", self.escape_special_tokens, "pass True or False")
        if not isinstance(self.endpoint, str) or self.endpoint not in ENDPOINTS:
            raise InvalidInputError("endpoint", self.endpoint, f"pass one of {', '.join(map(repr, ENDPOINTS))}")
        _check_count("cache_size", self.cache_size, least=0)


def make_settings(
    base_url: str | None = None,
    *,
    api_key: str | SecretLike | None = None,
    model: str | None = None,
    instruction: str | None = None,
    batch_size: int = 128,
    max_concurrency: int = 8,
    timeout: float = 60.0,
    connect_timeout: float = 10.0,
    read_timeout: float | None = None,
    max_retries: int | None = None,
    on_error: OnError = "raise",
    backoff: Backoff = DEFAULT_BACKOFF,
    max_length: int | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    escape_special_tokens: bool = True,
    endpoint: str = DEFAULT_ENDPOINT,
    cache_size: int = 0,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from arguments; what is None comes from the environment, then from the defaults.

    Raises:
        InvalidInputError: any value that can't be used; the message names it and what to pass.
    """
    environ = os.environ if environ is None else environ
    url = base_url if base_url is not None else environ.get(BASE_URL_VARIABLE) or DEFAULT_BASE_URL
    return Settings(
        base_url=url.rstrip("/") if isinstance(url, str) else url,
        api_key=_secret(api_key if api_key is not None else environ.get(API_KEY_VARIABLE)),
        model=model,
        instruction=DEFAULT_INSTRUCTION if instruction is None else instruction,
        batch_size=batch_size,
        max_concurrency=max_concurrency,
        timeout=timeout,
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        max_retries=max_retries,
        on_error=on_error,
        backoff=backoff,
        max_length=max_length,
        tokenizer=_path("tokenizer", tokenizer),
        escape_special_tokens=escape_special_tokens,
        endpoint=endpoint,
        cache_size=cache_size,
    )


def _path(field: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, (str, os.PathLike)) or not str(value).strip():
        raise InvalidInputError(field, value, "pass a path, or None")
    return os.fspath(value) if isinstance(value, str) else str(value)


def _secret(value: object) -> SecretStr | None:
    if isinstance(value, SecretLike):
        value = value.get_secret_value()
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidInputError("api_key", type(value), "pass a string or a SecretStr")
    if not value.isascii() or not value.isprintable() or value != value.strip():
        remedy = "pass printable ASCII without spaces or line ends around it (was it read from a file?)"
        raise InvalidInputError("api_key", "**********", remedy)
    return SecretStr(value)


def _check_base_url(url: object) -> None:
    if not isinstance(url, str):
        raise InvalidInputError("base_url", url, "pass a string such as http://127.0.0.1:30000")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a broken IPv6 address
        raise InvalidInputError("base_url", "…", f"pass scheme://host:port, such as {DEFAULT_BASE_URL}") from None
    if "@" in parts.netloc:  # the value isn't shown: it holds a password
        raise InvalidInputError("base_url", "…@…", f"take the credentials out of the address; use {API_KEY_VARIABLE}")
    if not usable:
        raise InvalidInputError("base_url", url, f"pass scheme, host and port, such as {DEFAULT_BASE_URL}")
    if parts.query or parts.fragment:
        raise InvalidInputError("base_url", url, "leave out what follows ? or #")
    if url.endswith("/v1"):
        raise InvalidInputError("base_url", url, "leave out the trailing /v1; it is added for you")


def _check_count(field: str, value: object, *, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidInputError(field, value, f"pass an integer of at least {least}")


def _check_seconds(field: str, value: object) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value < math.inf:  # type: ignore[operator]
        raise InvalidInputError(field, value, "pass a number of seconds above 0")
