"""Under which names a server may be asked: the guard against DNS rebinding.

A page of another site can point its own name at this machine, and then read what a server here answers. The browser
still tells that name, in Host. An address in Host can't be a rebound name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.serving.loopback import is_loopback

Refuse = Callable[[Scope, str], Response]


@dataclass(frozen=True, slots=True)
class Hosts:
    """The names that requests may come under.

    Attributes:
        listening: the address that is listened on.
        allowed: further names, in lower case and without a port.
        keyed: a key guards the server, so any name will do: a rebound page has no key.
    """

    listening: str
    allowed: frozenset[str] = frozenset()
    keyed: bool = False

    def refusal(self, host: str) -> str | None:
        """Why a request with that Host header is refused, or None. Every browser sends one, some probes don't."""
        name = _name(host)
        if self.keyed or not host or is_loopback(name) or name in self.allowed:
            return None
        if not is_loopback(self.listening) and _is_address(name):
            return None
        remedy = "ask by an address" if not is_loopback(self.listening) else "ask 127.0.0.1 or localhost"
        return f"Host {host[:200]!r} isn't a name of this server: {remedy}, or start it with --allow-host {name[:200]}"


def read_hosts(listening: str, allowed: Sequence[str], *, keyed: bool) -> Hosts:
    """The names, checked.

    Raises:
        InvalidInputError: a name is no name, or an open address has neither a key nor names.
    """
    for name in allowed:
        if not name or _name(name) != name.lower():
            raise InvalidInputError("allow_hosts", name, "pass names without scheme, port and path")
    if not (keyed or allowed or is_loopback(listening)):
        raise InvalidInputError(
            "host", listening, "pass api_key too, or allow_hosts for a network you trust: others can reach this address"
        )
    return Hosts(listening, frozenset(map(str.lower, allowed)), keyed)


class HostGuard:
    """403, on every route, for a Host that isn't one of `hosts`."""

    def __init__(self, app: ASGIApp, hosts: Hosts, refuse: Refuse) -> None:
        self._app = app
        self._hosts = hosts
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        reason = self._hosts.refusal(Headers(scope=scope).get("host", "")) if scope["type"] == "http" else None
        answer: Callable[[Scope, Receive, Send], Awaitable[None]] = (
            self._app if reason is None else self._refuse(scope, reason)
        )
        await answer(scope, receive, send)


def _name(host: str) -> str:
    """The name or address of a Host header, in lower case and without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
