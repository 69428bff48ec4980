"""Published answers: what is asked, what is said of it, and that the figures are those that were published."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fake_server import FakeServer
from qwen3_sglang import RerankClient
from qwen3_sglang.check.known import PUBLISHED, Answer, Published, check_answers, compare_answers, find, recognise
from qwen3_sglang.cli.app import app
from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.local import run_in_thread
from qwen3_sglang.prompts.template import build_prompts


@pytest.mark.parametrize(("size", "logits"), [("0.6B", [-10.65, 7.41]), ("8B", [3.26, -9.23, -12.45, -10.71])])
def test_the_figures(size: str, logits: list[float]) -> None:
    assert [answer.logit for answer in PUBLISHED[size].answers] == pytest.approx(logits, abs=0.01)


@pytest.mark.parametrize("name", ["0.6b", "Qwen/Qwen3-Reranker-0.6B", "qwen/qwen3-reranker-0.6b"])
def test_a_checkpoint_has_names(name: str) -> None:
    assert find(name) is PUBLISHED["0.6B"]


@pytest.mark.parametrize(
    ("source", "size"),
    [
        ("Qwen/Qwen3-Reranker-0.6B", "0.6B"),
        ("qwen/qwen3-reranker-8b", "8B"),
        ("models/Qwen3-Reranker-0.6B", "0.6B"),
        ("models/Qwen3-Reranker-0.6B/", "0.6B"),
        ("hub/models--Qwen--Qwen3-Reranker-8B/snapshots/0123abcd", "8B"),
        ("me/Qwen3-Reranker-0.6B-law", None),
        ("Qwen/Qwen3-Reranker-4B", None),
        ("models/reranker", None),
        ("hub/models--me--Qwen3-Reranker-8B-law/snapshots/0123abcd", None),
    ],
)
def test_a_source_is_recognised_by_its_name(source: str, size: str | None) -> None:
    assert recognise(source) is (None if size is None else PUBLISHED[size])


def test_scores_beyond_a_floats_digits() -> None:
    """A P(yes) of 1 or 0 is infinitely far from every published answer, and no error."""
    published = PUBLISHED["0.6B"]
    found = {pair: (tokens, p_yes) for pair, tokens, p_yes in zip(published.pairs, (84, 104), (0.0, 1.0), strict=True)}
    assert [finding.ok for finding in compare_answers(published, found)] == [True, False, True, False, False]


LONG = "forty characters are shown, and no more!"
MADE = Published("me/own", "a page", (Answer("q", LONG, 0.5, 7), Answer("r", LONG + "!", 0.5)), 0.5, "of noise")


@pytest.mark.parametrize(
    ("logit", "tokens", "oks"),
    [
        (0.0, 7, [True] * 4),
        (0.4999, 7, [True] * 4),
        (-0.4999, 8, [False, True, True, True]),
        (0.5001, 6, [False, False, False, False]),
        (-0.5001, 7, [True, False, False, False]),
    ],
)
def test_every_answer_is_compared(logit: float, tokens: int, oks: list[bool]) -> None:
    """Tokens where they were published, the logit within the tolerance, and the largest distance of all."""
    p_yes = 1 / (1 + math.exp(-logit))
    found = list(compare_answers(MADE, {("q", LONG): (tokens, p_yes), ("r", LONG + "!"): (99, p_yes)}))
    assert [one.ok for one in found] == oks
    assert not any(one.note for one in found)
    counted, first, second, verdict = (one.text for one in found)
    assert counted.startswith(f"'q', '{LONG}': {tokens} tokens")
    assert counted.endswith("as published" if tokens == 7 else "from the original checkpoint")
    figures = f"logit {logit:.2f} here, 0.00 published (P(yes) {p_yes:.3g} and 0.5)"
    assert first == f"'q', '{LONG}': {figures}"
    assert second == f"'r', '{LONG[:39]}…': {figures}"
    how = "consistent with" if oks[-1] else "differs from"
    apart = f"logits up to {abs(logit):.2f} apart, 0.5 allowed, since of noise (a page)"
    assert verdict == f"{how} the published me/own: {apart}"


def test_as_far_apart_as_is_allowed() -> None:
    """Is consistent; the tolerance is the last that is."""
    edge = Answer("", "", 0.6).logit
    for tolerance, same in ((edge, True), (math.nextafter(edge, 0), False)):
        published = replace(MADE, tolerance=tolerance)
        found = compare_answers(published, {("q", LONG): (7, 0.6), ("r", LONG + "!"): (9, 0.6)})
        assert [one.ok for one in found] == [True, same, same, same]


def test_certainty_has_no_finite_logit() -> None:
    """Above or below every other."""
    logits = [Answer("", "", p).logit for p in (0.0, 0.25, 0.5, 1.0)]
    assert logits == [-math.inf, pytest.approx(-math.log(3)), 0, math.inf]


def test_one_answer_apart_is_enough() -> None:
    """The verdict is by the largest distance, wherever it is."""
    for first, second in ((0.5, 0.9), (0.9, 0.5)):
        *_, verdict = compare_answers(MADE, {("q", LONG): (7, first), ("r", LONG + "!"): (9, second)})
        assert not verdict.ok


def test_where_nobody_counts_tokens(server: FakeServer) -> None:
    """A gateway without a tokenizer: a note, not a fault."""
    counted, *_ = answering(server, MADE, 0.0)
    assert counted == (True, f"'q', '{LONG}': nobody here counts tokens; 7 are expected")


def test_an_unknown_one_is_named() -> None:
    with pytest.raises(InvalidInputError, match=r"--expect=.*0\.6B and 8B"):
        find("4B")


def answering(server: FakeServer, published: Published, off: float) -> list[tuple[bool, str]]:
    """What is found of a server whose logits are `off` by so much."""
    for answer in published.answers:
        [prompt] = build_prompts(answer.query, [answer.document])
        server.scores[prompt] = 1 / (1 + math.exp(-(answer.logit + off)))
    with RerankClient(server.url) as client:
        return [(finding.ok, finding.text) for finding in check_answers(client, published)]


@pytest.mark.parametrize("size", list(PUBLISHED))
@pytest.mark.parametrize(("off", "same"), [(0.0, True), (0.4, True), (-0.4, True), (0.6, False), (-0.6, False)])
def test_consistent_or_different(server: FakeServer, size: str, off: float, same: bool) -> None:
    """Both figures of every pair, then the verdict with the tolerance and its reason."""
    published = PUBLISHED[size]
    found = [finding for finding in answering(server, published, off) if "tokens" not in finding[1]]
    assert [ok for ok, _ in found] == [same] * (len(published.answers) + 1)
    for answer, (_, text) in zip(published.answers, found, strict=False):
        assert f"logit {answer.logit + off:.2f} here, {answer.logit:.2f} published" in text
    verdict = found[-1][1]
    assert verdict.startswith("consistent with" if same else "differs from")
    for part in (published.checkpoint, "0.5 allowed", published.reason, published.source):
        assert part in verdict


def test_a_server_that_is_away_is_told(nobody: str) -> None:
    with RerankClient(nobody, model="m", max_length=8192, max_retries=0) as client:
        found = list(check_answers(client, PUBLISHED["8B"]))
    assert [finding.ok for finding in found] == [False]


def test_the_toy_is_not_the_published_model(converted_toy: Path) -> None:
    """On the command line: the wrong tokenizer and the other scores are said, and the exit code is 1."""
    with run_in_thread(converted_toy, threads=1) as url:
        said = CliRunner().invoke(app, ["check", url, "--expect", "0.6B"], env={"COLUMNS": "400"})
    assert said.exit_code == 1
    assert "differs from the published Qwen/Qwen3-Reranker-0.6B" in said.output
    assert "84 published: the tokenizer isn't Qwen3's" in said.output


def test_a_folder_is_asked_too(converted_toy: Path) -> None:
    """Loaded here, as after a conversion."""
    said = CliRunner().invoke(app, ["check", str(converted_toy), "--expect", "8B"], env={"COLUMNS": "400"})
    assert said.exit_code == 1
    assert "differs from the published Qwen/Qwen3-Reranker-8B" in said.output
