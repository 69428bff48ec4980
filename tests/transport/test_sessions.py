"""requests' session for a client: what is prepared once is sent as requests sends it.

Tests of `transport/sessions.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from qwen3_sglang.settings import make_settings
from qwen3_sglang.transport.sessions import Session, make_session

URL = "http://127.0.0.1:30000/v1/classify"
WAIT = {"x-wait": "1.5"}


class Wire(requests.adapters.BaseAdapter):
    """Keeps what it is given to send."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[requests.PreparedRequest, dict[str, Any]]] = []

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override] # all of them
        """Answers nothing."""
        self.sent.append((request, options))
        response = requests.Response()
        response.status_code = 200
        return response

    def close(self) -> None:
        """Nothing is held."""


def wired(**options: Any) -> tuple[Session, Wire]:
    """A client's session, and what it sends."""
    session, wire = make_session(make_settings(base_url="http://127.0.0.1:30000", **options)), Wire()
    session.mount("http://", wire)
    return session, wire


@pytest.mark.parametrize("body", [None, b"", b"{}", b"\xff" * 70_000])
@pytest.mark.parametrize("options", [{}, {"api_key": "sk-1"}, {"headers": {"authorization": "Basic x", "a": "b"}}])
def test_it_sends_what_requests_sends(options: dict[str, Any], body: bytes | None) -> None:
    """Each time: method, address, headers, body, and where to."""
    session, wire = wired(**options)
    method = "GET" if body is None else "POST"
    session.request(
        method, URL, data=body, headers=WAIT, timeout=(1, 2), allow_redirects=False, stream=True, verify=False
    )
    for _ in range(2):
        session.ask(URL, body, headers=WAIT, verify=False, timeout=(1, 2))
    (usual, usual_options), *ours = wire.sent
    assert len(ours) == 2
    for request, sent_options in ours:
        assert (request.method, request.url, request.body) == (usual.method, usual.url, usual.body)
        assert dict(request.headers) == dict(usual.headers)
        assert sent_options == usual_options


def test_one_request_leaves_nothing_for_the_next() -> None:
    """Of another length, and with another header."""
    session, wire = wired(api_key="sk-1")
    session.ask(URL, b"12345", headers={"x-first": "1"}, verify=True, timeout=(1, 2))
    session.ask(URL, b"1", headers={"x-second": "2"}, verify=True, timeout=(1, 2))
    session.ask(f"{URL}/more", None, headers={}, verify=True, timeout=(1, 2))
    first, second, third = [request for request, _ in wire.sent]
    assert (first.headers["content-length"], second.headers["content-length"]) == ("5", "1")
    assert ("x-first" in first.headers, "x-first" in second.headers) == (True, False)
    assert (third.method, third.url, "content-length" in third.headers) == ("GET", f"{URL}/more", False)
    assert {request.headers["authorization"] for request, _ in wire.sent} == {"Bearer sk-1"}


def test_the_environment_is_read_once_per_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A proxy and a login; a client made later reads them anew."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login u password p\n")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    session, wire = wired()
    session.ask(URL, b"1", headers={}, verify=True, timeout=(1, 2))
    monkeypatch.setenv("http_proxy", "http://other:3128")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    session.ask(URL, b"1", headers={}, verify=True, timeout=(1, 2))
    assert [options["proxies"]["http"] for _, options in wire.sent] == ["http://proxy:3128"] * 2
    assert ["authorization" in request.headers for request, _ in wire.sent] == [False] * 2
    session, wire = wired()
    session.ask(URL, b"1", headers={}, verify=True, timeout=(1, 2))
    [(request, options)] = wire.sent
    assert options["proxies"]["http"] == "http://other:3128"
    assert request.headers["authorization"].startswith("Basic ")
