"""TLS is verified, by the caller's own bundle too; proxies, netrc and bundles count as in requests.

Tests of `transport/environment.py`, `transport/sessions.py`.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from qwen3_sglang import ServerError, ServerUnreachableError
from qwen3_sglang.errors import InvalidInputError
from ways import KEY, Answer, Server, use

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor bundles."""
    for name in (*PROXIES, *map(str.upper, PROXIES), "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"):
        monkeypatch.delenv(name, raising=False)


def test_an_unknown_authority_is_refused(tls: Server, way: str) -> None:
    """By default, before the key or a document is sent; the message names verify=."""
    with pytest.raises(ServerUnreachableError, match=r"isn't trusted.*verify="):
        use(way, base_url=tls.url, api_key=KEY).call()
    assert tls.seen == []


@pytest.mark.parametrize("given", [str, Path])
def test_a_bundle_of_ones_own(tls: Server, way: str, bundle: Path, given: Any) -> None:
    """verify= takes its path."""
    use(way, base_url=tls.url, api_key=KEY, verify=given(bundle)).call()
    assert {request["authorization"] for request in tls.seen} == {f"Bearer {KEY}"}


def test_a_bundle_of_ones_own_still_checks_the_name(tls: Server, way: str, bundle: Path) -> None:
    """The certificate is for 127.0.0.1, not for localhost."""
    with pytest.raises(ServerUnreachableError, match="isn't trusted"):
        use(way, base_url=tls.url.replace("127.0.0.1", "localhost"), verify=str(bundle)).call()
    assert tls.seen == []


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_no_verification_only_when_asked_for(tls: Server, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """verify=False, which no environment variable overrides."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    use(way, base_url=tls.url, verify=False).call()
    assert tls.seen


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_environments_bundle(
    tls: Server, way: str, bundle: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As requests reads it."""
    monkeypatch.setenv(variable, str(bundle))
    use(way, base_url=tls.url).call()
    assert tls.seen


def test_an_argument_wins_over_the_environment(
    tls: Server, way: str, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An explicit path is never replaced by REQUESTS_CA_BUNDLE."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    use(way, base_url=tls.url, verify=str(bundle)).call()
    assert tls.seen


@pytest.mark.parametrize("wrong", ["missing", "no certificate"])
def test_an_unusable_bundle_is_named(way: str, wrong: str, tmp_path: Path) -> None:
    """At construction."""
    path = tmp_path / "ca.pem"
    if wrong != "missing":
        path.write_text("no certificate")
    with pytest.raises(InvalidInputError, match="PEM") as caught:
        use(way, base_url="https://host", verify=str(path))
    assert caught.value.field == "verify"


def test_through_a_proxy(other: Server, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY is asked for the whole address."""
    monkeypatch.setenv("HTTP_PROXY", other.url)
    use(way, base_url="http://reranker.invalid:30000").call()
    first, *_, last = [request["request"].split()[1] for request in other.seen]
    assert first == "http://reranker.invalid:30000/v1/models"
    assert last == "http://reranker.invalid:30000/v1/classify"


@pytest.mark.parametrize(
    ("variables", "through"),
    [
        ({"ALL_PROXY": "{}"}, True),
        ({"all_proxy": "{}"}, True),
        ({"http_proxy": "{}", "HTTP_PROXY": "http://127.0.0.1:9"}, True),
        ({"HTTPS_PROXY": "{}"}, False),
        ({"HTTP_PROXY": "{}", "NO_PROXY": "127.0.0.1"}, False),
        ({"HTTP_PROXY": "{}", "NO_PROXY": "127.0.0.0/8"}, False),
        ({"HTTP_PROXY": "{}", "NO_PROXY": "*"}, False),
        ({"HTTP_PROXY": "{}", "NO_PROXY": "other.host"}, True),
    ],
    ids=str,
)
def test_which_proxy(
    origin: Server, other: Server, variables: dict[str, str], through: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sync and async choose alike."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(other.url))
    for mode in ("sync", "async"):
        use(f"client {mode}", base_url=origin.url).call()
        assert (bool(other.seen), bool(origin.seen)) == (through, not through)
        other.seen.clear()
        origin.seen.clear()


def test_a_proxys_password(other: Server, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goes to the proxy in its own header."""
    monkeypatch.setenv("HTTP_PROXY", other.url.replace("//", "//user:p%40ss@"))
    use(way, base_url="http://reranker.invalid").call()
    expected = "Basic " + base64.b64encode(b"user:p@ss").decode()
    assert {request["proxy-authorization"] for request in other.seen} == {expected}


REFUSALS = [(Answer(403, b"<html>"), True), (Answer(503, b""), True), (Answer(200, b"<html>"), True)]


@pytest.mark.parametrize(("answer", "named"), [*REFUSALS, (Answer(403, b'{"error":"no"}'), False)])
def test_a_proxy_that_refuses_is_named(
    other: Server, way: str, answer: Answer, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server on this machine isn't reached through it; what a server says in JSON is its own."""
    monkeypatch.setenv("HTTP_PROXY", other.url.replace("//", "//user:p4ss@"))
    other.answer = answer
    with pytest.raises(ServerError) as caught:
        use(way, base_url="http://127.0.0.2:30000", model="toy", max_retries=0).call()
    assert (f"the environment names the proxy {other.url[7:]}: is that right?" in str(caught.value)) is named
    assert "p4ss" not in str(caught.value)


def test_a_tls_proxy_never_sees_the_key(other: Server, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for a tunnel and nothing else; its password is in no message."""
    monkeypatch.setenv("HTTPS_PROXY", other.url.replace("//", "//user:p4ss@"))
    with pytest.raises(ServerUnreachableError) as caught:
        use(way, base_url="https://reranker.invalid", api_key=KEY, timeout=5.0).call()
    assert {request["request"].rsplit(" ", 1)[0] for request in other.seen} == {"CONNECT reranker.invalid:443"}
    assert KEY not in str(other.seen)
    assert "p4ss" not in f"{caught.value}"


def test_a_proxy_that_nobody_speaks(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typed error, not aiohttp's own."""
    monkeypatch.setenv("HTTP_PROXY", "gopher://user:p4ss@host:1")
    with pytest.raises((InvalidInputError, ServerUnreachableError)) as caught:
        use(way, base_url="http://reranker.invalid", timeout=5.0).call()
    assert "p4ss" not in f"{caught.value}"


@pytest.mark.parametrize("key", [KEY, None])
def test_netrc(origin: Server, way: str, key: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login from netrc is used where there is no key, and never in its place."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password pass")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    use(way, base_url=origin.url, api_key=key).call()
    expected = f"Bearer {key}" if key else "Basic " + base64.b64encode(b"user:pass").decode()
    assert {request["authorization"] for request in origin.seen} == {expected}
