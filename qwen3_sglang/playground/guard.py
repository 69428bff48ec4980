"""Who may use the playground's API from a browser, and what its page may do; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

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


def refusal(headers: Mapping[str, str]) -> str | None:
    """Why a request to the API is refused, or None: another site's page sent it.

    The browser tells, in Origin and Sec-Fetch-Site. Names that a site points here itself are `serving.hosts`' part.

    Args:
        headers: the request's, by lower-case name.
    """
    host = headers.get("host", "")
    origin = headers.get("origin")
    if origin is not None and _netloc(origin) != host.lower():
        return f"Origin {origin!r} isn't this page's: only the playground's own page may ask from a browser"
    if headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
        return "the request comes from another site: only the playground's own page may ask from a browser"
    return None


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None
