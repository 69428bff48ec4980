"""The toy for the demo's corpus, with the demo's questions and what BM25 finds for them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from qwen3_sglang.evaluate.bm25 import search
from qwen3_sglang.toy import build_toy

DATA = Path(__file__).parents[2] / "examples" / "data"


@dataclass(frozen=True)
class Judged:
    """Questions with the documents that a first stage found for each, best first.

    Attributes:
        texts: the whole corpus by id.
        questions: (question, the ids that answer it, the ids found).
    """

    texts: dict[str, str]
    questions: list[tuple[str, frozenset[str], list[str]]]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Each question with each document found."""
        return [(question, self.texts[name]) for question, _, found in self.questions for name in found]


def judged(texts: dict[str, str], questions: dict[str, tuple[str, frozenset[str]]]) -> Judged:
    """With BM25's top 10."""
    found = search(texts, {key: text for key, (text, _) in questions.items()}, 10)
    return Judged(texts, [(text, right, found[key]) for key, (text, right) in questions.items()])


@pytest.fixture(scope="session")
def demo() -> Judged:
    """The shipped corpus."""
    passages, questions = (
        [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]
        for name in ("passages.jsonl", "questions.jsonl")
    )
    texts = {row["id"]: f"{row['title']}. {row['text']}" for row in passages}
    return judged(texts, {row["id"]: (row["question"], frozenset(row["relevant"])) for row in questions})


@pytest.fixture(scope="session")
def demo_toy(demo: Judged, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built for it."""
    return build_toy(tmp_path_factory.mktemp("demo") / "toy", demo.texts.values())
