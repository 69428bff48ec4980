"""Who may use the playground's API from a browser, and what its page may do; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from qwen3_sglang.serving.loopback import is_loopback

# Trusted Types make the browser refuse text as HTML even where a script would try.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def refusal(headers: Mapping[str, str], *, any_host: bool) -> str | None:
    """Why a request to the API is refused, or None.

    A page of another site can send requests to a loopback address, and by DNS rebinding even read the answers: its
    own name then points here. The browser still tells both, in Origin and in Host.

    Args:
        headers: the request's, by lower-case name.
        any_host: a key guards the API, so the server may be reached by any name.
    """
    host = headers.get("host", "")
    if not any_host and not is_loopback(_name(host)):
        return f"Host {host!r} isn't this machine's loopback address: open the page at http://127.0.0.1:PORT"
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        return f"Origin {origin!r} isn't this page's: only the playground's own page may ask from a browser"
    if headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
        return "the request comes from another site: only the playground's own page may ask from a browser"
    return None


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
