"""The command serves the page with all that it names, and what the page asks is answered."""

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urljoin
from urllib.request import Request, urlopen

from qwen3_sglang.playground import run_in_thread

COMMAND = Path(sys.executable).with_name("qwen3-sglang")
NAMED = re.compile(r"""(?:\b(?:src|href)=|\bfrom\s+|\bimport\s*\(?\s*)["']([^"'#:]+)["']""")


def fetch(address: str, data: bytes | None = None) -> str:
    """The body of a 200; anything else is raised."""
    request = Request(address, data, {"Content-Type": "application/json"})  # noqa: S310 - the page's own address
    with urlopen(request, timeout=60) as answer:  # noqa: S310 - the same
        return answer.read().decode()


def fetch_all(start: str) -> set[str]:
    """Paths of the page and of every file that it names, and that those name."""
    found, open_ = set(), [start]
    while open_:
        address = open_.pop()
        if address not in found:
            found.add(address)
            open_ += [urljoin(address, name) for name in NAMED.findall(fetch(address))]
    return {address.removeprefix(start) for address in found}


run_in_thread(sys.argv[1])  # starts nothing yet, but says which extra is missing
command = [COMMAND, "playground", "--url", sys.argv[1], "--port", "0"]
with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
    try:
        [address] = re.findall(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert {"", "playground.js", "playground.css", "playground/view.js"} <= fetch_all(f"{address}/")
        ask = {"query": "What is the capital of China?", "documents": ["Gravity pulls.", "The capital is Beijing."]}
        said = json.loads(fetch(f"{address}/playground/api/rerank", json.dumps(ask).encode()))
        assert said["results"][0]["index"] == 1, said
    finally:
        process.terminate()
