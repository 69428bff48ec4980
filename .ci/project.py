"""What pyproject.toml promises: the extras, what each brings, and the oldest versions."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BASE: list[str] = PROJECT["dependencies"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
PROBES = ROOT / ".ci" / "probes"  # a script an extra, which does what the extra is for


def included(extra: str) -> set[str]:
    """The extra and those that it brings."""
    named = re.findall(rf"{PROJECT['name']}\[(.+?)\]", " ".join(EXTRAS.get(extra, [])))
    return {extra}.union(*(included(other) for part in named for other in part.split(",")))


def oldest(requirements: list[str]) -> list[str]:
    """Each requirement with a lower bound, pinned to it."""
    return [line.replace(">=", "==") for line in requirements if ">=" in line]


def name_of(requirement: str) -> str:
    """The package of a requirement."""
    return re.split(r"[=<>]", requirement)[0]
