"""What each command that writes leaves when the disk is full: one line, the earlier file as it was, nothing by halves.

A limit on the size of files stands in for the disk's end: a write beyond it fails in the same place.
Tests of `cli/start.py`, `convert/cached.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fake_server import FakeServer

MAIN = """
import resource, sys
size = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
from qwen3_sglang.cli.app import main
main()
"""
LARGE = 10**9


def main(size: int, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, whose files may have so many bytes."""
    command = [sys.executable, "-c", MAIN, str(size), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, env={**os.environ, **environment}
    )


def content(folder: Path) -> dict[str, bytes]:
    """Every file below, with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def said(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a command that failed."""
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error ")]
    assert "Traceback" not in done.stderr
    return line


def test_convert(causal_toy: Path, tmp_path: Path) -> None:
    """What is to be replaced stays; with room it is replaced."""
    out = tmp_path / "out"
    assert main(LARGE, "convert", causal_toy, out, "--no-verify").returncode == 0
    (out / "mine.txt").write_text("an earlier one")
    before = content(tmp_path)
    arguments = ("convert", causal_toy, out, "--no-verify", "--force")
    assert "disk's space" in said(main(100_000, *arguments))
    assert content(tmp_path) == before
    assert main(LARGE, *arguments).returncode == 0
    assert content(tmp_path).keys() == before.keys() - {"out/mine.txt"}


def test_serve_that_converts_first(causal_toy: Path, tmp_path: Path) -> None:
    """Nothing is in the cache, and another place for it is named."""
    cache = tmp_path / "cache"
    line = said(main(10, "serve", causal_toy, "--engine", "local", XDG_CACHE_HOME=str(cache)))
    assert "--converted FOLDER, or XDG_CACHE_HOME" in line
    assert not content(tmp_path)


@pytest.fixture
def report(server: FakeServer, tmp_path: Path) -> tuple[object, ...]:
    """An evaluation whose report is there from an earlier one; its scores are kept elsewhere."""
    for needed in ("ir_measures", "jinja2", "matplotlib", "scipy"):
        pytest.importorskip(needed)
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps({"query": "q", "documents": ["a p=0.9", "b p=0.2"], "relevant": [0]}))
    for name in ("report.html", "report.json"):
        (tmp_path / name).write_text("an earlier one")
    kept = tmp_path / "kept.sqlite"
    files = ("--html", tmp_path / "report.html", "--json", tmp_path / "report.json", "--scores", kept)
    return ("evaluate", data, "--url", server.url, *files)


@pytest.mark.parametrize(
    ("size", "option", "written"), [(50_000, "--html", ["report.json"]), (1_000, "scores", [])], ids=["html", "scores"]
)
def test_evaluate(tmp_path: Path, report: tuple[object, ...], size: int, option: str, written: list[str]) -> None:
    """A report too large keeps no smaller file from being written; scores that can't be kept leave no store."""
    names = sorted(path.name for path in tmp_path.iterdir())
    line = said(main(size, *report))
    assert option in line
    assert "disk" in line
    found = content(tmp_path)
    assert sorted(found.keys() - {"kept.sqlite"}) == names
    assert [name for name in ("report.html", "report.json") if found[name] != b"an earlier one"] == written
    assert ("kept.sqlite" in found) is bool(written)
    assert main(LARGE, *report).returncode == 0
    assert b"an earlier one" not in content(tmp_path).values()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_is_cut_short(server: FakeServer, tmp_path: Path, unbuffered: str) -> None:
    """The disk takes the first of it, and the rest is lost when the process ends: that is no success."""
    (tmp_path / "docs.txt").write_text("".join(f"document {number} p=0.5\n" for number in range(300)))
    command = [sys.executable, "-c", MAIN, "20000", "rerank", "q", str(tmp_path / "docs.txt"), "--url", server.url]
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with (tmp_path / "out.json").open("w") as out:
        done = subprocess.run(
            [*command, "--json"],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=300,
            env=environment,
        )
    assert (tmp_path / "out.json").stat().st_size == 20_000
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "ulimit" in line


def test_demo(tmp_path: Path) -> None:
    """The toy is written by safetensors, which has an error of its own for it."""
    line = said(main(100_000, "demo", TMPDIR=str(tmp_path)))
    assert "TMPDIR" in line or "ulimit" in line
    assert not content(tmp_path)
