"""Questions, what answers them, and what BM25 finds for them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from qwen3_sglang.evaluate.bm25 import search


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

    def by_question(self, scores: list[float]) -> list[list[float]]:
        """Scores of `pairs`, or of the first of them, question by question."""
        left = iter(scores)
        return [own for _, _, found in self.questions if (own := list(islice(left, len(found))))]


def judged(texts: dict[str, str], questions: dict[str, tuple[str, frozenset[str]]]) -> Judged:
    """With BM25's top 10."""
    found = search(texts, {key: text for key, (text, _) in questions.items()}, 10)
    return Judged(texts, [(text, right, found[key]) for key, (text, right) in questions.items()])
