"""What the environment adds to a client: proxies, a login, and what must be shown nowhere."""

from __future__ import annotations

import base64
import os
import ssl
from pathlib import Path
from typing import Any

import pytest
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from qwen3_sglang import RerankClient
from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.transport.environment import names_login, netrc_login, proxy_for, secrets_of, tls_for

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
URL, TLS = "http://host:30000", "https://host:30000"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing comes from outside."""
    for name in (*PROXIES, *map(str.upper, PROXIES)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))


@pytest.fixture
def netrc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A login for the host."""
    (tmp_path / "netrc").write_text("machine host login me password pass\u00e9")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.mark.parametrize(
    ("value", "proxy"),
    [
        ("proxy:3128", "http://proxy:3128"),
        ("http://proxy:3128", "http://proxy:3128"),
        ("https://p", "https://p"),
        ("", None),
    ],
)
def test_a_proxy_without_a_scheme_is_http(monkeypatch: pytest.MonkeyPatch, value: str, proxy: str | None) -> None:
    """As curl reads it; an empty value is none."""
    monkeypatch.setenv("HTTP_PROXY", value)
    assert proxy_for(URL) == proxy
    assert proxy_for(TLS) is None


@pytest.mark.parametrize(("url", "field"), [(URL, "HTTP_PROXY"), (TLS, "HTTPS_PROXY")])
def test_a_kind_of_proxy_that_only_sync_calls_can_use(monkeypatch: pytest.MonkeyPatch, url: str, field: str) -> None:
    """The variable is named, its password isn't shown."""
    monkeypatch.setenv("ALL_PROXY", "socks5://me:pass@proxy:1080")
    with pytest.raises(InvalidInputError, match=r"socks5://….*NO_PROXY") as caught:
        proxy_for(url)
    assert caught.value.field == field
    assert "pass@" not in str(caught.value)


@pytest.mark.usefixtures("netrc")
def test_a_login_of_the_host() -> None:
    """In Latin-1, as requests sends it; other hosts get none."""
    assert netrc_login(URL) == "Basic " + base64.b64encode("me:pass\u00e9".encode("latin-1")).decode()
    assert netrc_login("http://other:30000") is None


@pytest.mark.usefixtures("netrc")
def test_what_must_be_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key, or the login that is sent where there is none; proxies' passwords, plain and as they are sent."""
    monkeypatch.setenv("HTTP_PROXY", "http://us%40er:p%3Aw@proxy:3128")
    monkeypatch.setenv("HTTPS_PROXY", "http://nobody@proxy:3128")
    monkeypatch.setenv("ALL_PROXY", "http://:@proxy:3128")
    proxy = ["p:w", base64.b64encode(b"us@er:p:w").decode(), base64.b64encode(b":").decode()]
    login = ["pass\u00e9", base64.b64encode("me:pass\u00e9".encode()).decode()]

    def secrets(url: str, api_key: str | None) -> list[str]:
        return sorted(one.get_secret_value() for one in secrets_of(RerankClient(url, api_key=api_key).settings))

    assert secrets(URL, "sk-1") == sorted(["sk-1", *proxy])
    assert secrets(URL, None) == sorted([*login, *proxy])
    assert secrets("http://other", None) == sorted(proxy)


def test_certificates_are_checked_where_there_are_any(tmp_path: Path) -> None:
    """By a file or a folder, anew once it has changed; not at all for plain HTTP."""
    assert (tls_for(URL, True), tls_for(URL, False), tls_for(TLS, False)) == (True, False, False)
    assert tls_for(URL, "/nowhere") is True
    checked = tls_for(TLS, True)
    assert isinstance(checked, ssl.SSLContext)
    assert checked.verify_mode is ssl.CERT_REQUIRED
    assert checked.cert_store_stats()["x509"] > 10
    assert tls_for(TLS, True) is checked
    folder = tls_for(TLS, str(tmp_path))
    assert isinstance(folder, ssl.SSLContext)
    assert folder.cert_store_stats()["x509"] == 0
    os.utime(tmp_path, (1, 1))
    assert tls_for(TLS, str(tmp_path)) is not folder


def test_values_of_headers_are_shown_nowhere() -> None:
    """Nor what follows a scheme; words of three characters are left: they occur in any message."""
    headers = {"Authorization": "Basic dXNlcg==", "X-Long": "four", "X-Short": "abc", "X-Both": "abc abcd"}
    settings = RerankClient(URL, headers=headers).settings
    hidden = {one.get_secret_value() for one in secrets_of(settings)}
    assert hidden == {"Basic dXNlcg==", "dXNlcg==", "four", "abc abcd", "abcd"}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, False),
        ({"api_key": "sk-1"}, True),
        ({"headers": {"AUTHORIZATION": "Basic dXNlcg=="}}, True),
        ({"headers": {"X-Other": "value"}}, False),
    ],
)
def test_who_logs_in_needs_no_netrc(options: dict[str, Any], named: bool) -> None:
    """By a key or a header, however that is written."""
    assert names_login(RerankClient(URL, **options).settings) is named


def test_a_bundle_in_a_file(tmp_path: Path) -> None:
    """One's own is read, and nothing else is trusted."""
    bundle = tmp_path / "one.pem"
    whole = Path(DEFAULT_CA_BUNDLE_PATH).read_text()
    end = "-----END CERTIFICATE-----"
    bundle.write_text(whole[whole.index("-----BEGIN CERTIFICATE-----") : whole.index(end)] + end + "\n")
    checked = tls_for(TLS, str(bundle))
    assert isinstance(checked, ssl.SSLContext)
    assert checked.cert_store_stats()["x509"] == 1


def test_eight_bundles_are_kept(tmp_path: Path) -> None:
    """The one that wasn't used for longest is forgotten first."""
    folders = [tmp_path / str(number) for number in range(9)]
    for folder in folders:
        folder.mkdir()
    first = tls_for(TLS, str(folders[0]))
    for folder in folders[1:8]:
        tls_for(TLS, str(folder))
    assert tls_for(TLS, str(folders[0])) is first
    for folder in folders[1:9]:
        tls_for(TLS, str(folder))
    assert tls_for(TLS, str(folders[0])) is not first
