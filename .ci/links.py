"""Links between files of the repository, as the site needs them; no I/O but the question whether a file exists.

In the repository a page links to other files by their paths, as GitHub shows them. On the site such a link becomes the
address of the page that the file has become. A file without a page becomes a link to the repository, where that is
known, and else its bare text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = {  # path in the repository -> page of the site; a page of docs/ keeps its name
    "README.md": "index.md",
    "README.zh-CN.md": "index.zh-CN.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    **{f"docs/{path.name}": f"notebooks/{path.name}" for path in sorted((ROOT / "docs").glob("*.ipynb"))},
}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


class DeadLinkError(Exception):
    """A page links to a file that doesn't exist."""


def source_of(page: str) -> str:
    """The path in the repository of a page of the site."""
    return next((path for path, name in PAGES.items() if name == page), f"docs/{page}")


def exchanged(markdown: str, page: str, repository: str = "") -> str:
    """The page's text with its links as the site needs them; code stays as it is.

    Raises:
        DeadLinkError: a link to a file that doesn't exist.
    """
    pieces = _joined(CODE.split(markdown))
    return "".join(
        piece if place % 2 else LINK.sub(lambda found: _link(found, page, repository), piece)
        for place, piece in enumerate(pieces)
    )


def _joined(pieces: list[str]) -> list[str]:
    """Text and code by turns, where code inside a link's text stays with its link."""
    kept = [pieces[0]]
    for code, text in zip(pieces[1::2], pieces[2::2], strict=True):
        before, bracket, opened = kept[-1].rpartition("[")
        if (before or bracket) and "]" not in opened and "](" in text:
            kept[-1] += code + text
        else:
            kept += [code, text]
    return kept


def _link(found: re.Match[str], page: str, repository: str) -> str:
    picture, text, target = found.groups()
    path, hash_, anchor = target.partition("#")
    if not path or re.match(r"[a-z]+:", path):
        return found[0]
    source = source_of(page)
    wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if not (ROOT / wanted).exists():
        raise DeadLinkError(f"{source} links to {target}, which doesn't exist")
    other = PAGES.get(wanted) or (wanted.removeprefix("docs/") if wanted.startswith("docs/") else None)
    if other is not None:
        return f"{picture}[{text}]({posixpath.relpath(other, posixpath.dirname(page) or '.')}{hash_}{anchor})"
    return f"[{text}](https://github.com/{repository}/blob/main/{wanted})" if repository else text
