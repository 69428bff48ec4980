"""The toy for the demo's corpus, with the demo's questions and what BM25 finds for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from judged_texts import Judged, judged

from qwen3_sglang.toy import build_toy

DATA = Path(__file__).parents[2] / "examples" / "data"


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
