"""Every code block of docs/other_frameworks.md does what it says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "other_frameworks.md").read_text(encoding="utf-8")
ANY, PROGRESS, RERANKERS, HAYSTACK = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
URL = "http://127.0.0.1:30000"
TEXTS = ["Gravity is a force.", "The capital of China is Beijing.", "Tea is a drink."]


@pytest.fixture
def run(toy_url: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a block prints, run as it stands but for the server's address."""

    def printed(block: str, **names: object) -> str:
        assert URL in block
        exec(compile(block.replace(URL, toy_url), "other_frameworks.md", "exec"), names)  # noqa: S102 - the page's own code
        return capsys.readouterr().out

    return printed


def test_anything_with_a_text(run: Callable[..., str]) -> None:
    """The hit comes back whole, the others are below min_score, and nothing of the caller's is changed."""
    hits = [{"id": f"hit-{place}", "text": text} for place, text in enumerate(TEXTS)]
    before = [dict(hit) for hit in hits]
    (line,) = run(ANY, hits=hits).splitlines()
    assert line.startswith("hit-1 ")
    assert line.endswith("Beijing.")
    assert hits == before


def test_progress(run: Callable[..., str]) -> None:
    """Both queries are answered by the document that does."""
    assert run(PROGRESS, texts=TEXTS).splitlines() == [TEXTS[1], TEXTS[0]]


def test_rerankers(run: Callable[..., str]) -> None:
    """Ids are the caller's; the first rank is 1."""
    assert run(RERANKERS, texts=TEXTS).strip() == f"c 1 {TEXTS[1]}"


def test_haystack(run: Callable[..., str]) -> None:
    """Where Haystack is installed; it is no dependency of this project, nor of its tests."""
    haystack = pytest.importorskip("haystack", reason="pip install haystack-ai to run the page's Haystack block")
    documents = [haystack.Document(content=text, meta={"place": place}) for place, text in enumerate(TEXTS)]
    assert "Beijing" in run(HAYSTACK, documents=documents)
    assert all(document.score is None for document in documents)
