"""Hooks of `mkdocs build`: pages from outside docs/, links that work on the site, an API reference from `__all__`."""

from __future__ import annotations

import ast
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).parent))  # mkdocs imports hooks by their path

from links import PAGES, ROOT, DeadLinkError, exchanged

PACKAGES = ("qwen3_sglang", "langchain_qwen3_sglang", "llama_index_qwen3_sglang")
INHERITS = {"RerankClient": "    options:\n      inherited_members: true\n"}  # a part of its methods is our own base's
HELD = tempfile.TemporaryDirectory(prefix="site-")  # removed when the build ends


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
    """Exchange the links; GitHub names the repository in its runners' environment."""
    try:
        return exchanged(markdown, page.file.src_uri, os.environ.get("GITHUB_REPOSITORY", ""))
    except DeadLinkError as error:
        raise PluginError(str(error)) from error


def reference(package: str) -> str:
    """A page with every public name of a package, in the order of its `__all__`."""
    tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    (names,) = [ast.literal_eval(node.value) for node in assigned if ast.unparse(node.targets[0]) == "__all__"]
    entries = [f"::: {package}.{name}\n{INHERITS.get(name, '')}" for name in names if not name.startswith("__")]
    return f"# {package}\n\n" + "\n".join(entries)
