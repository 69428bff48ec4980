"""The weights compute the formula, in 16 bits too, and the formula ranks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from corpora import Rows, docstrings, readmes, recipes
from formula import Formula
from judged_texts import Judged, judged
from transformers import AutoModelForCausalLM, AutoTokenizer

from qwen3_sglang.prompts.template import build_prompts
from qwen3_sglang.toy import build_toy

CONSTANTS, SLIGHT_WORDS = 0.24, 0.35  # what the logit is off by, since the weights have 8 bits; without a whole word
BATCH = 2000
ODD = [
    ("yeast", ""),
    ("What carries the oxygen in our blood?", "What carries the oxygen in our blood?"),
    ("iron iron iron", "iron " * 40),
    ("iron", "The of and. " * 600 + "iron"),
    ("the of and", "the of and"),
    ("大きな文字", "大きな文字 and iron"),
    ("virtual assistant", "Nothing of the kind."),
    ("Judge the search query", "A passage about Documents and the Instruct"),
    ("zyxwvut", "ZYXWVUT, zyxwvuts!"),
]


def logits(folder: Path, pairs: list[tuple[str, str]], dtype: torch.dtype, attention: str = "sdpa") -> list[float]:
    """log(P(yes) / P(no)); prompts of about the same length go together, as many as have BATCH tokens."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    load: Any = AutoModelForCausalLM.from_pretrained
    model = load(folder, dtype=dtype, attn_implementation=attention).eval()
    yes, no = tokenizer.convert_tokens_to_ids(["yes", "no"])
    prompts = [tokenizer(build_prompts(q, [text])[0]).input_ids for q, text in pairs]
    left = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    found: dict[int, float] = {}
    while left:
        longest = len(prompts[left[-1]])
        count = max(1, BATCH // longest)
        taken, left = left[-count:], left[:-count]
        # Padded at the end, where no causal model looks: no mask is needed.
        ids = [prompts[index] + [0] * (longest - len(prompts[index])) for index in taken]
        with torch.inference_mode():
            hidden = model.model(torch.tensor(ids)).last_hidden_state
            last = hidden[range(len(ids)), [len(prompts[index]) - 1 for index in taken]]
            rows = model.lm_head(last).float()
        found |= zip(taken, (rows[:, yes] - rows[:, no]).tolist(), strict=True)
    return [found[index] for index in range(len(pairs))]


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


@pytest.fixture(scope="module")
def exact(demo_toy: Path, demo: Judged) -> list[float]:
    """The demo's pairs in float32."""
    return logits(demo_toy, demo.pairs, torch.float32)


def test_the_model_computes_the_formula(demo_toy: Path, demo: Judged, exact: list[float]) -> None:
    """On what BM25 finds, and on texts that are odd."""
    formula = Formula(demo_toy, list(demo.texts.values()))
    expected = [formula.logit(*pair) for pair in demo.pairs]
    assert exact == pytest.approx(expected, abs=CONSTANTS)
    got = logits(demo_toy, ODD, torch.float32)
    assert got == pytest.approx([formula.logit(*pair) for pair in ODD], abs=SLIGHT_WORDS)


@pytest.mark.parametrize(("attention", "questions"), [("sdpa", 20), ("eager", 3)])
def test_16_bits_say_the_same(demo_toy: Path, demo: Judged, exact: list[float], attention: str, questions: int) -> None:
    """P(yes) within 0.01 in the mean, and the same passage first for every question."""
    pairs = sum(len(found) for _, _, found in demo.questions[:questions])
    rough = logits(demo_toy, demo.pairs[:pairs], torch.bfloat16, attention)
    exact = exact[:pairs]
    apart = [abs(sigmoid(a) - sigmoid(b)) for a, b in zip(exact, rough, strict=True)]
    assert sum(apart) / len(apart) < 0.01
    assert max(apart) < 0.06
    for mine, other in zip(demo.by_question(exact), demo.by_question(rough), strict=True):
        assert mine.index(max(mine)) == other.index(max(other))


def ranks(data: Judged, scores: list[float] | None) -> list[list[int]]:
    """The ranks of each question's relevant documents, in the order found, or by `scores`."""
    rows = zip(data.questions, data.by_question(scores or [0.0] * len(data.pairs)), strict=True)
    orders = [
        (right, sorted(zip(own, found, strict=True), key=lambda pair: -pair[0])) for (_, right, found), own in rows
    ]
    return [[rank for rank, (_, name) in enumerate(order, 1) if name in right] for right, order in orders]


def mrr(data: Judged, scores: list[float] | None = None) -> float:
    """Mean reciprocal rank of the first relevant document."""
    return sum(1 / own[0] for own in ranks(data, scores) if own) / len(data.questions)


def ndcg(data: Judged, scores: list[float] | None = None) -> float:
    """nDCG@10."""

    def gain(places: Iterable[int]) -> float:
        return sum(1 / math.log2(rank + 1) for rank in places)

    found = zip(ranks(data, scores), data.questions, strict=True)
    return sum(gain(own) / gain(range(1, min(10, len(right)) + 1)) for own, (_, right, _) in found) / len(
        data.questions
    )


def test_reranking_helps(demo: Judged, exact: list[float]) -> None:
    assert mrr(demo, exact) >= mrr(demo)


def test_p_yes_means_something(demo: Judged, exact: list[float]) -> None:
    """It isn't all 0 and 1, and one half tells relevant passages from others."""
    p = [sigmoid(logit) for logit in exact]
    relevant = [name in right for _, right, found in demo.questions for name in found]
    assert sum(value > 0.999 for value in p) < 0.1 * len(p)
    assert min(p) < 0.05
    assert max(p) > 0.9
    assert sum(0.05 < value < 0.95 for value in p) > 0.2 * len(p)
    hits = sum(value >= 0.5 and right for value, right in zip(p, relevant, strict=True))
    f1 = 2 * hits / (sum(value >= 0.5 for value in p) + sum(relevant))
    share = sum(relevant) / len(relevant)
    assert f1 > 2 * share / (1 + share) + 0.1  # above saying yes to everything


@pytest.mark.parametrize(
    "corpus",
    [lambda: docstrings(0), lambda: docstrings(1), lambda: docstrings(2), readmes, recipes],
    ids=["docstrings", "more docstrings", "still more", "readmes", "recipes"],
)
def test_it_keeps_up_with_bm25_elsewhere(tmp_path: Path, corpus: Callable[[], Rows]) -> None:
    """On corpora that it isn't tuned on, by both measures."""
    rows = corpus()
    assert len(rows) >= 50
    texts = {str(number): text for number, (_, text) in enumerate(rows)}
    questions = {str(number): (question, frozenset({str(number)})) for number, (question, _) in enumerate(rows)}
    data = judged(texts, questions)
    formula = Formula(build_toy(tmp_path / "toy", texts.values()), list(texts.values()))
    scores = [formula.logit(*pair) for pair in data.pairs]
    for measure in (mrr, ndcg):
        assert measure(data, scores) >= measure(data) - 0.02
