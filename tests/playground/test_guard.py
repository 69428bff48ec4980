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
    assert refusal(headers, any_host=False) is None


@pytest.mark.parametrize(
    ("headers", "word"),
    [
        ({}, "Host"),
        ({"host": "evil.example:30080"}, "Host"),
        ({"host": "127.0.0.1.evil.example"}, "Host"),
        ({"host": "localhost.evil.example"}, "Host"),
        ({"host": "[::1"}, "Host"),
        ({"host": "192.168.0.7:30080"}, "Host"),
        ({"host": HOST, "origin": "http://evil.example"}, "Origin"),
        ({"host": HOST, "origin": "http://127.0.0.1:8000"}, "Origin"),
        ({"host": HOST, "origin": "null"}, "Origin"),
        ({"host": HOST, "sec-fetch-site": "cross-site"}, "another site"),
        ({"host": HOST, "sec-fetch-site": "same-site"}, "another site"),
    ],
)
def test_other_sites_may_not(headers: dict[str, str], word: str) -> None:
    """Rebound names are told by Host, other pages by Origin."""
    assert word in (refusal(headers, any_host=False) or "")


def test_with_a_key_any_name_will_do_but_no_other_site() -> None:
    """The key keeps rebound names out; Origin still counts."""
    assert refusal({"host": "reranker.lan:30000"}, any_host=True) is None
    assert refusal({"host": "reranker.lan", "origin": "http://evil.example"}, any_host=True) is not None


def test_the_policy_allows_nothing_unsafe() -> None:
    """And nothing by default."""
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'")
    assert "http" not in CONTENT_SECURITY_POLICY
