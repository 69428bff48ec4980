"""Hooks of `mkdocs build`: pages from outside docs/, an API reference from `__all__`, and links that work in the site.

In the repository a page links to other files by their paths, as GitHub shows them. Here each such link becomes the
address of the page that the file has become; a file without a page becomes a link to the repository where that is
known (GITHUB_REPOSITORY), else its bare text. A link to a file that doesn't exist stops the build.
"""

from __future__ import annotations

import ast
import os
import posixpath
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
PAGES = {  # path in the repository -> page of the site; a page of docs/ keeps its name
    "README.md": "index.md",
    "README.zh-CN.md": "index.zh-CN.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    **{f"docs/{path.name}": f"notebooks/{path.name}" for path in (ROOT / "docs").glob("*.ipynb")},
}
PACKAGES = ("qwen3_sglang", "langchain_qwen3_sglang", "llama_index_qwen3_sglang")
HELD = tempfile.TemporaryDirectory(prefix="site-")  # removed when the build ends
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


@event_priority(100)  # before mkdocs-jupyter looks for notebooks
def on_files(files: Any, config: Any) -> Any:
    """Add the pages that docs/ doesn't hold."""
    for source, page in PAGES.items():
        copy = Path(HELD.name) / page  # mkdocs-jupyter reads files from a folder only
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / source, copy)
        files.append(File(page, HELD.name, config.site_dir, config.use_directory_urls))
    for package in PACKAGES:
        files.append(File.generated(config, f"reference/{package}.md", content=reference(package)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Exchange the links, code aside."""
    here = page.file.src_uri
    source = next((path for path, name in PAGES.items() if name == here), f"docs/{here}")
    pieces = CODE.split(markdown)
    return "".join(
        piece if place % 2 else LINK.sub(lambda found: link(source, here, found), piece)
        for place, piece in enumerate(joined(pieces))
    )


def joined(pieces: list[str]) -> list[str]:
    """Text and code by turns, where code inside a link's text stays with its link."""
    kept = [pieces[0]]
    for code, text in zip(pieces[1::2], pieces[2::2], strict=True):
        if kept[-1].rpartition("[")[1] and "]" not in kept[-1].rpartition("[")[2] and text.startswith("]("):
            kept[-1] += code + text
        else:
            kept += [code, text]
    return kept


def link(source: str, here: str, found: re.Match[str]) -> str:
    """The link as the site needs it."""
    picture, text, target = found.groups()
    path, _, anchor = target.partition("#")
    if not path or re.match(r"[a-z]+:", path):
        return found[0]
    wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    page = PAGES.get(wanted) or (wanted.removeprefix("docs/") if wanted.startswith("docs/") else None)
    if not (ROOT / wanted).exists():
        raise PluginError(f"{source} links to {target}, which doesn't exist")
    if page is not None:
        return (
            f"{picture}[{text}]({posixpath.relpath(page, posixpath.dirname(here) or '.')}{'#' * bool(anchor)}{anchor})"
        )
    repository = os.environ.get("GITHUB_REPOSITORY")
    return f"[{text}](https://github.com/{repository}/blob/main/{wanted})" if repository else text


def reference(package: str) -> str:
    """A page with every public name of a package, in the order of its `__all__`."""
    tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    (names,) = [ast.literal_eval(node.value) for node in assigned if ast.unparse(node.targets[0]) == "__all__"]
    return f"# {package}\n\n" + "\n".join(f"::: {package}.{name}\n" for name in names if not name.startswith("__"))
