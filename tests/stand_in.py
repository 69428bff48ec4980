"""A module as one other module sees it, changed for a test."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


def seen_by(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, **changed: Any) -> None:
    """What `module` imported as `name` has these contents, for it alone.

    Changed in place, they would be every thread's: of a server that an earlier test left running, the event loop would
    sleep without a pause, for ever.
    """
    monkeypatch.setattr(module, name, SimpleNamespace(**{**vars(getattr(module, name)), **changed}))
