"""What requests reads from the environment, read alike for aiohttp: proxies, CA bundles, netrc."""

from __future__ import annotations

import os
import ssl
from base64 import b64encode
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from requests.utils import (
    DEFAULT_CA_BUNDLE_PATH,
    get_environ_proxies,
    get_netrc_auth,
    select_proxy,
)

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.secret import SecretStr
from qwen3_sglang.settings import Settings

_LEAST_VALUE = 4  # characters of a header's value that is hidden in what a peer says


def proxy_for(url: str) -> str | None:
    """The proxy, by HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, as requests chooses it.

    Raises:
        InvalidInputError: a kind of proxy that aiohttp can't speak to.
    """
    found = select_proxy(url, get_environ_proxies(url))
    if not found:
        return None
    address = found if "://" in found else f"http://{found}"
    scheme = urlsplit(address).scheme
    if scheme not in {"http", "https"}:
        remedy = "name an http:// or https:// proxy, or list the server's host in NO_PROXY"
        raise InvalidInputError(f"{urlsplit(url).scheme.upper()}_PROXY", f"{scheme}://…", remedy)
    return address


def proxy_named(url: str) -> str | None:
    """Host and port of the proxy that the environment names for the address, for a message; None without one."""
    found = select_proxy(url, get_environ_proxies(url))
    return found.rpartition("@")[2].rpartition("//")[2].rstrip("/") if found else None


def netrc_login(url: str) -> str | None:
    """The Authorization header by what ~/.netrc, or the file that NETRC names, has for the address's host."""
    found = get_netrc_auth(url)
    return found and "Basic " + b64encode(":".join(found).encode("latin-1")).decode()


def secrets_of(settings: Settings) -> list[SecretStr]:
    """What must be in no message: key or netrc's login, headers, the proxies' passwords, in every form sent."""
    url, sent = settings.base_url, [*_values(settings.headers or {}), *_proxy_passwords(settings.base_url)]
    if settings.api_key is not None:
        return [settings.api_key, *sent]
    login = None if names_login(settings) else get_netrc_auth(url)
    return [*(_login(*login) if login else ()), *sent]


def names_login(settings: Settings) -> bool:
    """Whether the user says how to log in, so that ~/.netrc doesn't count."""
    return settings.api_key is not None or (
        settings.headers is not None and "authorization" in settings.headers.names()
    )


def _values(headers: Mapping[str, SecretStr]) -> list[SecretStr]:
    """The values, and the credentials behind a scheme such as "Basic". Shorter ones occur in ordinary words."""
    plain = [secret.get_secret_value() for secret in headers.values()]
    parts = [text.partition(" ")[2].strip() for text in plain]
    return [SecretStr(text) for text in (*plain, *parts) if len(text) >= _LEAST_VALUE]


def _proxy_passwords(url: str) -> list[SecretStr]:
    found = []
    for proxy in get_environ_proxies(url).values():
        before, at, _ = proxy.rpartition("@")
        user, colon, password = before.rpartition("://")[2].partition(":")
        if at and colon:
            found += _login(unquote(user), unquote(password))
    return found


def _login(user: str, password: str) -> list[SecretStr]:
    forms = [password, b64encode(f"{user}:{password}".encode()).decode()]
    return [SecretStr(form) for form in forms if form]


def tls_for(url: str, verify: bool | str) -> ssl.SSLContext | bool:
    """How aiohttp checks certificates: by the same bundle as requests, not the operating system's."""
    if not verify or not url.startswith("https:"):
        return bool(verify)
    bundle = verify if isinstance(verify, str) else DEFAULT_CA_BUNDLE_PATH
    return _context(bundle, os.stat(bundle).st_mtime_ns)


@lru_cache(maxsize=8)
def _context(bundle: str, _changed: int) -> ssl.SSLContext:
    """Loading a bundle takes some milliseconds: once, until the file changes."""
    if os.path.isdir(bundle):
        return ssl.create_default_context(capath=bundle)
    return ssl.create_default_context(cafile=bundle)
