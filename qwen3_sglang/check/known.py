"""Published answers of Qwen's checkpoints, and whether a server gives them too."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qwen3_sglang.check.server import Finding
from qwen3_sglang.errors import InvalidInputError, ServerError

if TYPE_CHECKING:
    from qwen3_sglang.client import RerankClient


def _logit(p_yes: float) -> float:
    if p_yes in {0, 1}:  # beyond what a float tells from them
        return math.inf if p_yes else -math.inf
    return math.log(p_yes / (1 - p_yes))


@dataclass(frozen=True, slots=True)
class Answer:
    """The published answer for one pair, asked with the model's own template and default instruction.

    Attributes:
        query: the query.
        document: the document.
        p_yes: P(yes) as published.
        tokens: tokens of the prompt; None where they weren't published.
    """

    query: str
    document: str
    p_yes: float
    tokens: int | None = None

    @property
    def logit(self) -> float:
        """log(P(yes) / P(no))."""
        return _logit(self.p_yes)


@dataclass(frozen=True, slots=True)
class Published:
    """The answers of one checkpoint.

    Attributes:
        checkpoint: its name on the hub.
        source: who published the answers, and what computed them.
        answers: the pairs.
        tolerance: by how much a logit may differ where the weights are the same.
        reason: why the tolerance is that large.
    """

    checkpoint: str
    source: str
    answers: tuple[Answer, ...]
    tolerance: float
    reason: str

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The answers' queries and documents."""
        return [(answer.query, answer.document) for answer in self.answers]


ROUNDING = "two runs of one network in 16 bits differ by up to 0.2 in the logit, as measured on random weights"
# To add a model or a pair: figures that somebody published, asked with Qwen's own template. Leave out pairs that were
# made with another template: it changes P(yes).
PUBLISHED = {
    "0.6B": Published(
        "Qwen/Qwen3-Reranker-0.6B",
        "an article on reranking with SGLang; bfloat16, head made by the usual recipe",
        (
            Answer("What is the capital of China?", "I want to eat an apple", 2.3783744836691767e-05, 84),
            Answer(
                "Explain gravity",
                "Gravity is a force that attracts two bodies towards each other. It gives weight to physical objects "
                "and is responsible for the movement of planets around the sun.",
                0.9993976354598999,
                104,
            ),
        ),
        0.5,
        f"{ROUNDING}; the recipe rounds two logits of about 20 to steps of 0.125, and leaves a random bias of up to "
        "0.06",
    ),
    "8B": Published(
        "Qwen/Qwen3-Reranker-8B",
        "issue 71 of QwenLM/Qwen3-Embedding; transformers with Qwen's own script, 16 bits",
        tuple(
            Answer("What is the price of coca cola?", document, p_yes)
            for document, p_yes in (
                ("The price of coca cola is 400 dollars.", 0.962890625),
                ("Coca cola is my favorite drink", 9.840726852416992e-05),
                ("Sprite is my favorite drink", 3.933906555175781e-06),
                ("Qwen3 is powerful", 2.2292137145996094e-05),
            )
        ),
        0.5,
        f"{ROUNDING}; the published figures have 11 bits, the smallest fewer",
    ),
}


def find(name: str) -> Published:
    """The answers of a checkpoint by its size or by its name on the hub, in any case.

    Raises:
        InvalidInputError: none are known for it.
    """
    for size, published in PUBLISHED.items():
        if name.lower() in {size.lower(), published.checkpoint.lower()}:
            return published
    raise InvalidInputError("--expect", name, f"published answers are known for {' and '.join(PUBLISHED)}; pass one")


def recognise(source: str) -> Published | None:
    """The published checkpoint that `source` is called after; None where no answers are known for such a name.

    Args:
        source: a name on the hub, a copy's folder of the same name, or a snapshot in the hub's cache. A fine-tune
            that kept the name is taken for the checkpoint too, and then found to differ.
    """
    parts = [part.lower() for part in (source, *Path(source).expanduser().resolve().parts)]
    for published in PUBLISHED.values():
        name = published.checkpoint.lower()
        cached = f"models--{name.replace('/', '--')}"
        if parts[0] == name or parts[-1] == name.rpartition("/")[2] or cached in parts:
            return published
    return None


def compare_answers(published: Published, found: Mapping[tuple[str, str], tuple[int, float]]) -> Iterator[Finding]:
    """Compare each published pair with what a model gave here, then give the verdict.

    Args:
        published: the answers.
        found: (query, document) -> tokens of the prompt, P(yes).
    """
    apart = []
    for answer in published.answers:
        tokens, p_yes = found[answer.query, answer.document]
        if answer.tokens is not None:
            yield _counted(answer, tokens)
        logit = _logit(p_yes)
        apart.append(abs(logit - answer.logit))
        yield _compared(answer, p_yes, logit, published.tolerance)
    yield _verdict(published, apart)


def check_answers(client: RerankClient, published: Published) -> Iterator[Finding]:
    """Compare each published pair with the server's answer, then give the verdict; stop where the server fails.

    Raises:
        InvalidInputError: `max_length` has no room for a pair. A ServerError is a finding, and isn't raised.
    """
    apart = []
    try:
        for answer in published.answers:
            if answer.tokens is not None:
                yield _counted(answer, client.prompts(answer.query, [answer.document])[0].tokens)
            [result] = client.rerank(answer.query, [answer.document])
            apart.append(abs(result.logit - answer.logit))
            yield _compared(answer, result.score, result.logit, published.tolerance)
    except ServerError as error:
        yield Finding(False, str(error))
        return
    yield _verdict(published, apart)


def _shown(answer: Answer) -> str:
    document = answer.document if len(answer.document) <= 40 else f"{answer.document[:39]}…"  # noqa: PLR2004 - a line
    return f"{answer.query!r}, {document!r}"


def _counted(answer: Answer, tokens: int | None) -> Finding:
    if tokens is None:
        return Finding(True, f"{_shown(answer)}: nobody here counts tokens; {answer.tokens} are expected", note=True)
    if tokens == answer.tokens:
        return Finding(True, f"{_shown(answer)}: {tokens} tokens, as published")
    remedy = "the tokenizer isn't Qwen3's: copy tokenizer.json and its like from the original checkpoint"
    return Finding(False, f"{_shown(answer)}: {tokens} tokens here, {answer.tokens} published: {remedy}")


def _compared(answer: Answer, p_yes: float, logit: float, tolerance: float) -> Finding:
    figures = f"logit {logit:.2f} here, {answer.logit:.2f} published (P(yes) {p_yes:.3g} and {answer.p_yes:.3g})"
    return Finding(abs(logit - answer.logit) <= tolerance, f"{_shown(answer)}: {figures}")


def _verdict(published: Published, apart: Sequence[float]) -> Finding:
    same = max(apart) <= published.tolerance
    how = "consistent with" if same else "differs from"
    text = f"{how} the published {published.checkpoint}: logits up to {max(apart):.2f} apart"
    return Finding(same, f"{text}, {published.tolerance} allowed, since {published.reason} ({published.source})")
