"""What every probe works with: a reranker, the server that it asks, and the table of probes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from peer_frameworks import FRAMEWORKS, Framework
from peer_server import PeerServer
from peers import Peer

TEXTS = ["tea p=0.2", "Beijing p=0.9", "gravity p=0.6"]


class Bench:
    """A reranker, its framework, and the server that it asks."""

    def __init__(self, peer: Peer, server: PeerServer) -> None:
        self.peer, self.server = peer, server
        self.frame: Framework = FRAMEWORKS[peer.framework]()

    def make(self, **options: Any) -> Any:
        """Three documents to keep, unless told otherwise; the server starts afresh."""
        self.server.clear()
        return self.peer.make(self.server, **({"top_n": 3} | options))

    def made_with(self, **options: Any) -> Any | None:
        """None where there is no such option."""
        try:
            return self.make(**options)
        except Exception:
            return None

    def rerank(self, made: Any, texts: list[str] | None = None) -> list[Any]:
        """What comes of a sync call."""
        return list(self.frame.call(made, self.frame.documents(TEXTS if texts is None else texts)))

    async def arerank(self, made: Any) -> list[Any]:
        """What comes of an async call."""
        return list(await self.frame.acall(made, self.frame.documents(TEXTS)))

    def sent(self) -> list[str]:
        """All texts that the server was sent."""
        return [text for asked in self.server.asked for text in asked.texts]


Probe = Callable[[Bench], str]
PROBES: dict[str, Probe] = {}


def row(title: str) -> Callable[[Probe], Probe]:
    """Enter a probe under the title of its row."""

    def enter(probe: Probe) -> Probe:
        PROBES[title] = probe
        return probe

    return enter


def named(error: BaseException) -> str:
    """Its package and class."""
    module = type(error).__module__.partition(".")[0]
    return f"`{type(error).__name__}`" if module == "builtins" else f"`{module}.{type(error).__name__}`"


def outcome(call: Callable[[], str]) -> str:
    """What the call says, or the error that it raises."""
    try:
        return call()
    except Exception as error:
        return f"raises {named(error)}"  # any exception is a finding
