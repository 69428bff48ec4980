"""The demo's corpus is what its README says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[2] / "examples" / "data"


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def test_corpus_is_large_and_varied() -> None:
    passages = rows("passages.jsonl")
    assert len(passages) >= 200
    assert len({passage["subject"] for passage in passages}) >= 4


def test_passages_are_complete_and_unique() -> None:
    passages = rows("passages.jsonl")
    fields = {"id", "title", "text", "subject", "source", "licence"}
    assert [p["id"] for p in passages if p.keys() != fields or not all(v.strip() for v in p.values())] == []
    assert [name for name, times in Counter(p["id"] for p in passages).items() if times > 1] == []
    assert [name for name, times in Counter(p["text"] for p in passages).items() if times > 1] == []


def test_passages_are_passages() -> None:
    lengths = {passage["id"]: len(passage["text"].split()) for passage in rows("passages.jsonl")}
    assert {name: words for name, words in lengths.items() if not 40 <= words <= 120} == {}


def test_questions_point_into_the_corpus() -> None:
    subjects = {passage["id"]: passage["subject"] for passage in rows("passages.jsonl")}
    questions = rows("questions.jsonl")
    assert len(questions) == len({question["id"] for question in questions}) == 20
    assert all(question["question"].endswith("?") and question["relevant"] for question in questions)
    asked = {name for question in questions for name in question["relevant"]}
    assert asked - subjects.keys() == set()
    assert {subjects[name] for name in asked} == set(subjects.values())


@pytest.mark.parametrize("field", ["subject", "licence"])
def test_readme_names_every_value(field: str) -> None:
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    assert [value for value in {passage[field] for passage in rows("passages.jsonl")} if value not in readme] == []


def test_readme_counts_are_true() -> None:
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    counts = Counter(passage["subject"] for passage in rows("passages.jsonl"))
    assert [subject for subject, count in counts.items() if f"| {subject} | {count} |" not in readme] == []
    assert f"{counts.total()} passages" in readme


def test_every_source_has_its_notice() -> None:
    notices = (DATA / "NOTICES.txt").read_text(encoding="utf-8")
    sources = {passage["source"].partition(" (")[0] for passage in rows("passages.jsonl")}
    assert [source for source in sources if source not in notices] == []
