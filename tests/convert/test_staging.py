"""What a conversion leaves beside its target: nothing, whatever ends it, and never somebody else's loss."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qwen3_sglang.convert import convert
from qwen3_sglang.convert.staging import staged
from qwen3_sglang.errors import ConversionError

# Converts until the first bytes are written, says so, and waits for a line. In the background and under nohup signals
# are ignored from the start, which isn't what is tested.
STOPS = """
import signal, sys
from qwen3_sglang.convert import convert
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
def wait(done, total):
    print("writing", flush=True)
    sys.stdin.readline()
convert(sys.argv[1], sys.argv[2], force="force" in sys.argv, verify=False, progress=wait)
"""


@contextmanager
def converting(source: Path, target: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """A process in the middle of a conversion."""
    command = [sys.executable, "-c", STOPS, str(source), str(target), *more]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        try:
            yield process
        finally:
            process.kill()


def checkpoint(folder: Path) -> Path:
    """An earlier one."""
    folder.mkdir()
    (folder / "config.json").write_text("earlier")
    return folder


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("force", [False, True])
def test_signals_leave_nothing(tied: Path, tmp_path: Path, number: signal.Signals, force: bool) -> None:
    """No hidden folder, no lock, and of an earlier checkpoint every file."""
    if force:
        checkpoint(tmp_path / "out")
    with converting(tied, tmp_path / "out", *["force"] * force) as process:
        assert any(name.endswith(".tmp") for name in os.listdir(tmp_path))
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode in (128 + number, -number)
    assert os.listdir(tmp_path) == (["out"] if force else [])
    assert not force or (tmp_path / "out" / "config.json").read_text() == "earlier"


def test_a_handler_of_the_process_is_left_alone(tmp_path: Path) -> None:
    """A server that converts still ends as it wants to; without one, the default is there again afterwards."""
    calls: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: calls.append(number))
    try:
        with staged(tmp_path / "out", force=False):
            signal.raise_signal(signal.SIGTERM)
        assert calls == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with pytest.raises(SystemExit) as ended, staged(tmp_path / "other", force=False):
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    signal.signal(signal.SIGTERM, before)
    assert os.listdir(tmp_path) == ["out"]


def test_what_a_killed_one_left_is_swept(tied: Path, tmp_path: Path) -> None:
    """By the next conversion to the same target; a stranger's hidden folder isn't."""
    (tmp_path / ".out.mine.tmp").mkdir()
    with converting(tied, tmp_path / "out") as process:
        process.kill()
        process.wait()
    assert len(os.listdir(tmp_path)) == 3
    convert(tied, tmp_path / "out", verify=False)
    assert sorted(os.listdir(tmp_path)) == [".out.mine.tmp", "out"]


def test_a_running_one_is_never_swept(tied: Path, tmp_path: Path) -> None:
    """The second says so and touches nothing; the first ends well, and another target isn't held up."""
    with converting(tied, tmp_path / "out") as process:
        before = sorted(path for path in tmp_path.rglob("*"))
        for force in (False, True):
            with pytest.raises(ConversionError, match="out: another conversion is writing it; wait"):
                convert(tied, tmp_path / "out", force=force, verify=False)
        assert sorted(path for path in tmp_path.rglob("*")) == before
        convert(tied, tmp_path / "out2", verify=False)
        process.communicate("\n" * 20, timeout=60)
        assert process.returncode == 0
    assert sorted(os.listdir(tmp_path)) == ["out", "out2"]


def test_of_many_at_once_one_wins(tied: Path, tmp_path: Path) -> None:
    """The others say so, and what is there is one whole checkpoint."""
    count = 6
    together = threading.Barrier(count)
    ends: list[str] = []

    def run() -> None:
        together.wait()
        try:
            convert(tied, tmp_path / "out", verify=False)
            ends.append("won")
        except ConversionError as error:
            ends.append(str(error))

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ends) == count
    assert ends.count("won") == 1
    assert all("another conversion" in end or "exists already" in end for end in ends if end != "won")
    assert os.listdir(tmp_path) == ["out"]
    with pytest.raises(ConversionError, match="converted already"):
        convert(tmp_path / "out", tmp_path / "again", verify=False)


APPEARING = ["folder with a file", "empty folder", "file", "link to a folder", "broken link"]


@pytest.mark.parametrize("kind", APPEARING)
def test_what_appears_meanwhile_stays(tied: Path, tmp_path: Path, kind: str) -> None:
    """Without force nothing there is touched, and the conversion is refused."""
    goal, other = tmp_path / "out", tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years")

    def appear(_done: int, _total: int) -> None:
        if os.path.lexists(goal):
            return
        if kind == "file":
            goal.write_text("years")
        elif "link" in kind:
            goal.symlink_to(other if "folder" in kind else tmp_path / "missing")
        else:
            goal.mkdir()
            if kind == "folder with a file":
                (goal / "thesis.txt").write_text("years")

    with pytest.raises(ConversionError, match="out: exists already"):
        convert(tied, goal, verify=False, progress=appear)
    assert sorted(os.listdir(tmp_path)) == ["other", "out"]
    assert (other / "thesis.txt").read_text() == "years"
    if kind == "folder with a file":
        assert os.listdir(goal) == ["thesis.txt"]


def test_force_looks_again_at_what_it_replaces(tied: Path, tmp_path: Path) -> None:
    """What was a checkpoint at the start is somebody's folder at the end."""
    goal = checkpoint(tmp_path / "out")

    def change(_done: int, _total: int) -> None:
        (goal / "config.json").unlink(missing_ok=True)
        (goal / "thesis.txt").write_text("years")

    with pytest.raises(ConversionError, match="isn't a checkpoint folder"):
        convert(tied, goal, force=True, verify=False, progress=change)
    assert os.listdir(tmp_path) == ["out"]
    assert (goal / "thesis.txt").read_text() == "years"


def test_the_old_checkpoint_is_put_back(tmp_path: Path) -> None:
    """When the new one can't be renamed into its place."""
    goal = checkpoint(tmp_path / "out")
    with pytest.raises(FileNotFoundError), staged(goal, force=True) as temporary:
        temporary.rmdir()
    assert os.listdir(tmp_path) == ["out"]
    assert (goal / "config.json").read_text() == "earlier"


@pytest.mark.parametrize("published", [False, True])
def test_killed_while_it_replaced(tmp_path: Path, published: bool) -> None:
    """Between the two renames the earlier checkpoint is put back; after them it is removed."""
    goal = tmp_path / "out"
    checkpoint(tmp_path / f".out.{'0' * 32}.old")
    if published:
        checkpoint(goal)
        (goal / "new").touch()
    with pytest.raises(ConversionError, match="exists already"), staged(goal, force=False):
        pass
    assert os.listdir(tmp_path) == ["out"]
    assert (goal / "new").exists() == published
    assert (goal / "config.json").read_text() == "earlier"


def test_a_file_system_without_locks(tied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems: nothing is swept there, since who runs can't be told, and the rest works."""

    def none(*_args: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", none)
    (tmp_path / f".out.{'0' * 32}.tmp").mkdir()
    convert(tied, tmp_path / "out", verify=False)
    assert sorted(os.listdir(tmp_path)) == [f".out.{'0' * 32}.tmp", "out"]


FULL = """
import resource, sys
from qwen3_sglang.convert import convert
from qwen3_sglang.errors import ConversionError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # a write beyond it fails, as on a full disk
try:
    convert(*sys.argv[1:], verify=False)
except ConversionError as error:
    print(error)
"""


def test_a_disk_that_is_full_leaves_nothing(tied: Path, tmp_path: Path) -> None:
    """A real failing write, in the middle of the weights."""
    command = [sys.executable, "-c", FULL, str(tied), str(tmp_path / "new" / "out")]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "check the disk's space" in said.stdout
    assert os.listdir(tmp_path) == []


def test_a_lock_is_no_way_out_of_the_folder(tmp_path: Path) -> None:
    """A link in the lock's place isn't followed."""
    (tmp_path / ".out.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="lock"), staged(tmp_path / "out", force=False):
        pass
    assert not (tmp_path / "elsewhere").exists()
