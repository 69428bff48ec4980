"""After a fork the child must not share sockets and locks with its parent."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from weakref import WeakMethod

_restarts: set[WeakMethod[Any]] = set()


def restart_in_child(restart: Callable[[], object]) -> None:
    """Call the bound method `restart` in every child that this process forks, while its object lives."""
    _restarts.add(WeakMethod(restart, _restarts.discard))


def _in_child() -> None:
    for reference in list(_restarts):
        restart = reference()
        if restart is not None:
            restart()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_in_child)
