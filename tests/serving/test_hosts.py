"""Under which names a server may be asked."""

from __future__ import annotations

import pytest

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.serving.hosts import Hosts, read_hosts

OPEN = "0.0.0.0"  # noqa: S104 - nothing listens here


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:30080", "localhost:1", "LOCALHOST", "localhost.", "[::1]:30080", "127.8.9.1", "box", "BOX:80", ""],
)
def test_this_machines_names_may(host: str) -> None:
    """And those that were allowed; a request without Host comes from no browser."""
    assert read_hosts("127.0.0.1", ["Box"], keyed=False).refusal(host) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:30080",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "[::1",
        "192.168.0.7:30080",
        "user@evil.example",
        "127.0.0.1@evil.example",
        "box.evil.example",
    ],
)
def test_rebound_names_may_not(host: str) -> None:
    """The message says how to allow one."""
    assert "--allow-host" in (read_hosts("127.0.0.1", ["box"], keyed=False).refusal(host) or "")


def test_an_open_address_is_asked_by_any_address() -> None:
    """As health probes do; names must be allowed, or a key guards it."""
    hosts = read_hosts(OPEN, ["box"], keyed=False)
    assert [hosts.refusal(host) for host in ("10.0.0.7:30000", "[fd00::7]:30000", "box:30000", "127.0.0.1")] == [
        None
    ] * 4
    assert hosts.refusal("evil.example") is not None
    assert Hosts(OPEN, keyed=True).refusal("evil.example") is None


@pytest.mark.parametrize("name", ["", "http://box", "box:80", "box/x", "a b@c"])
def test_what_is_no_name_is_refused(name: str) -> None:
    """At the start, not at the first request."""
    with pytest.raises(InvalidInputError, match="allow_hosts"):
        read_hosts("127.0.0.1", [name], keyed=False)


def test_an_open_address_needs_a_key_or_names() -> None:
    """Others can reach it."""
    with pytest.raises(InvalidInputError, match="api_key too, or allow_hosts"):
        read_hosts(OPEN, [], keyed=False)
    assert read_hosts(OPEN, [], keyed=True).keyed
