"""What the HTTP libraries raise, as our own errors: kind, address, and what to do. Tests of `transport/failures.py`."""

from __future__ import annotations

from http.client import IncompleteRead, RemoteDisconnected
from typing import Any

import aiohttp
import pytest
import requests
import urllib3

from qwen3_sglang import RerankClient, errors
from qwen3_sglang.settings import Settings
from qwen3_sglang.transport.bounds import BrokenHTTPError, TooMuchError
from qwen3_sglang.transport.failures import cleaned, described, timed_out

URL = "http://host:30000"
UNREACHABLE, LATE = errors.ServerUnreachableError, errors.ServerTimeoutError


def settings(**options: Any) -> Settings:
    """Those of a client at URL."""
    return RerankClient(URL, timeout=7, connect_timeout=3, **options).settings


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (requests.ConnectTimeout(), UNREACHABLE, "no connection within connect_timeout=3 s; is base_url right"),
        (aiohttp.ConnectionTimeoutError(), UNREACHABLE, "no connection within connect_timeout=3 s"),
        (requests.ReadTimeout(), LATE, "silent for read_timeout=2 s; raise read_timeout="),
        (urllib3.exceptions.ReadTimeoutError(None, "/", "slow"), LATE, "silent for read_timeout=2 s"),  # type: ignore[arg-type]
        (TimeoutError(), LATE, "silent for read_timeout=2 s"),
        (TooMuchError("more than 5 bytes"), errors.ProtocolError, "more than 5 bytes, longer than any answer; is this"),
        (BrokenHTTPError("no size"), UNREACHABLE, r"isn't usable HTTP \(no size\); what is between"),
        (IncompleteRead(b""), UNREACHABLE, "isn't usable HTTP"),
        (aiohttp.ClientOSError("gone"), UNREACHABLE, r"no answer \(gone\); is the server running there"),
        (requests.ConnectionError(), UNREACHABLE, r"no answer \(ConnectionError\)"),
        (RuntimeError("Session is closed"), UNREACHABLE, r"no answer \(Session is closed\)"),
        (UnicodeError("label too long"), UNREACHABLE, r"no answer \(label too long\)"),
        (KeyError("header"), errors.ProtocolError, r"library failed over the answer \(KeyError: 'header'\)"),
    ],
    ids=repr,
)
def test_each_has_its_kind(error: Exception, kind: type[errors.ServerError], words: str) -> None:
    """The address that was asked is on it."""
    found = described(error, settings(read_timeout=2), "/v1/classify", over=False)
    assert type(found) is kind
    assert found.url == f"{URL}/v1/classify"
    with pytest.raises(kind, match=words):
        raise found


@pytest.mark.parametrize("error", [requests.ConnectTimeout(), requests.ConnectionError("refused"), OSError("refused")])
def test_a_proxy_is_named(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """It is what wasn't reached; a server on this machine behind it is a common slip. Its login isn't shown."""
    monkeypatch.setenv("http_proxy", "http://me:pass@proxy:3128/")
    monkeypatch.setenv("no_proxy", "")
    said = described(error, settings(), "/", over=False).message
    assert "the environment names the proxy proxy:3128: is that right? NO_PROXY lists" in said
    assert "pass" not in said
    monkeypatch.setenv("no_proxy", "host")
    assert "NO_PROXY" not in described(error, settings(), "/", over=False).message


@pytest.mark.parametrize("error", [requests.ReadTimeout(), TimeoutError(), OSError("gone"), requests.ConnectTimeout()])
def test_once_the_time_is_up_nothing_else_counts(error: Exception) -> None:
    """The call took too long: which wait it was that was cut short says nothing."""
    found = described(error, settings(read_timeout=2), "/v1/classify", over=True)
    assert (type(found), found.message) == (LATE, timed_out(settings()).message)
    assert "timeout=7 s" in found.message


def test_silence_without_a_limit_of_its_own() -> None:
    """Only the call's time can have ended it; connecting has its own limit all the same."""
    assert "within timeout=7 s" in described(TimeoutError(), settings(), "/", over=False).message
    assert "connect_timeout=3 s" in described(requests.ConnectTimeout(), settings(), "/", over=False).message


def test_too_much_is_told_even_when_the_time_is_up() -> None:
    """It is what a user can act on."""
    assert type(described(TooMuchError("much"), settings(), "/", over=True)) is errors.ProtocolError


def test_a_libraries_frame_around_the_words_is_left_out() -> None:
    """The address is in the message anyway."""
    words = "Max retries (Caused by NewConnectionError('HTTPConnection(host=\"h\"): Failed to establish: refused'))"
    outer = requests.ConnectionError(f"HTTPConnectionPool(host='h', port=1): {words}")
    assert "no answer (Failed to establish: refused);" in described(outer, settings(), "/", over=False).message
    closed = RemoteDisconnected("closed without an answer")
    assert "closed without an answer" in described(closed, settings(), "/", over=False).message


def test_a_certificate_that_is_not_trusted() -> None:
    """Names the option that takes another."""
    failure = requests.exceptions.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed")
    with pytest.raises(UNREACHABLE, match=r"isn't trusted \(.*self-signed\); if it is the right one.*verify="):
        raise described(failure, settings(), "/", over=False)


def test_a_proxys_password_is_not_shown() -> None:
    """Whatever is between // and @; the host is."""
    failure = requests.ConnectionError("Cannot connect to http://user:hidden@proxy:3128")
    message = described(failure, settings(), "/", over=False).message
    assert "hidden" not in message
    assert "http://…@proxy:3128" in message


@pytest.mark.parametrize("kind", [errors.ServerFailureError, errors.DocumentError])
def test_a_failure_leaves_without_the_key(kind: type[errors.ServerError]) -> None:
    """In its words, its arguments and its reason; and without frames that hold it."""
    more: tuple[Any, ...] = ([0],) if kind is errors.DocumentError else ()
    error = kind(URL, "the key key-123 is wrong", *more)
    error.__cause__ = error.__context__ = ValueError("key-123")
    with pytest.raises(kind) as caught:
        raise error
    found = cleaned(caught.value, settings(api_key="key-123"))
    assert found.__traceback__ is None
    assert (found.__cause__, found.__context__) == (None, None)
    assert found.args == (URL, found.message)
    assert "is wrong" in found.message
    assert "key-123" not in f"{found!r} {found} {getattr(found, 'reason', '')}"


def test_words_that_look_like_a_libraries_frame_are_kept() -> None:
    """Only the first frame is left out: the words themselves may hold one more."""
    inner = "Caused by): refused (Caused by): twice"
    message = described(OSError(f"a: (Caused by X(host): {inner}"), settings(), "/", over=False).message
    assert f"no answer ({inner});" in message
