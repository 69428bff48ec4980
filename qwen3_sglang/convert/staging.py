"""A folder that becomes the target when all went well, and is gone when it didn't.

Only who holds the target's lock, a hidden file beside it, makes or removes hidden folders beside it, so that what a
killed conversion left can be told from what a running one writes: the system frees the lock of a process that ended.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import signal
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from qwen3_sglang.convert.folder import check_target
from qwen3_sglang.errors import ConversionError

ENDING = [signal.SIGTERM, signal.SIGHUP]
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}  # some network file systems have none
TAKEN = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EISDIR}


@contextmanager
def staged(goal: Path, *, force: bool) -> Iterator[Path]:
    """A temporary folder that becomes `goal` when the block succeeds, and is removed when it fails.

    Raises:
        ConversionError: another conversion writes `goal`, or `goal` is there, now or at the end, and may not be
            replaced.
    """
    with _ended_by_signals(), _parents(goal), _locked(goal):
        check_target(goal, force=force)  # the last holder of the lock may have made it
        temporary = goal.parent / f".{goal.name}.{uuid.uuid4().hex}.tmp"  # a sibling: renaming it is atomic
        try:
            temporary.mkdir()
            yield temporary
            _publish(temporary, goal, force=force)
        except BaseException:  # KeyboardInterrupt included
            shutil.rmtree(temporary, ignore_errors=True)
            raise


class _Ended(BaseException):
    """A signal asked the process to end; no handler of errors is to catch it."""


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block with SystemExit, so that it cleans up; handlers set before are kept."""
    if threading.current_thread() is not threading.main_thread():  # only that one may set handlers
        yield
        return
    ours = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]

    def end(number: int, _frame: FrameType | None) -> None:
        for other in ours:
            signal.signal(other, signal.SIG_IGN)  # a second one doesn't break off the cleaning up
        raise _Ended(number)

    try:
        for number in ours:
            signal.signal(number, end)
        yield
    except _Ended as ended:
        raise SystemExit(128 + ended.args[0]) from None  # what a shell reports of a process that a signal ended
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def _parents(goal: Path) -> Iterator[None]:
    """The folders above `goal`, made where they are missing, and removed when the block fails."""
    made = [path for path in goal.absolute().parents if not path.exists()]
    try:
        goal.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for folder in made:  # innermost first
            try:
                folder.rmdir()
            except OSError:  # somebody else has put something there
                break
        raise


@contextmanager
def _locked(goal: Path) -> Iterator[None]:
    """Hold the lock of `goal` and clear away what a killed conversion left; ConversionError when another holds it."""
    path = goal.parent / f".{goal.name}.lock"
    lock = _lock(path, goal)
    try:
        if lock is not None:
            _sweep(goal)
        yield
    finally:
        if lock is not None:
            path.unlink(missing_ok=True)  # while it is held: see _lock
            os.close(lock)


def _lock(path: Path, goal: Path) -> int | None:
    """The lock's descriptor; None where the file system has no locks: then only renaming keeps conversions apart."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _names(path, lock):
                return lock
        except BlockingIOError:
            os.close(lock)
            raise ConversionError(
                f"{goal}: another conversion is writing it; wait for that one, or name another folder"
            ) from None
        except OSError as error:
            os.close(lock)
            if error.errno not in NO_LOCKS:
                raise
            path.unlink(missing_ok=True)
            return None
        os.close(lock)  # its last holder has removed the file since it was opened; another one is there now, or none


def _names(path: Path, lock: int) -> bool:
    try:
        return os.path.samestat(os.fstat(lock), os.lstat(path))
    except FileNotFoundError:
        return False


def _sweep(goal: Path) -> None:
    """Remove what killed conversions to `goal` left, and put back the checkpoint that one was about to replace."""
    left = re.compile(rf"\.{re.escape(goal.name)}\.[0-9a-f]{{32}}\.(tmp|old)")
    for path in sorted(goal.parent.iterdir()):
        found = left.fullmatch(path.name)
        if found and found[1] == "old" and not os.path.lexists(goal):
            path.rename(goal)
        elif found:
            _remove(path)


def _publish(temporary: Path, goal: Path, *, force: bool) -> None:
    """Rename into place; an earlier checkpoint is set aside first, and put back if that fails."""
    check_target(goal, force=force)  # somebody may have put something there meanwhile
    if not os.path.lexists(goal):
        _rename(temporary, goal)
        return
    aside = temporary.with_suffix(".old")
    try:
        goal.rename(aside)
        _rename(temporary, goal)
        _remove(aside)
    except BaseException:
        if os.path.lexists(goal):
            shutil.rmtree(aside, ignore_errors=True)  # the new one is in place: a signal came while the old one went
        else:
            aside.rename(goal)
        raise


def _rename(temporary: Path, goal: Path) -> None:
    try:
        temporary.rename(goal)  # refused by the system where something with content is
    except OSError as error:
        if error.errno not in TAKEN:
            raise
        raise ConversionError(
            f"{goal}: appeared while the checkpoint was converted, and is left as it is; name another folder"
        ) from None


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path)
