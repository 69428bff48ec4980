"""qwen3-sglang evaluate: the command, thin over the library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from qwen3_sglang.client import RerankClient
from qwen3_sglang.errors import Qwen3SGLangError
from qwen3_sglang.evaluate import RECALL_AT, TARGET_RECALL, load_dataset, needs_extra, write_html, write_json
from qwen3_sglang.evaluate import evaluate as run_evaluation
from qwen3_sglang.names import API_KEY_VARIABLE
from qwen3_sglang.prompts.template import DEFAULT_INSTRUCTION

EPILOG = "Example: `qwen3-sglang evaluate data.jsonl --url http://127.0.0.1:30000 --html report.html`"
_QWENS = "default"  # what stands for Qwen's own instruction


def evaluate(
    data: Annotated[
        Path, typer.Argument(help="JSONL with query, documents and relevant; or a BEIR folder.", show_default=False)
    ],
    url: Annotated[
        str | None, typer.Option("--url", help="SGLang's address; default: $QWEN3_SGLANG_BASE_URL or port 30000.")
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option("--api-key", envvar=API_KEY_VARIABLE, show_envvar=True, help="The server's key."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="The served model's name; default: asked from the server.")] = None,
    instruction: Annotated[
        list[str] | None,
        typer.Option(help="The task, in the model's template; several times to compare. \"default\": Qwen's own."),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="BEIR: a TREC run to rerank; default: BM25.")] = None,
    split: Annotated[str | None, typer.Option(help="BEIR: which qrels/*.tsv; default: test, or the only one.")] = None,
    top_k: Annotated[int, typer.Option(min=1, help="BEIR: documents a query to rerank.")] = 100,
    target_recall: Annotated[
        float, typer.Option(help="Suggest the highest min_score that keeps this share of the relevant.")
    ] = TARGET_RECALL,
    target_precision: Annotated[
        float | None, typer.Option(help="Suggest the min_score for which this share of the kept is relevant.")
    ] = None,
    recall_at: Annotated[list[int] | None, typer.Option(help="Cut-off of recall@k; default: 1, 5 and 10.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report with its plots to this file.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write all figures to this file.")] = None,
    scores: Annotated[
        Path | None, typer.Option(help="Where scores are kept; default: beside the report, else beside DATA.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ask again for scores that are kept.")] = False,
    max_concurrency: Annotated[int, typer.Option(min=1, help="Requests in flight at once.")] = 8,
    timeout: Annotated[float, typer.Option(help="Seconds that one request of 32 documents may take.")] = 600,
) -> None:
    """Measure the reranker on judged queries, and see which min_score to take."""
    with needs_extra():
        from qwen3_sglang.evaluate.tables import print_report

    dataset = load_dataset(data, run, split=split, top_k=top_k)
    tasks = [DEFAULT_INSTRUCTION if task == _QWENS else task for task in instruction or []] or None
    client = RerankClient(url, api_key=api_key, model=model, max_concurrency=max_concurrency, timeout=timeout)
    noted = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with client, _notes(noted), Progress(*columns, console=noted, transient=True) as progress:
        bar = progress.add_task("scoring", total=None)
        report = run_evaluation(
            client,
            dataset,
            scores=scores or default_scores(data, html or json),
            instructions=tasks,
            target_recall=target_recall,
            target_precision=target_precision,
            recall_at=recall_at or RECALL_AT,
            fresh=fresh,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    out = Console(highlight=False)
    print_report(report, out)
    for path in (html and write_html(report, html), json and write_json(report, json)):
        if path is not None:
            out.print(f"written: {path}", markup=False, soft_wrap=True)


@contextmanager
def _notes(console: Console) -> Iterator[None]:
    """What a broken-off run leaves behind is said before the error."""
    try:
        yield
    except (Qwen3SGLangError, KeyboardInterrupt) as error:
        for note in getattr(error, "__notes__", []):
            console.print(note, markup=False)
        raise


def default_scores(data: Path, output: Path | None) -> Path:
    """Beside the report, or else beside the data."""
    beside = output or data.resolve()
    return beside.with_name(f"{beside.stem}.scores.sqlite")
