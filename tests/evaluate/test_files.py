"""Reports on disk: all of a file, or the earlier one."""

from __future__ import annotations

import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from qwen3_sglang import InvalidInputError
from qwen3_sglang.evaluate.files import write_text


def test_writes_and_replaces(tmp_path: Path) -> None:
    """Folders are made; nothing else stays beside the file."""
    path = tmp_path / "new" / "report.html"
    assert write_text("html", path, "first") == path
    write_text("html", path, "second é")
    assert path.read_text(encoding="utf-8") == "second é"
    assert [one.name for one in path.parent.iterdir()] == ["report.html"]


def test_a_disk_that_fills_up_leaves_the_earlier_report(tmp_path: Path) -> None:
    """A limit on file sizes stands in for the disk's; the remains are removed."""
    path = tmp_path / "report.html"
    path.write_text("the earlier one", encoding="utf-8")
    code = (
        "import sys\nfrom qwen3_sglang.evaluate.files import write_text\n"
        f"try:\n    write_text('html', {str(path)!r}, 'x' * 1_000_000)\n"
        "except Exception as error:\n    sys.exit(f'{type(error).__name__}: {error}')\n"
    )

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        preexec_fn=small,
        check=False,
    )
    assert "InvalidInputError: html=" in done.stderr
    assert "report.html" in done.stderr
    assert path.read_text(encoding="utf-8") == "the earlier one"
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_a_full_device_is_named() -> None:
    """What is no file can't be renamed onto: it is written to as it is."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    with pytest.raises(InvalidInputError, match=r"json='/dev/full'.*No space left"):
        write_text("json", "/dev/full", "text")
    assert not Path("/dev/full").is_file()
    write_text("json", "/dev/null", "text")
    assert not Path("/dev/null").is_file()


def test_a_place_that_cant_be_written_is_named(tmp_path: Path) -> None:
    """A folder, and a file that would have to be one."""
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "report.html"):
        with pytest.raises(InvalidInputError, match="html="):
            write_text("html", path, "text")
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_permissions_and_links_stay(tmp_path: Path) -> None:
    """The umask decides of a new file, the old file of its successor; a link points on to the new content."""
    path, link = tmp_path / "report.html", tmp_path / "latest.html"
    write_text("html", path, "one")
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    path.chmod(0o640)
    link.symlink_to(path)
    write_text("html", link, "two")
    assert link.is_symlink()
    assert path.read_text(encoding="utf-8") == "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
