"""After a fork the child must not share sockets and locks with its parent."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

# Not weak methods: at the interpreter's end, their callbacks complain on stderr.
_restarts: WeakKeyDictionary[Any, set[Callable[[Any], object]]] = WeakKeyDictionary()


def restart_in_child(owner: T, restart: Callable[[T], object]) -> None:
    """Call `restart(owner)` in every child that this process forks, while the owner lives."""
    _restarts.setdefault(owner, set()).add(restart)


def _in_child() -> None:
    for owner, methods in list(_restarts.items()):
        for restart in methods:
            restart(owner)


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_in_child)
