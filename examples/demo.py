"""Rerank BM25's top 10 with Qwen3-Reranker through LangChain and through LlamaIndex, side by side.

    python examples/demo.py                                  # a toy reranker on an embedded server
    python examples/demo.py --model Qwen/Qwen3-Reranker-0.6B # the real one, on this machine
    python examples/demo.py --url http://127.0.0.1:30000     # your own SGLang server

Needs ``pip install "qwen3-sglang[all]" bm25s langchain-classic``. Exit status: 0 when both frameworks agree
on every question, 1 when they don't or an error came up, 130 after Ctrl-C, 143 after SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import sys
import textwrap
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

# Nothing slow is imported up here: the first line is printed at once.
if TYPE_CHECKING:
    from demo_pipelines import Index, Pipelines, Ranked

DATA = Path(__file__).parent / "data"
WHOLE = 3  # questions that are shown whole
WIDTH = 42  # of a question in the table
TOLERANCE = 0.01  # a server that batches on a GPU answers the same request with slightly different scores
REAL = "Qwen/Qwen3-Reranker-0.6B"
TOY_NOTE = "This was the toy: it knows words, not meaning.\nIts figures say nothing about Qwen3-Reranker's quality."


class Question(NamedTuple):
    """A question and the ids of the passages that answer it."""

    text: str
    relevant: frozenset[str]


class Outcome(NamedTuple):
    """What became of one question: both orders, and whether the frameworks agree on the second."""

    question: Question
    first: list[str]
    ours: list[Ranked]
    theirs: list[Ranked]

    @property
    def agree(self) -> bool:
        """Do both frameworks say the same?"""
        return agree(self.ours, self.theirs)

    @property
    def before(self) -> float:
        """BM25's reciprocal rank."""
        return reciprocal_rank(self.first, self.question.relevant)

    @property
    def after(self) -> float:
        """The reranker's."""
        return reciprocal_rank([found.id for found in self.ours], self.question.relevant)


def load_passages() -> list[tuple[str, str]]:
    """Read ids and texts of the corpus; the title is part of the text, since many passages never name their subject."""
    return [(row["id"], f"{row['title']}. {row['text']}") for row in _read("passages.jsonl")]


def load_questions(limit: int | None) -> list[Question]:
    """Read the first `limit` questions, or all."""
    return [Question(row["question"], frozenset(row["relevant"])) for row in _read("questions.jsonl")[:limit]]


def _read(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def say(step: str) -> None:
    """Print a step as it begins."""
    print(f"- {step}", flush=True)


@contextmanager
def server(options: argparse.Namespace, texts: list[str]) -> Iterator[Future[str]]:
    """Yield a reranker's address to come: the one given, that of a model served here, or the toy's."""
    if options.url is not None:
        given: Future[str] = Future()
        given.set_result(options.url)
        yield given
        return
    from demo_server import start

    with ExitStack() as stack:
        advance = stack.enter_context(_bar("converting", None)) if options.model else _no_bar
        yield stack.enter_context(start(options.model, texts, say, advance))


def _no_bar(done: int, total: int) -> None:
    """The toy is converted at once."""


@contextmanager
def _bar(what: str, total: int | None) -> Iterator[Any]:
    """Yield a function (done, total) that moves a bar; nothing is drawn where no terminal is."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done, all_of_it=total: progress.update(task, completed=done, total=all_of_it)


def agree(ours: Sequence[Ranked], theirs: Sequence[Ranked]) -> bool:
    """Tell whether two rankings are the same, up to the order of passages that score alike."""
    mine, other = dict(ours), dict(theirs)
    if len(ours) != len(theirs) or mine.keys() != other.keys():
        return False
    same_scores = all(abs(mine[name] - other[name]) <= TOLERANCE for name in mine)
    return same_scores and all(abs(a.score - b.score) <= TOLERANCE for a, b in zip(ours, theirs, strict=True))


def reciprocal_rank(ids: Sequence[str], relevant: frozenset[str]) -> float:
    """Return 1 / rank of the first relevant id; 0 when none is there, be it unfound or dropped."""
    return next((1 / rank for rank, name in enumerate(ids, 1) if name in relevant), 0.0)


def ask(index: Index, pipelines: Pipelines, question: Question) -> Outcome:
    """Put one question to both frameworks."""
    first = [found.id for found, _ in index.search(question.text)]
    return Outcome(question, first, pipelines.langchain(question.text), pipelines.llama_index(question.text))


def ask_all(index: Index, pipelines: Pipelines, questions: Sequence[Question]) -> list[Outcome]:
    """Put every question to both, with a bar that tells how long it takes."""
    outcomes = []
    with _bar("asking", len(questions)) as advance:
        for question in questions:
            outcomes.append(ask(index, pipelines, question))
            advance(len(outcomes))
    return outcomes


def show(number: int, outcome: Outcome) -> None:
    """Print both orders of one question side by side, relevant passages starred, and what the threshold dropped."""
    from demo_pipelines import MIN_SCORE

    kept, relevant = outcome.ours, outcome.question.relevant
    print(f"\n{number}. {outcome.question.text}\n      {'BM25':<34}{'reranked':<32}P(yes)")
    for rank, name in enumerate(outcome.first):
        line = f"  {rank + 1:>2}  {_starred(name, relevant):<34}"
        if rank < len(kept):
            line += f"{_starred(kept[rank].id, relevant):<32}{kept[rank].score:.4f}"
        print(line.rstrip())
    kept_ids = {found.id for found in kept}
    dropped = [_starred(name, relevant) for name in outcome.first if name not in kept_ids]
    line = f"dropped, P(yes) < {MIN_SCORE}: {', '.join(dropped) or 'nothing'}"
    print(textwrap.fill(line, 79, initial_indent="  ", subsequent_indent="    "))


def _starred(name: str, relevant: frozenset[str]) -> str:
    return f"{name} *" if name in relevant else name


def show_rest(outcomes: Sequence[Outcome], start: int) -> None:
    """Print the other questions as one table: where the first relevant passage stands in both orders."""
    print(f"\n  {'first relevant passage':>{WIDTH + 4}}  BM25  reranked  P(yes)")
    for number, outcome in enumerate(outcomes, start):
        text = outcome.question.text
        shown = text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
        top = f"{outcome.ours[0].score:.4f}" if outcome.ours else "nothing kept"
        print(f"  {number:>2}. {shown:<{WIDTH}}  {_rank(outcome.before):>4}  {_rank(outcome.after):>8}  {top}")


def _rank(reciprocal: float) -> str:
    return str(round(1 / reciprocal)) if reciprocal else "-"


def report(outcomes: Sequence[Outcome]) -> int:
    """Print the verdict; return the exit status."""
    count = len(outcomes)
    differing = [outcome for outcome in outcomes if not outcome.agree]
    before, after = (sum(values) / count for values in zip(*((o.before, o.after) for o in outcomes), strict=True))
    change = "raised" if after > before else "lowered" if after < before else "kept"
    print(f"Verdict: reranking {change} MRR@10, from {before:.3f} to {after:.3f}.")
    print("A relevant passage that reranking drops counts as not found.")
    print(f"LangChain and LlamaIndex agree on {count - len(differing)} of {count} questions.")
    for outcome in differing:
        print(f"  they DIFFER on {outcome.question.text!r}: {outcome.ours} / {outcome.theirs}")
    return 1 if differing else 0


def cli() -> str:
    """Return what runs `qwen3-sglang` in this shell: its name, or its path where the environment isn't activated."""
    beside = Path(sys.executable).parent / "qwen3-sglang"
    if shutil.which("qwen3-sglang") or not beside.exists():
        return "qwen3-sglang"
    return shlex.quote(os.path.relpath(beside))


def what_next(options: argparse.Namespace) -> None:
    """Print the ways on from here."""
    command = cli()
    if options.url is not None:
        print(f"\nWhat next\n  your own texts    {command} playground --url {options.url}")
        return
    if options.model is None:
        print(f"\n{TOY_NOTE}")
    print(f"""
What next
  your own texts    {command} demo --keep-serving --port 30000
                    and open http://127.0.0.1:30000 in a browser
  the real model    make demo MODEL={REAL}
  your own server   qwen3-sglang serve {options.model or REAL}
                    where SGLang is installed; then in your code
                    base_url="http://<that machine>:30000"\
""")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--limit", type=_positive, metavar="N", help="ask only the first N questions")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--url", help="use the reranker served here instead of the toy")
    which.add_argument("--model", help=f"serve this one here instead of the toy, for example {REAL}")
    return parser.parse_args(argv)


def _run(options: argparse.Namespace) -> int:
    passages = load_passages()
    with server(options, [text for _, text in passages]) as base_url:
        say("loading LangChain and LlamaIndex")
        from demo_pipelines import Index, Passage, Pipelines

        index, questions = Index([Passage(*passage) for passage in passages]), load_questions(options.limit)
        pipelines = Pipelines(index, base_url.result())
        say(f"asking {len(questions)} questions at {base_url.result()}, each through both")
        outcomes = ask_all(index, pipelines, questions)
    for number, outcome in enumerate(outcomes[:WHOLE], 1):
        show(number, outcome)
    if len(outcomes) > WHOLE:
        show_rest(outcomes[WHOLE:], WHOLE + 1)
    print("\n* relevant")
    status = report(outcomes)
    what_next(options)
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; return its exit status. The embedded server is stopped however it ends."""
    options = _parse(argv)
    print("BM25 finds ten passages for each question, Qwen3-Reranker puts them in order.", flush=True)
    from qwen3_sglang.errors import Qwen3SGLangError

    try:
        return _run(options)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except Qwen3SGLangError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
