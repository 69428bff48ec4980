"""Build wheel and sdist, check them, and use them where nothing else of the project is.

Every extra gets a fresh environment with the wheel alone. In a folder of its own, the README's block without a
framework runs there against the toy reranker, and then what each extra is for (.ci/probes). What an environment
hasn't got must say by which extra it comes.

    python .ci/dist.py [CASE ...]     an extra, "none" (the wheel without extras) or "sdist" (the same of the sdist)
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from project import EXTRAS, PROBES, ROOT, included

from toy import toy

DIST = ROOT / "dist"
PACKAGES = {"qwen3_sglang", "langchain_qwen3_sglang", "llama_index_qwen3_sglang"}
SOURCES = ("benchmarks", "docs", "examples", "tests", *sorted(PACKAGES))
CASES = [extra for extra in EXTRAS if extra not in {"dev", "docs", "mutants", "test"}]
PARTS = [extra for extra in CASES if extra != "all"]  # each with something of its own to use
ENRICHING = {"words"}  # BM25 does without, and says so in the report: nothing fails that could name the extra
PLAIN = ("sdist", "none")
PIP = (sys.executable, "-m", "uv", "pip")  # pip itself needs minutes for each
QUICKSTART = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[2]
URL = "http://127.0.0.1:30000"
# A PYTHONPATH would put a checkout in the wheel's place, and a developer's own server or key changes what is seen.
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "QWEN3_SGLANG_"))}
AT_ONCE = 3  # much of the time an installation waits for the network
PROBE_SECONDS = 300  # until one that hangs is given up


def build() -> tuple[Path, Path]:
    """(wheel, sdist). The wheel is made from the sdist, so that the sdist is known to be complete."""
    shutil.rmtree(DIST, ignore_errors=True)
    _run(sys.executable, "-m", "build", "--outdir", str(DIST), str(ROOT))
    _run(sys.executable, "-m", "twine", "check", "--strict", *map(str, DIST.iterdir()))
    [wheel], [sdist] = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    return wheel, sdist


def check_contents(wheel: Path, sdist: Path) -> None:
    """The wheel holds every file of the three packages, and the licence, and nothing else; the sdist its tests too."""
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    packaged = {name for name in inside if ".dist-info/" not in name}
    _same(wheel.name, packaged, _files(*PACKAGES))
    if not any(name.endswith("licenses/LICENSE") for name in inside):
        raise SystemExit(f"{wheel.name} lacks its licence")
    _same(sdist.name, {name for name in names if "/" in name}, _files(*SOURCES))
    if lacking := {"README.md", "LICENSE", "CHANGELOG.md", "constraints.txt", "pyproject.toml"} - names:
        raise SystemExit(f"{sdist.name} lacks {sorted(lacking)}")
    for path, files in ((wheel, inside), (sdist, names)):
        print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB, {len(files)} files", flush=True)


def _files(*folders: str) -> set[str]:
    paths = (path for folder in folders for path in (ROOT / folder).rglob("*"))
    return {path.relative_to(ROOT).as_posix() for path in paths if path.is_file() and "__pycache__" not in path.parts}


def _same(name: str, found: set[str], expected: set[str]) -> None:
    if found != expected:
        raise SystemExit(f"{name} lacks {sorted(expected - found)} and has {sorted(found - expected)} too many")


def use(case: str, wheel: Path, sdist: Path, toy_url: str) -> str:
    """Install that case and use it; what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        python = str(home / "venv" / "bin" / "python")
        what = str(sdist if case == "sdist" else wheel) + ("" if case in PLAIN else f"[{case}]")
        _run(sys.executable, "-m", "venv", "--without-pip", str(home / "venv"))
        bare = _size(home)
        _run(*PIP, "install", "-q", "--python", python, "-c", str(ROOT / "constraints.txt"), what)
        size = _size(home) - bare
        count = len(_run(*PIP, "list", "--python", python, "--format=freeze").splitlines())
        (home / "quickstart.py").write_text(QUICKSTART.replace(URL, toy_url), encoding="utf-8")
        printed = _run(python, "quickstart.py", cwd=home).split()
        if printed[0] != "1":  # the index of the passage that answers
            raise SystemExit(f"{case}: the README's block printed {printed}")
        works = [extra for extra in PARTS if _probe(case, extra, python, home, toy_url)]
        usable = ", ".join(works) or "the core"
        return f"{count} packages, {size / 1e6:.0f} MB; quickstart {' '.join(printed)}; usable: {usable}"


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _probe(case: str, extra: str, python: str, home: Path, toy_url: str) -> bool:
    """Whether the extra's part works; it must where it is installed, and say by what it comes where it isn't."""
    command = [python, "-P", str(PROBES / f"{extra}.py"), toy_url]
    ran = subprocess.run(
        command, cwd=home, env=ENVIRONMENT, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
    )
    if not ran.returncode:
        return True
    if extra in included(case):
        raise SystemExit(f"with [{case}], {extra} fails:\n{ran.stdout}{ran.stderr}")
    hint = f'pip install "qwen3-sglang[{extra}]"'
    if hint not in ran.stderr and extra not in ENRICHING:
        raise SystemExit(f"{case}: {extra} doesn't say {hint}:\n{ran.stdout}{ran.stderr}")
    return False


def _run(*command: str, cwd: Path | None = None) -> str:
    ran = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{' '.join(command)}\n{ran.stdout}{ran.stderr}")
    return ran.stdout


def main(cases: list[str]) -> int:
    """Build, then use the cases named, or all."""
    known = [*PLAIN, *CASES]
    if unknown := set(cases) - set(known):
        print(f"no such case: {', '.join(sorted(unknown))}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    wheel, sdist = build()
    check_contents(wheel, sdist)
    named = cases or known
    with toy() as url, ThreadPoolExecutor(AT_ONCE) as pool:
        for case, said in zip(named, pool.map(lambda case: use(case, wheel, sdist, url), named), strict=True):
            print(f"{case}: {said}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
