"""One finding of a check, of a server or of a folder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        ok: whether it leaves the server or the checkpoint usable.
        text: what was found, and what to do where it is not as it should be.
        note: usable, but not as it should be.
    """

    ok: bool
    text: str
    note: bool = False
