"""Pages and notebooks of docs/: the notebook is made from the page, and its code is run as a notebook runs it.

python tests/notebooks.py docs/llama_index.md     writes docs/llama_index.ipynb
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FENCE = re.compile(r"^```(\w+)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def notebook_of(page: str) -> dict[str, Any]:
    """The page as a notebook (nbformat 4.5): its Python blocks are cells, and so is `pip install`."""
    cells: list[dict[str, Any]] = []
    end = 0
    for block in FENCE.finditer(page):
        language, code = block.groups()
        installs = language == "sh" and code.startswith("pip install")
        if language != "python" and not installs:
            continue
        _add(cells, "markdown", page[end : block.start()])
        # A notebook runs in its own folder; the clone that is installed is the one around docs/.
        _add(cells, "code", "%" + code.replace('".[', '"..[') if installs else code)
        end = block.end()
    _add(cells, "markdown", page[end:])
    return {"cells": cells, "metadata": KERNEL, "nbformat": 4, "nbformat_minor": 5}


def _add(cells: list[dict[str, Any]], kind: str, text: str) -> None:
    if not text.strip():
        return
    lines = text.strip("\n").splitlines(keepends=True)
    cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{len(cells)}", "metadata": {}, "source": lines}
    cells.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))


def code_cells(notebook: Mapping[str, Any]) -> list[str]:
    """The notebook's Python, cell by cell, without lines for the notebook itself (%pip)."""
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [re.sub(r"^%.*$", "", source, flags=re.MULTILINE) for source in sources]


async def run_cells(cells: Sequence[str], swaps: Mapping[str, str], name: str) -> dict[str, Any]:
    """Run them one after the other inside the running event loop, as a kernel does; what they defined.

    `swaps` are texts to replace first: an address that only the reader has. Each must occur.
    """
    code = "\0".join(cells)
    for old, new in swaps.items():
        assert old in code, f"{name} doesn't say {old}"
        code = code.replace(old, new)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(code.split("\0"), 1):
        place, flags = f"{name}, code cell {number}", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        # Not inheriting this module's own `annotations`: a page's classes are read at run time.
        compiled = compile(cell, place, "exec", flags=flags, dont_inherit=True)
        result = eval(compiled, namespace)  # noqa: S307 - the documentation's own code
        if inspect.iscoroutine(result):
            await result
    return namespace


def main(pages: Sequence[str]) -> None:
    """Write each page's notebook beside it."""
    for page in map(Path, pages):
        notebook = notebook_of(page.read_text(encoding="utf-8"))
        text = json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"
        page.with_suffix(".ipynb").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
