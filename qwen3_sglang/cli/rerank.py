"""`qwen3-sglang rerank`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from qwen3_sglang.cli.console import err, note, out
from qwen3_sglang.cli.documents import Document, as_rows, first_lines, read_documents
from qwen3_sglang.cli.options import (
    CHUNK_OVERLAP,
    ENDPOINT,
    LONG_DOCUMENTS,
    MAX_CHUNKS,
    TIMEOUT,
    ChunkOverlap,
    Endpoint,
    Header,
    Key,
    LongDocuments,
    MaxChunks,
    MaxLength,
    Model,
    Timeout,
    Tokenizer,
    Url,
    client_of,
)
from qwen3_sglang.cli.verbose import Verbose
from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.ranking import Chunk, RerankResult, check_limits

EPILOG = "Example: `qwen3-sglang rerank 'how tall is Everest' passages.txt --top-n 3`"


def rerank(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="The question.")],
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="One document per line, JSONL, or a JSON array; - or nothing: standard input."
        ),
    ] = None,
    url: Url = None,
    api_key: Key = None,
    header: Header = None,
    model: Model = None,
    endpoint: Endpoint = ENDPOINT,
    timeout: Timeout = TIMEOUT,
    top_n: Annotated[int | None, typer.Option(help="Keep that many.")] = None,
    min_score: Annotated[float | None, typer.Option(help="Drop documents below this P(yes).")] = None,
    instruction: Annotated[str | None, typer.Option(help="The task, in the model's template.")] = None,
    max_length: MaxLength = None,
    long_documents: LongDocuments = LONG_DOCUMENTS,
    chunk_overlap: ChunkOverlap = CHUNK_OVERLAP,
    max_chunks: MaxChunks = MAX_CHUNKS,
    tokenizer: Tokenizer = None,
    field: Annotated[str, typer.Option(help="The text's field in JSON objects.")] = "text",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array instead of a table.")] = False,
    verbose: Verbose = 0,
) -> None:
    """Rerank documents from a file or standard input."""
    check_limits(top_n, min_score)
    client = client_of(
        url,
        header,
        api_key=api_key,
        model=model,
        endpoint=endpoint,
        timeout=timeout,
        instruction=instruction,
        max_length=max_length,
        long_documents=long_documents,
        chunk_overlap=chunk_overlap,
        max_chunks=max_chunks,
        tokenizer=tokenizer,
    )
    documents = read_documents(_read(file), field)
    with client, _progress(len(documents)) as told:
        ranked = client.rerank(query, [document.text for document in documents], on_progress=told)
    kept = [result for result in ranked if min_score is None or result.score >= min_score][:top_n]
    if as_json:
        sys.stdout.write(json.dumps(as_rows(kept, documents), ensure_ascii=False, indent=2) + "\n")
    elif kept:
        print_table(kept, documents)
    if not documents:
        note("there is no document to rerank")
    elif not kept:
        note(f"no document reached --min-score {min_score:g}; the best has {ranked[0].score:.4f}")


def _read(file: Path | None) -> str:
    """The file's text; standard input where it is "-" or nothing."""
    try:
        if file is not None and str(file) != "-":
            return file.read_text(encoding="utf-8")
        if sys.stdin.isatty():
            note("reading documents from the terminal, one per line; end with Ctrl-D")
        return sys.stdin.buffer.read().decode()  # whatever the terminal's own encoding is
    except (OSError, UnicodeDecodeError) as error:
        shown = "standard input" if file is None else str(file)
        raise InvalidInputError("FILE", shown, f"pass a readable UTF-8 file ({error})") from None


@contextmanager
def _progress(count: int) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn("reranking"), BarColumn(), MofNCompleteColumn(), TextColumn("documents"))
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("", total=count)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def print_table(results: Sequence[RerankResult], documents: Sequence[Document]) -> None:
    """Best first; a document that was cut is marked. Of one that was scored in chunks, the best is shown."""
    table = Table("rank", "P(yes)", "document")
    for place, result in enumerate(results, 1):
        cut = " (cut)" if result.truncated else ""
        table.add_row(
            str(place), f"{result.score:.4f}{cut}", escape(_shown(documents[result.index].text, result.chunk))
        )
    out.print(table)
    if any(result.truncated for result in results):
        note("cut: the model didn't read the document's end, which didn't fit")


def _shown(text: str, chunk: Chunk | None) -> str:
    """What the table has room for: the document's start, or its best chunk's with its place."""
    if chunk is None:
        return first_lines(text)
    return (
        f"[best of {chunk.scored} chunks, characters {chunk.start}-{chunk.end}]\n{first_lines(text[slice(*chunk[:2])])}"
    )
