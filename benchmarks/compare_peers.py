"""Print the tables of docs/compared.md: each peer in a virtual environment of its own, asked by peer_probes.py.

Needs PyPI for the peers; every request goes to a server on 127.0.0.1, and no key is real.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

from peers import PEERS

HERE = Path(__file__).parent

# What was read in the source, one cell a peer in PEERS' order; only a rerun of the probes keeps the other rows true.
READ = {
    "langchain": {
        "default time limit": [
            "60 s per call",
            "300 s per request",
            "60 s per request",
            "30 s per request",
            "240 s per request",
            "none",
        ],
        "a document that is too long": [
            "cut, the template left whole; marked",
            "left to the server",
            "left to the server; `truncate`",
            "left to the server",
            "left to the server; `max_tokens_per_document`",
            "left to the server",
        ],
        "per-call overrides": [
            "`top_n`, `min_score`, `instruction`; LangChain's config",
            "`top_n`, `model` in `rerank()`, which gives dicts",
            "no",
            "`top_n` in `rerank()`",
            "`top_n` in `rerank()`, which gives dicts",
            "`top_n`, `model` in `rerank()`, which gives dicts",
        ],
        "progress": ["no", "no", "no", "no", "no", "no"],
        "images": ["no", "no", "yes, with a vision model", "no", "no", "no"],
        "hosted models": ["no", "yes", "yes", "any service of Cohere's shape", "yes", "yes"],
    },
    "llama_index": {
        "default time limit": [
            "60 s per call",
            "60 s per request",
            "5 s per request",
            "300 s per request",
            "none",
            "none",
        ],
        "a document that is too long": [
            "cut, the template left whole; marked",
            "left to the server; `truncate_text` isn't sent",
            "left to the server; `truncate`",
            "left to the server",
            "left to the server: scored in chunks, the best counts",
            "left to the server",
        ],
        "per-call overrides": ["`rerank(top_n=, min_score=, instruction=)`", "no", "no", "no", "no", "no"],
        "progress": ["`show_progress`", "no", "no", "no", "no", "no"],
        "images": ["no", "no", "no", "no", "no", "no"],
        "hosted models": ["no", "no", "yes", "yes", "yes", "yes"],
    },
}


def ask(key: str, work: Path) -> dict[str, str]:
    """One peer's findings, from its own environment; ours from this one."""
    python = Path(sys.executable)
    if PEERS[key].requirement:
        python = installed(key, work)
    print(f"{key} ...", file=sys.stderr, flush=True)
    done = subprocess.run(
        [python, HERE / "peer_probes.py", key], capture_output=True, text=True, check=False, timeout=600
    )
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            found: dict[str, str] = json.loads(line.removeprefix("RESULT "))
            return found
    sys.exit(f"{key} gave no result:\n{done.stderr[-2000:]}")


def installed(key: str, work: Path) -> Path:
    """The peer's Python, its environment made where there is none."""
    folder = work / key
    python = folder / "bin" / "python"
    done = folder / ".ok"
    requirement = PEERS[key].requirement
    if not done.exists() or done.read_text() not in {"", requirement}:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", requirement], check=True, stdout=sys.stderr)
        done.write_text(requirement)
    return python


def table(framework: str, findings: dict[str, dict[str, str]]) -> str:
    """A column a peer, a row a question; (R): run, (S): read in the source."""
    keys = [key for key, peer in PEERS.items() if peer.framework == framework]
    rows = [["", *(PEERS[key].title for key in keys)], ["---"] * (len(keys) + 1)]
    first = findings[keys[0]]
    rows += [[title, *(marked(findings[key][title]) for key in keys)] for title in first]
    rows.append(["server address is an option", *(f"{PEERS[key].address} (R)" for key in keys)])
    rows += [[title, *(f"{cell} (S)" for cell in cells)] for title, cells in READ[framework].items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def marked(finding: str) -> str:
    """A probe that wasn't made says why, and is marked as neither."""
    return finding if finding.startswith("not tried") else f"{finding} (R)"


def fill(page: str, framework: str, lines: str) -> str:
    """The page with its table exchanged."""
    pattern = rf"(<!-- {framework} -->\n).*?(<!-- end -->)"
    return re.sub(pattern, lambda found: f"{found[1]}{lines}\n{found[2]}", page, flags=re.DOTALL)


def main() -> None:
    """Read the arguments, ask every peer, print or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".peers"), help="where the environments are made and kept")
    parser.add_argument("--write", type=Path, help="put the tables into this page, such as docs/compared.md")
    arguments = parser.parse_args()
    findings = {key: ask(key, arguments.work.absolute()) for key in PEERS}
    tables = {framework: table(framework, findings) for framework in READ}
    if arguments.write is None:
        print("\n\n".join(tables.values()))
        return
    page = arguments.write.read_text(encoding="utf-8")
    for framework, lines in tables.items():
        page = fill(page, framework, lines)
    arguments.write.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
