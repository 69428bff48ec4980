"""qwen3-sglang evaluate: the command, thin over the library."""

from __future__ import annotations

import logging
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from qwen3_sglang.cli.failures import in_words
from qwen3_sglang.cli.options import (
    CHUNK_OVERLAP,
    LONG_DOCUMENTS,
    MAX_CHUNKS,
    ChunkOverlap,
    Header,
    Key,
    LongDocuments,
    MaxChunks,
    MaxLength,
    Model,
    Tokenizer,
    Url,
    client_of,
)
from qwen3_sglang.cli.verbose import Verbose
from qwen3_sglang.errors import InvalidInputError, Qwen3SGLangError
from qwen3_sglang.evaluate import RECALL_AT, TARGET_RECALL, existing, load_dataset, needs_extra, write_html, write_json
from qwen3_sglang.evaluate import evaluate as run_evaluation
from qwen3_sglang.prompts.template import DEFAULT_INSTRUCTION

if TYPE_CHECKING:
    from qwen3_sglang.evaluate.report import Report

EPILOG = "Example: `qwen3-sglang evaluate data.jsonl --url http://127.0.0.1:30000 --html report.html --open`"
_QWENS = "default"  # what stands for Qwen's own instruction
_SHOWN = 60  # characters of a warning beside the progress bar


class Relevant(StrEnum):
    """What a list under "relevant" means."""

    indices = "indices"
    labels = "labels"
    ids = "ids"


def evaluate(
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="A JSONL file of judged queries, or a BEIR folder.", show_default=False),
    ],
    url: Url = None,
    api_key: Key = None,
    header: Header = None,
    model: Model = None,
    instruction: Annotated[
        list[str] | None,
        typer.Option(help="The task, in the model's template; several times to compare. \"default\": Qwen's own."),
    ] = None,
    relevant: Annotated[
        Relevant | None, typer.Option(help='JSONL: what lists under "relevant" hold; default: what the file tells.')
    ] = None,
    run: Annotated[Path | None, typer.Option(help="BEIR: a TREC run to rerank; default: BM25.")] = None,
    split: Annotated[str | None, typer.Option(help="BEIR: which qrels/*.tsv; default: test, or the only one.")] = None,
    qrels: Annotated[
        Path | None, typer.Option(help="BEIR: the judgements, BEIR's or TREC's; default: those in the folder.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="BEIR: documents per query to rerank; default: 100.")] = None,
    max_length: MaxLength = None,
    long_documents: LongDocuments = LONG_DOCUMENTS,
    chunk_overlap: ChunkOverlap = CHUNK_OVERLAP,
    max_chunks: MaxChunks = MAX_CHUNKS,
    tokenizer: Tokenizer = None,
    target_recall: Annotated[
        float, typer.Option(help="Suggest the highest min_score that keeps this share of the relevant.")
    ] = TARGET_RECALL,
    target_precision: Annotated[
        float | None, typer.Option(help="Suggest the min_score for which this share of the kept is relevant.")
    ] = None,
    recall_at: Annotated[list[int] | None, typer.Option(help="Cut-off of recall@k; default: 1, 5 and 10.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report with its plots to this file.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write all figures to this file.")] = None,
    open_html: Annotated[bool, typer.Option("--open", help="Open the HTML report in a browser.")] = False,
    scores: Annotated[
        Path | None, typer.Option(help="Where scores are kept; default: beside the report, else beside DATA.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ask again for scores that are kept.")] = False,
    max_concurrency: Annotated[int, typer.Option(min=1, help="Requests in flight at once.")] = 8,
    timeout: Annotated[float, typer.Option(help="Seconds that one request of 32 documents may take.")] = 600,
    verbose: Verbose = 0,
) -> None:
    """Measure the reranker on judged queries, and see which min_score to take."""
    if open_html and html is None:
        raise InvalidInputError("open", True, "name the report that it opens: --html report.html")
    existing(data)
    with needs_extra():  # before the data, which may take long to read; it takes two seconds itself
        from qwen3_sglang.evaluate import tables

    dataset = load_dataset(data, run, split=split, top_k=top_k, qrels=qrels, relevant=relevant and relevant.value)
    cuts: dict[str, Any] = {"max_length": max_length, "long_documents": long_documents, "tokenizer": tokenizer}
    cuts |= {"chunk_overlap": chunk_overlap, "max_chunks": max_chunks}
    client = client_of(
        url, header, api_key=api_key, model=model, max_concurrency=max_concurrency, timeout=timeout, **cuts
    )
    with client, _progress() as told:
        report = run_evaluation(
            client,
            dataset,
            scores=scores or default_scores(data, html or json),
            instructions=[DEFAULT_INSTRUCTION if task == _QWENS else task for task in instruction or []] or None,
            target_recall=target_recall,
            target_precision=target_precision,
            recall_at=recall_at or RECALL_AT,
            fresh=fresh,
            progress=told,
        )
    out = Console(highlight=False)
    _tell(tables, report, html, json, out)
    if open_html and html is not None:
        _open(html, out)


class _Progress(logging.Handler):
    """The bar; called with (pairs scored, pairs in all). What the library logs meanwhile stands beside it."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        super().__init__()  # of every level: -v says from which on the library logs
        self._bar, self._task = bar, task

    def __call__(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total, description="scoring")

    def emit(self, record: logging.LogRecord) -> None:
        """Show a line, such as that a request is sent again."""
        text = " ".join(in_words(record.getMessage()).split())
        if self._bar.console.is_terminal:
            self._bar.update(self._task, description=text[:_SHOWN])
        else:
            self._bar.console.print(text, markup=False, soft_wrap=True)


@contextmanager
def _progress() -> Iterator[_Progress]:
    """A progress bar on standard error; what a broken-off run leaves behind is said before the error."""
    console, log = Console(stderr=True, highlight=False, soft_wrap=True), logging.getLogger("qwen3_sglang")
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            told = _Progress(bar, bar.add_task("scoring", total=None))
            log.addHandler(told)
            try:
                yield told
            finally:
                log.removeHandler(told)
    except (Qwen3SGLangError, KeyboardInterrupt) as error:
        for note in getattr(error, "__notes__", []):
            console.print(note, markup=False)
        raise


def _tell(tables: ModuleType, report: Report, html: Path | None, json: Path | None, out: Console) -> None:
    """Print the report, and write the files that were asked for."""
    tables.print_figures(report, out)
    refused: list[InvalidInputError] = []
    for write, path in ((write_html, html), (write_json, json)):
        try:
            if path is not None:
                out.print(f"written: {write(report, path)}", markup=False, soft_wrap=True)
        except InvalidInputError as error:  # such as a full disk, which keeps nobody from reading what was found
            refused.append(error)
    tables.print_suggestions(report, out)
    if refused:
        raise refused[0]


def _open(html: Path, out: Console) -> None:
    if not webbrowser.open(html.expanduser().resolve().as_uri()):
        out.print(f"no browser was found; open {html} yourself", markup=False, soft_wrap=True)


def default_scores(data: Path, output: Path | None) -> Path:
    """Beside the report, or else beside the data."""
    beside = output or data.resolve()
    return beside.with_name(f"{beside.stem}.scores.sqlite")
