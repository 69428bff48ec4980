"""How good is the reranker on your data, and which `min_score` to take.

::

    data = load_dataset("data.jsonl")
    with RerankClient("http://127.0.0.1:30000") as client:
        report = evaluate(client, data, scores="data.scores.sqlite")
    write_html(report, "report.html")

Needs the extra `evaluate`. Its packages are imported when they are needed, not before. There is no async side:
an evaluation is a job of its own, and keeps `max_concurrency` requests in flight by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from qwen3_sglang.errors import InvalidInputError, MissingDependencyError
from qwen3_sglang.evaluate.files import write_text
from qwen3_sglang.options.keywords import function_with_known_keywords

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qwen3_sglang.client import RerankClient
    from qwen3_sglang.evaluate.dataset import Dataset
    from qwen3_sglang.evaluate.report import Report

__all__ = ["evaluate", "load_dataset", "write_html", "write_json"]

READINGS = ("indices", "labels", "ids")
RECALL_AT = (1, 5, 10)
TARGET_RECALL = 0.95


@function_with_known_keywords()
def load_dataset(
    data: str | PathLike[str],
    run: str | PathLike[str] | None = None,
    *,
    split: str | None = None,
    top_k: int | None = None,
    qrels: str | PathLike[str] | None = None,
    relevant: str | None = None,
) -> Dataset:
    """Judged queries: a JSONL file, or a BEIR folder with a run. docs/evaluation.md has the layouts.

    Args:
        data: the file or folder.
        run: BEIR only: the first stage's result, a TREC run file; None makes one with BM25.
        split: BEIR only: which qrels/*.tsv; None: test, or the only one.
        top_k: BEIR only: how many documents per query to rerank; None: 100.
        qrels: BEIR only: the judgements, in BEIR's or TREC's columns; None: those in the folder.
        relevant: JSONL only: what a list under "relevant" means, "indices", "labels" or "ids"; None: what
            the file tells.

    Raises:
        InvalidInputError: an unusable file, line, id or option; the message says where.
        MissingDependencyError: BM25 is needed and bm25s isn't installed.
    """
    path = existing(data)
    from qwen3_sglang.evaluate.beir import DEPTH, Source, read_beir  # noqa: PLC0415 - see the module's docstring
    from qwen3_sglang.evaluate.jsonl import read_jsonl  # noqa: PLC0415 - the same

    if path.is_dir():
        _refuse({"relevant": relevant}, "leave it out: only a JSONL file has such a list")
        depth = DEPTH if top_k is None else top_k
        return read_beir(Source(path, _path(run), split, _path(qrels), depth))
    beir = {"run": _path(run), "split": split, "top_k": top_k, "qrels": _path(qrels)}
    _refuse(beir, "leave it out: only a BEIR folder has one; a JSONL file's documents are all reranked")
    if relevant not in {None, *READINGS}:
        raise InvalidInputError("relevant", relevant, f"pass one of {', '.join(READINGS)}, or leave it out")
    return read_jsonl(path, relevant)


def existing(data: str | PathLike[str]) -> Path:
    """The path of judged queries, without a look into it.

    Raises:
        InvalidInputError: there is neither a file nor a folder.
    """
    path = Path(data).expanduser()
    if not path.is_file() and not path.is_dir():
        raise InvalidInputError("data", str(path), "name a JSONL file or a BEIR folder that exists")
    return path


def _path(path: str | PathLike[str] | None) -> Path | None:
    return None if path is None else Path(path).expanduser()


def _refuse(options: Mapping[str, object], remedy: str) -> None:
    """An option that would be ignored is an error."""
    for name, value in options.items():
        if value is not None:
            raise InvalidInputError(name, str(value), remedy)


@function_with_known_keywords()
def evaluate(
    client: RerankClient,
    dataset: Dataset,
    *,
    scores: str | PathLike[str],
    instructions: Sequence[str] | None = None,
    target_recall: float | None = TARGET_RECALL,
    target_precision: float | None = None,
    recall_at: Sequence[int] = RECALL_AT,
    fresh: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Rerank all queries and measure: ranking before and after, thresholds, calibration.

    Args:
        client: the reranker. Its `timeout` bounds one request of up to 32 documents.
        dataset: what `load_dataset` read.
        scores: a SQLite file where scores are kept, so that a run that broke off goes on. They are found again
            by model name, instruction and texts.
        instructions: tasks to compare, the first being the baseline; None: the client's own.
        target_recall: suggest the highest `min_score` that keeps this share of the relevant documents.
        target_precision: suggest the `min_score` for which this share of the kept documents is relevant.
        recall_at: cut-offs of the metric recall@k.
        fresh: ask the server again for scores that are there; for a model that changed under the same name.
        progress: called with (pairs scored, pairs in all).

    Raises:
        InvalidInputError: an argument can't be used.
        ServerError: the server failed; what was scored before is kept, and the error's note says so.
        MissingDependencyError: the extra `evaluate` is not installed.
    """
    if client.settings.on_error != "raise":
        raise InvalidInputError(
            "on_error", client.settings.on_error, 'pass a client with "raise": a measure needs scores'
        )
    tasks = _instructions(client, instructions)
    _check_share("target_recall", target_recall)
    _check_share("target_precision", target_precision)
    cuts = _cuts(recall_at)
    with needs_extra():
        from qwen3_sglang.evaluate.report import Goals, make_report  # noqa: PLC0415 - the same
    from qwen3_sglang.evaluate.scoring import score_dataset  # noqa: PLC0415 - the same
    from qwen3_sglang.evaluate.store import ScoreStore  # noqa: PLC0415 - the same

    with ScoreStore(Path(scores).expanduser()) as store:
        scored = score_dataset(client, dataset, tasks, store, fresh=fresh, progress=progress)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return make_report(scored, Goals(target_recall, target_precision, cuts), created)


@function_with_known_keywords()
def write_html(report: Report, path: str | PathLike[str]) -> Path:
    """One file that opens anywhere, without a network.

    Raises:
        InvalidInputError: the file can't be written.
        MissingDependencyError: the extra `evaluate` is not installed.
    """
    with needs_extra():
        from qwen3_sglang.evaluate.html import render  # noqa: PLC0415 - the same
    return write_text("html", path, render(report))


@function_with_known_keywords()
def write_json(report: Report, path: str | PathLike[str]) -> Path:
    """All figures, with each query's documents by id; texts are left out.

    Raises:
        InvalidInputError: the file can't be written.
    """
    import json  # noqa: PLC0415 - beside its only use

    return write_text("json", path, json.dumps(report.to_dict(), ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def _instructions(client: RerankClient, instructions: Sequence[str] | None) -> list[str]:
    if instructions is None:
        return [client.settings.instruction]
    if isinstance(instructions, str) or not instructions:
        raise InvalidInputError("instructions", instructions, "pass a list of texts, or None for the client's own")
    for instruction in instructions:
        if not isinstance(instruction, str) or not instruction.strip():
            raise InvalidInputError("instructions", instruction, "pass a text that isn't blank")
    return list(dict.fromkeys(instructions))


def _check_share(field: str, value: object) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is not None and not (number and 0 < value <= 1):  # type: ignore[operator]
        raise InvalidInputError(field, value, "pass a share above 0 and up to 1, or None")


def _cuts(recall_at: Sequence[int]) -> tuple[int, ...]:
    for k in recall_at:
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise InvalidInputError("recall_at", k, "pass integers of at least 1")
    return tuple(sorted(set(recall_at)))


@contextmanager
def needs_extra() -> Iterator[None]:
    """Around an import: a package that isn't there becomes MissingDependencyError.

    Raises:
        MissingDependencyError: it names that package and the extra.
    """
    try:
        yield
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("qwen3_sglang"):
            raise
        raise MissingDependencyError(missing.name or "ir_measures", "evaluate") from None
