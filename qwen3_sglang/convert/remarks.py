"""What a look at a checkpoint's folder finds, and whether a conversion mends it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from qwen3_sglang.check import Finding


class Verdict(StrEnum):
    """What is to be done with a folder."""

    READY = "serve it as it is"
    CONVERTIBLE = "convert it, and serve the result"
    UNUSABLE = "neither convert nor serve it"


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that was looked at.

    Attributes:
        text: what was found, what it means for the scores, and what to do unless a conversion mends it.
        ok: whether it leaves the folder fit to be served.
        note: fit to be served, but not as it should be.
        mended: whether a conversion makes it right.
    """

    text: str
    ok: bool = False
    note: bool = False
    mended: bool = False


def fine(text: str) -> Remark:
    """A remark that all is as it should be."""
    return Remark(text, ok=True)


def note(text: str, *, mended: bool = False) -> Remark:
    """A remark: usable, but not as it should be."""
    return Remark(text, ok=True, note=True, mended=mended)


def fault(text: str, *, mended: bool = False) -> Remark:
    """A remark: not usable as it is."""
    return Remark(text, mended=mended)


def verdict_of(remarks: list[Remark]) -> Verdict:
    """The verdict; the worst remark decides."""
    faults = [remark for remark in remarks if not remark.ok]
    if not faults:
        return Verdict.READY
    return Verdict.CONVERTIBLE if all(remark.mended for remark in faults) else Verdict.UNUSABLE


def as_findings(remarks: list[Remark], folder: Path) -> list[Finding]:
    """What `check` prints: the conversion is named as the remedy where it is one."""
    if verdict_of(remarks) is Verdict.UNUSABLE:
        remedy = "converting mends this, once the rest is right"
    else:
        remedy = f"run `qwen3-sglang convert {shlex.quote(str(folder))} TARGET`"
    return [
        Finding(remark.ok, f"{remark.text}; {remedy}" if remark.mended else remark.text, remark.note)
        for remark in remarks
    ]
