"""Ctrl-C at a chosen place of a call, not at a time: just after a lock was taken, where it does the most harm."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable
from typing import Any


def ctrl_c_at(work: Callable[[], object], place: int) -> bool:
    """Whether it came before the work's end.

    Places are those where Python looks for signals just after a lock was taken by a call, not by `with`: in our code,
    in Python's own, and in the libraries.
    """
    places = itertools.count()

    def look(_: Any, event: str, called: Any) -> None:
        if event == "c_return" and called.__name__ in {"acquire", "__enter__"} and next(places) == place:
            raise KeyboardInterrupt

    sys.setprofile(look)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
    return False


def ends(work: Callable[[], object], seconds: float = 20) -> bool:
    """Whether the work, in a thread of its own, comes to its end: a lock that stays locked can't be asked for."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()
