"""Arguments and environment -> frozen, validated settings."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.names import API_KEY_VARIABLE, BASE_URL_VARIABLE
from qwen3_sglang.prompts.template import QWEN3, Template
from qwen3_sglang.prompts.texts import check_text
from qwen3_sglang.protocol.endpoints import DEFAULT_ENDPOINT, ENDPOINTS
from qwen3_sglang.protocol.retry import DEFAULT_BACKOFF, Backoff
from qwen3_sglang.secret import MASK, SecretLike, SecretStr

OnError = Literal["raise", "passthrough"]
BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_MOST_SECONDS = 1_000_000  # more than 11 days; sockets and locks take no more than weeks
DEFAULT_BASE_URL = "http://127.0.0.1:30000"  # the port of `sglang.launch_server`


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a call needs to know, checked once.

    Attributes:
        base_url: scheme, host, port and an optional path, without a trailing slash.
        api_key: sent as a bearer token; None sends none.
        model: name the server knows the model by; None asks the server.
        instruction: the task, in the template's words.
        batch_size: prompts a request.
        max_concurrency: requests in flight at once, for one client (per event loop when async).
        timeout: seconds that one call may take in all, every retry included.
        connect_timeout: seconds to get a connection, and to send a request over a new one.
        read_timeout: seconds between two pieces of an answer; None: what is left of `timeout`.
        max_retries: how often a request that failed for now is sent again; None: while `timeout` lasts.
        on_error: "raise", or "passthrough": `rerank` gives the documents back unscored and marked.
        backoff: how long to wait before a retry.
        max_length: tokens that a prompt may have; None: the template's limit, or the server's where that is lower.
        tokenizer: folder, or tokenizer.json, that tells where to cut; None asks the server.
        escape_special_tokens: whether special tokens inside texts are broken.
        endpoint: which of ENDPOINTS is asked.
        cache_size: scores to remember; 0 remembers none.
        verify: whether TLS certificates are checked, or the CA bundle (file or folder) to check them by.
        template: the served model's prompt.
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
    verify: bool | str
    template: Template = QWEN3

    def __post_init__(self) -> None:
        _check_base_url(self.base_url)
        if not isinstance(self.template, Template):
            raise InvalidInputError("template", self.template, "pass a qwen3_sglang.prompts.template.Template")
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
        _check_backoff(self.backoff)
        if self.max_length is not None:
            _check_count("max_length", self.max_length)
        if not isinstance(self.escape_special_tokens, bool):
            raise InvalidInputError("escape_special_tokens", self.escape_special_tokens, "pass True or False")
        if not isinstance(self.endpoint, str) or self.endpoint not in ENDPOINTS:
            raise InvalidInputError("endpoint", self.endpoint, f"pass one of {', '.join(map(repr, ENDPOINTS))}")
        _check_count("cache_size", self.cache_size, least=0)
        _check_verify(self.verify)


def make_settings(
    base_url: str | None = None,
    *,
    api_key: str | SecretLike | None = None,
    model: str | None = None,
    instruction: str | None = None,
    batch_size: int = 32,
    max_concurrency: int = 32,
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
    verify: bool | str | os.PathLike[str] = True,
    template: Template = QWEN3,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from arguments; what is None comes from the environment, then from the defaults.

    Raises:
        InvalidInputError: any value that can't be used; the message names it and what to pass.
    """
    api_key = _secret(api_key if api_key is not None else _variable(API_KEY_VARIABLE, environ))
    url = base_url if base_url is not None else _variable(BASE_URL_VARIABLE, environ) or DEFAULT_BASE_URL
    return Settings(
        base_url=url.rstrip("/") if isinstance(url, str) else url,
        api_key=api_key,
        model=model,
        instruction=getattr(template, "instruction", "") if instruction is None else instruction,
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
        verify=_bundle(verify, url, environ),
        template=template,
    )


def _variable(name: str, environ: Mapping[str, str] | None) -> str | None:
    # os.environ is never a local: a traceback with locals would print all of it.
    return (os.environ if environ is None else environ).get(name)


def _bundle(verify: object, url: object, environ: Mapping[str, str] | None) -> Any:
    """`verify`, or the bundle that requests' own variables name, where there is something to verify."""
    if verify is True and isinstance(url, str) and url.startswith("https:"):
        return next(filter(None, (_variable(name, environ) for name in BUNDLE_VARIABLES)), True)
    return str(verify) if isinstance(verify, os.PathLike) else verify


def _path(field: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, (str, os.PathLike)) or not str(value).strip():
        raise InvalidInputError(field, value, "pass a path, or None")
    return os.fspath(value) if isinstance(value, str) else str(value)


def _secret(value: object) -> SecretStr | None:
    key = SecretStr(value) if isinstance(value, str) else value
    del value  # from here on no local shows it
    if isinstance(key, SecretLike):
        key = SecretStr(key.get_secret_value())
    if key is None or (isinstance(key, SecretStr) and key.get_secret_value() == ""):
        return None
    if not isinstance(key, SecretStr) or not isinstance(key.get_secret_value(), str):
        raise InvalidInputError("api_key", type(key), "pass a string or a SecretStr")
    if not _fits_a_header(key):
        remedy = "pass printable ASCII without spaces or line ends around it (was it read from a file?)"
        raise InvalidInputError("api_key", MASK, remedy)
    return key


def _fits_a_header(key: SecretStr) -> bool:
    value = key.get_secret_value()
    return value.isascii() and value.isprintable() and value == value.strip()


def _check_base_url(url: object) -> None:
    if not isinstance(url, str):
        raise InvalidInputError("base_url", url, "pass a string such as http://127.0.0.1:30000")
    # What may hold a password isn't shown.
    shown = "…@…" if "@" in url else url.partition("?")[0].partition("#")[0]
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        usable = usable and url.isprintable() and " " not in url  # urlsplit overlooks line ends
    except ValueError:  # a port that is no number, a broken IPv6 address
        raise InvalidInputError("base_url", "…", f"pass scheme://host:port, such as {DEFAULT_BASE_URL}") from None
    if "@" in parts.netloc:
        raise InvalidInputError("base_url", shown, f"take the credentials out of the address; use {API_KEY_VARIABLE}")
    if not usable:
        raise InvalidInputError("base_url", shown, f"pass scheme, host and port, such as {DEFAULT_BASE_URL}")
    if parts.query or parts.fragment:
        raise InvalidInputError("base_url", shown, "leave out what follows ? or #")
    if url.endswith("/v1"):
        raise InvalidInputError("base_url", url, "leave out the trailing /v1; it is added for you")


def _check_count(field: str, value: object, *, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidInputError(field, value, f"pass an integer of at least {least}")


def _check_seconds(field: str, value: object) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value <= _MOST_SECONDS:  # type: ignore[operator]
        raise InvalidInputError(field, value, f"pass a number of seconds above 0, {_MOST_SECONDS:,} at most")


def _check_backoff(value: object) -> None:
    if not isinstance(value, Backoff):
        raise InvalidInputError("backoff", value, "pass a qwen3_sglang.protocol.retry.Backoff")
    for field in ("base", "cap"):
        if getattr(value, field) != 0:  # which waits not at all
            _check_seconds(f"backoff.{field}", getattr(value, field))


def _check_verify(value: object) -> None:
    if isinstance(value, bool):
        return
    remedy = "pass True, False, or the path of a CA bundle: a file of PEM certificates, or a folder c_rehash made"
    if not isinstance(value, str) or not os.path.exists(value):
        raise InvalidInputError("verify", value, remedy)
    try:
        if not os.path.isdir(value):
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
    except OSError as error:  # ssl.SSLError is one
        raise InvalidInputError("verify", value, f"{remedy} ({error.strerror or error})") from None
