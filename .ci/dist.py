"""Build wheel and sdist, check them, and use them where nothing else of the project is.

Every extra gets a fresh environment with the wheel alone. In a folder of its own the README's block without a
framework runs there against the toy reranker, which the extras `local` and `all` serve themselves.

    python .ci/dist.py [CASE ...]     an extra, "none" (the wheel without extras) or "sdist" (the same of the sdist)
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

from toy import toy

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
PACKAGES = {"qwen3_sglang", "langchain_qwen3_sglang", "llama_index_qwen3_sglang"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = [extra for extra in PROJECT["optional-dependencies"] if extra not in {"dev", "test"}]
PLAIN = ("sdist", "none")
PIP = ("-m", "pip", "--disable-pip-version-check")
SERVING = ("local", "all")
# What each extra is for; without it every line but the last must name the extra that is missing.
PROBES = {
    "langchain": "import langchain_qwen3_sglang",
    "llama-index": "import llama_index_qwen3_sglang",
    "cli": "import qwen3_sglang.cli",
    "tokenizer": "from qwen3_sglang.tokenizer import load_tokenizer; load_tokenizer('tokenizer.json')",
    "local": "from qwen3_sglang.local import run_in_thread; run_in_thread('model')",
    "convert": "import huggingface_hub",
}
NEEDS_HUB = "convert"  # a hub's name alone needs its package, and trying would download
QUICKSTART = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[2]
URL = "http://127.0.0.1:30000"
# The smallest file that the tokenizers library reads.
TOKENIZER = (
    '{"version": "1.0", "added_tokens": [], "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}'
)
OWN_TOY = f"""
from qwen3_sglang.convert import convert
from qwen3_sglang.local import run_in_thread
from qwen3_sglang.toy import build_toy
with run_in_thread(convert(build_toy("causal"), "converted", verify=False)) as url:
    exec(open("quickstart.py").read().replace({URL!r}, url))
"""


def build() -> tuple[Path, Path]:
    """(wheel, sdist). The wheel is made from the sdist, so that the sdist is known to be complete."""
    shutil.rmtree(DIST, ignore_errors=True)
    _run(sys.executable, "-m", "build", "--outdir", str(DIST), str(ROOT))
    _run(sys.executable, "-m", "twine", "check", "--strict", *map(str, DIST.iterdir()))
    [wheel], [sdist] = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    return wheel, sdist


def check_contents(wheel: Path, sdist: Path) -> None:
    """The wheel holds the three packages, typed, and the licence, and nothing else; the sdist its tests too."""
    with zipfile.ZipFile(wheel) as archive:
        inside = archive.namelist()
    tops = {name.split("/")[0] for name in inside if ".dist-info/" not in name}
    if tops != PACKAGES:
        raise SystemExit(f"{wheel.name} holds {sorted(tops)}, not {sorted(PACKAGES)}")
    missing = {f"{package}/py.typed" for package in PACKAGES} - set(inside)
    if missing or not any(name.endswith("licenses/LICENSE") for name in inside):
        raise SystemExit(f"{wheel.name} lacks {sorted(missing) or 'its licence'}")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    if not {"README.md", "LICENSE", "tests/conftest.py", "pyproject.toml"} <= names:
        raise SystemExit(f"{sdist.name} is incomplete")
    for path, count in ((wheel, len(inside)), (sdist, len(names))):
        print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB, {count} files")


def use(case: str, wheel: Path, sdist: Path, toy_url: str) -> str:
    """Install that case and use it; what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        python = str(home / "venv" / "bin" / "python")
        what = str(sdist if case == "sdist" else wheel) + ("" if case in PLAIN else f"[{case}]")
        _run(sys.executable, "-m", "venv", str(home / "venv"))
        _run(python, *PIP, "install", "-q", "-c", str(ROOT / "constraints.txt"), what)
        count = len(_run(python, *PIP, "list", "--format=freeze").splitlines())
        printed = _quickstart(case, python, home, toy_url)
        works = [extra for extra in PROBES if _probe(case, extra, python, home)]
        return f"{count} packages; quickstart {printed}; usable: {', '.join(works) or 'the core'}"


def _quickstart(case: str, python: str, home: Path, toy_url: str) -> str:
    own = case in SERVING
    (home / "quickstart.py").write_text(QUICKSTART if own else QUICKSTART.replace(URL, toy_url))
    printed = _run(python, "-c", OWN_TOY if own else "exec(open('quickstart.py').read())", cwd=home).split()
    if printed[0] != "1":  # the index of the passage that answers
        raise SystemExit(f"{case}: the README's block printed {printed}")
    return " ".join(printed)


def _probe(case: str, extra: str, python: str, home: Path) -> bool:
    """Whether the extra's part works; it must where it is asked for, and say what it lacks where nothing is."""
    (home / "tokenizer.json").write_text(TOKENIZER)
    ran = subprocess.run([python, "-c", PROBES[extra]], cwd=home, capture_output=True, text=True, check=False)
    if case in {extra, "all"} and ran.returncode:
        raise SystemExit(f"with [{extra}], {PROBES[extra]!r} fails:\n{ran.stderr}")
    hint = f'pip install "qwen3-sglang[{extra}]"'
    if case in PLAIN and extra != NEEDS_HUB and hint not in ran.stderr:
        raise SystemExit(f"without [{extra}], {PROBES[extra]!r} doesn't say {hint}:\n{ran.stderr}")
    return not ran.returncode


def _run(*command: str, cwd: Path | None = None) -> str:
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{' '.join(command)}\n{ran.stdout}{ran.stderr}")
    return ran.stdout


def main(cases: list[str]) -> int:
    """Build, then use the cases named, or all."""
    known = [*PLAIN, *EXTRAS]
    if unknown := set(cases) - set(known):
        print(f"no such case: {', '.join(sorted(unknown))}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    wheel, sdist = build()
    check_contents(wheel, sdist)
    with toy() as url:
        for case in cases or known:
            print(f"{case}: {use(case, wheel, sdist, url)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
