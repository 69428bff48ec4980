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

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from qwen3_sglang.errors import InvalidInputError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qwen3_sglang.client import RerankClient
    from qwen3_sglang.evaluate.dataset import Dataset
    from qwen3_sglang.evaluate.report import Report

__all__ = ["evaluate", "load_dataset", "write_html", "write_json"]

RECALL_AT = (1, 5, 10)
TARGET_RECALL = 0.95


def load_dataset(
    data: str | PathLike[str], run: str | PathLike[str] | None = None, *, split: str | None = None, top_k: int = 100
) -> Dataset:
    """A JSONL file (`query`, `documents`, `relevant`), or a BEIR folder with a run.

    Args:
        data: the file or folder.
        run: BEIR only: the first stage's result, a TREC run file; None makes one with BM25.
        split: BEIR only: which qrels/*.tsv; None: test, or the only one.
        top_k: BEIR only: how many documents a query to rerank.

    Raises:
        InvalidInputError: an unusable file, line or id; the message says where.
        MissingDependencyError: BM25 is needed and bm25s isn't installed.
    """
    from qwen3_sglang.evaluate.beir import read_beir  # noqa: PLC0415 - see the module's docstring
    from qwen3_sglang.evaluate.jsonl import read_jsonl  # noqa: PLC0415 - the same

    path = Path(data).expanduser()
    if path.is_dir():
        return read_beir(path, None if run is None else Path(run).expanduser(), split=split, depth=top_k)
    if not path.is_file():
        raise InvalidInputError("data", str(path), "name a JSONL file or a BEIR folder that exists")
    for option, value in (("run", run), ("split", split)):
        if value is not None:
            raise InvalidInputError(option, str(value), "leave it out: only a BEIR folder has one")
    return read_jsonl(path)


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
    return make_report(dataset, scored, Goals(target_recall, target_precision, cuts), created)


def write_html(report: Report, path: str | PathLike[str]) -> Path:
    """One file that opens anywhere, without a network.

    Raises:
        InvalidInputError: the file can't be written.
        MissingDependencyError: the extra `evaluate` is not installed.
    """
    with needs_extra():
        from qwen3_sglang.evaluate.html import render  # noqa: PLC0415 - the same
    return _write("html", path, render(report))


def write_json(report: Report, path: str | PathLike[str]) -> Path:
    """All figures, with each query's documents by id; texts are left out.

    Raises:
        InvalidInputError: the file can't be written.
    """
    import json  # noqa: PLC0415 - beside its only use

    return _write("json", path, json.dumps(report.to_dict(), ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def _write(option: str, path: str | PathLike[str], text: str) -> Path:
    target = Path(path).expanduser()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(option, str(path), f"name a file that may be written ({error})") from None
    return target


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
    """Around an import: a package that isn't there becomes MissingDependencyError."""
    try:
        yield
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("qwen3_sglang"):
            raise
        raise MissingDependencyError(missing.name or "ir_measures", "evaluate") from None
