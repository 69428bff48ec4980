"""Who may use the API from a browser."""

from __future__ import annotations

import pytest

from qwen3_sglang.playground.guard import CONTENT_SECURITY_POLICY, refusal

HOST = "127.0.0.1:30080"


@pytest.mark.parametrize(
    "headers",
    [
        {"host": HOST},
        {"host": "localhost:1"},
        {"host": "LOCALHOST"},
        {"host": "[::1]:30080"},
        {"host": HOST, "origin": f"http://{HOST}", "sec-fetch-site": "same-origin"},
        {"host": HOST, "sec-fetch-site": "none"},
    ],
)
def test_the_page_and_programs_of_this_machine_may(headers: dict[str, str]) -> None:
    """A program sends no Origin."""
    assert refusal(headers) is None


@pytest.mark.parametrize(
    ("headers", "word"),
    [
        ({"host": HOST, "origin": "http://evil.example"}, "Origin"),
        ({"host": HOST, "origin": "http://127.0.0.1:8000"}, "Origin"),
        ({"host": HOST, "origin": "null"}, "Origin"),
        ({"host": HOST, "origin": "http://[::1"}, "Origin"),
        ({"host": HOST, "sec-fetch-site": "cross-site"}, "another site"),
        ({"host": HOST, "sec-fetch-site": "same-site"}, "another site"),
    ],
)
def test_other_sites_may_not(headers: dict[str, str], word: str) -> None:
    """Their Origin, or what the browser calls the request, tells."""
    assert word in (refusal(headers) or "")


def test_the_policy_allows_nothing_unsafe() -> None:
    """And nothing by default."""
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'")
    assert "http" not in CONTENT_SECURITY_POLICY
