"""Import paths of version 0.1 that documents and pickles name, kept working where their modules have moved."""

from __future__ import annotations

import importlib
import sys
import warnings
from types import ModuleType
from typing import Any

PACKAGE = "qwen3_sglang"
MOVED = {
    "prompt": "prompts.template",
    "retry": "protocol.retry",
    "running": "serving.in_thread",
    "serve": "serving.sglang_command",
    "tokenizer": "prompts.tokenizer",
    "truncate": "prompts.truncate",
}


class MovedModule(ModuleType):
    """Stands under the old name, and imports the module under its new name when something is taken from it."""

    def __init__(self, old: str, new: str) -> None:
        super().__init__(f"{PACKAGE}.{old}")
        self._new = f"{PACKAGE}.{new}"

    def __getattr__(self, name: str) -> Any:
        """The new module's attribute, with a DeprecationWarning."""
        if name.startswith("__"):  # asked for by tools that walk sys.modules; it must import nothing
            raise AttributeError(name)
        found = getattr(importlib.import_module(self._new), name)
        warnings.warn(f"{self.__name__} has moved: import it from {self._new}", DeprecationWarning, stacklevel=2)
        return found


def register() -> None:
    """Make `import qwen3_sglang.<old name>` find the module where it is now."""
    for old, new in MOVED.items():
        sys.modules.setdefault(f"{PACKAGE}.{old}", MovedModule(old, new))
