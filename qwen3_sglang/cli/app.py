"""qwen3-sglang convert | serve | rerank | check | evaluate | playground | demo.

Errors of the library become one line and exit code 1.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from qwen3_sglang.errors import InvalidInputError, MissingDependencyError, Qwen3SGLangError

try:
    import typer
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Table
except ModuleNotFoundError as missing:
    raise MissingDependencyError(missing.name or "typer", "cli") from None

from qwen3_sglang.check import Finding, check_server
from qwen3_sglang.cli import evaluate as evaluation
from qwen3_sglang.cli.options import Key, Url
from qwen3_sglang.cli.playground import EXAMPLE, playground
from qwen3_sglang.client import RerankClient
from qwen3_sglang.ranking import RerankResult

if TYPE_CHECKING:
    from qwen3_sglang.convert import Parity

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,  # its tracebacks print local variables
    help="Rerank with Qwen3-Reranker on SGLang: convert the checkpoint, serve it, check it, use it.",
)
out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)
app.command(epilog=EXAMPLE)(playground)


class Engine(StrEnum):
    """What serves the model."""

    sglang = "sglang"
    local = "local"


def main() -> None:
    """Entry point: library errors as one line with the remedy, Ctrl-C as exit code 130."""
    try:
        app()
    except Qwen3SGLangError as error:
        err.print(f"[bold red]error[/] {escape(str(error))}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


@app.command(epilog="Example: `qwen3-sglang convert Qwen/Qwen3-Reranker-0.6B ./reranker`")
def convert(
    source: Annotated[str, typer.Argument(help="A Qwen3-Reranker or a fine-tune: its folder, or its name on the hub.")],
    target: Annotated[Path, typer.Argument(help="The folder to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace TARGET if it exists.")] = False,
    link: Annotated[
        bool, typer.Option("--link", help="Hard-link unchanged shards (same disk): they are then SHARED with SOURCE.")
    ] = False,
    verify: Annotated[
        bool | None,
        typer.Option(help="Compare P(yes) before and after; default: where torch and enough memory are there."),
    ] = None,
) -> None:
    """Convert a Qwen3-Reranker checkpoint into the two-label classifier that SGLang serves."""
    from qwen3_sglang.convert import convert as run

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    found: list[Parity] = []
    try:
        with Progress(*columns, console=err, transient=True) as progress:
            task = progress.add_task("converting", total=None)

            def show(done: int, total: int) -> None:
                stage = "verifying" if done == total else "converting"
                progress.update(task, completed=done, total=total, description=stage)

            written = run(
                source, target, force=force, link=link, verify=verify, progress=show, report=found.append, note=_note
            )
    finally:  # a comparison that fails is shown too
        for parity in found:
            _print_parity(parity)
    shown = escape(str(written))
    out.print(f"converted to {shown}\nserve it: python -m sglang.launch_server --model-path {shown}")


def _note(text: str) -> None:
    err.print(f"[yellow]note[/] {escape(text)}", emoji=False)


def _print_parity(parity: Parity) -> None:
    if parity.note:
        out.print(f"files verified; P(yes) before and after not compared: {escape(parity.note)}")
        return
    table = Table("prompt", "tokens", "P(yes) source", "P(yes) converted", "difference")
    for probe in parity.probes:
        figures = (f"{probe.source:.6f}", f"{probe.converted:.6f}", f"{probe.difference:.1e}")
        table.add_row(escape(probe.label), str(probe.tokens), *figures)
    out.print(table)
    out.print(f"largest difference: {parity.max_difference:.1e}")


@app.command(epilog="Example: `qwen3-sglang serve Qwen/Qwen3-Reranker-0.6B --port 30000 -- --mem-fraction-static 0.5`")
def serve(
    model: Annotated[str, typer.Argument(help="A converted folder; or a Qwen3-Reranker folder or hub name.")],
    extra: Annotated[
        list[str] | None, typer.Argument(metavar="[-- SGLANG FLAGS]", help="SGLang's own flags, which win over ours.")
    ] = None,
    engine: Annotated[
        Engine, typer.Option(help="local: torch in this process, without SGLang; on a CPU too.")
    ] = Engine.sglang,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one (local only).")] = 30000,
    api_key: Key = None,
    dp: Annotated[int | None, typer.Option(min=1, help="Copies of the model, one a GPU.")] = None,
    context_length: Annotated[int | None, typer.Option(min=1, help="Tokens a prompt may have.")] = None,
    served_model_name: Annotated[str | None, typer.Option(help="The name that clients see.")] = None,
    converted: Annotated[Path | None, typer.Option(help="Where to convert MODEL to; default: a cache folder.")] = None,
    python: Annotated[
        str | None, typer.Option(envvar="QWEN3_SGLANG_PYTHON", help="The Python that has SGLang; default: this one.")
    ] = None,
    print_only: Annotated[bool, typer.Option("--print", help="Print SGLang's command, do nothing else.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="local: torch threads; default: torch's choice.")] = None,
    device: Annotated[str | None, typer.Option(help="local: cpu, cuda or mps; default: cuda, else cpu.")] = None,
    dtype: Annotated[
        str | None, typer.Option(help="local: float32, bfloat16 or float16; default: 16 bits where fast and exact.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="local: a name that clients may ask under; not needed with a key.")
    ] = None,
) -> None:
    """Serve a model for reranking: SGLang with the flags that measured best, converting first where needed."""
    from qwen3_sglang.cli.serve import Start

    start = Start(model, converted, python, api_key=api_key, extra=extra or [], print_only=print_only, console=err)
    here: dict[str, object] = {"threads": threads, "device": device, "dtype": dtype, "allow-host": allow_host or None}
    there: dict[str, object] = {"dp": dp, "context-length": context_length}
    if engine is Engine.local:
        there |= {"print": print_only or None, "extra arguments": extra or None}
        _refuse(there, "leave it out: --engine local hasn't it")
        start.serve_here(
            host=host,
            port=port,
            api_key=api_key,
            threads=threads,
            device=device,
            dtype=dtype,
            name=served_model_name,
            allow_hosts=allow_host or (),
        )
        return
    _refuse(here, "leave it out, or pass --engine local")
    _refuse({"port": None if port else 0}, "name a port; only --engine local takes a free one")
    start(host=host, port=port, dp=dp, context_length=context_length, served_model_name=served_model_name)


def _refuse(options: Mapping[str, object], remedy: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise InvalidInputError(name, value, remedy)


@app.command(epilog="Example: `qwen3-sglang rerank 'how tall is Everest' passages.txt --top-n 3`")
def rerank(
    query: Annotated[str, typer.Argument(help="The question.")],
    file: Annotated[Path | None, typer.Argument(help="One document a line, or JSONL; default: standard input.")] = None,
    url: Url = None,
    api_key: Key = None,
    top_n: Annotated[int | None, typer.Option(help="Keep that many.")] = None,
    min_score: Annotated[float | None, typer.Option(help="Drop documents below this P(yes).")] = None,
    instruction: Annotated[str | None, typer.Option(help="The task, in the model's template.")] = None,
    field: Annotated[str, typer.Option(help="The text's field in JSONL objects.")] = "text",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array instead of a table.")] = False,
) -> None:
    """Rerank documents from a file or standard input."""
    documents = read_documents(_read(file), field)
    with RerankClient(url, api_key=api_key, instruction=instruction) as client, _spinner(len(documents)):
        results = client.rerank(query, documents, top_n, min_score)
    _print_json(results, documents) if as_json else _print_table(results, documents)


@app.command(epilog="Example: `qwen3-sglang check http://127.0.0.1:30000` or `qwen3-sglang check ./reranker`")
def check(
    target: Annotated[str | None, typer.Argument(help="SGLang's address, or a converted checkpoint's folder.")] = None,
    api_key: Key = None,
    expect: Annotated[
        str | None, typer.Option(help="0.6B or 8B: compare with answers published for that checkpoint.")
    ] = None,
) -> None:
    """Say whether a server, or a checkpoint's folder, is usable for reranking, and what to do if it isn't."""
    usable = True
    for finding in _findings(target, api_key, expect):
        usable = usable and finding.ok
        mark, colour = ("note", "yellow") if finding.note else ("ok", "green") if finding.ok else ("no", "red")
        out.print(f"[bold {colour}]{mark}[/] {escape(finding.text)}")
    out.print("usable" if usable else "not usable")
    if not usable:
        raise typer.Exit(1)


def _findings(target: str | None, api_key: str | None, expect: str | None) -> Iterator[Finding]:
    from qwen3_sglang.known import check_answers, find

    published = None if expect is None else find(expect)
    if target is None or target.lower().startswith(("http://", "https://")):
        with RerankClient(target, api_key=api_key) as client:
            yield from check_server(client)
            yield from check_answers(client, published) if published else ()
        return
    folder = Path(target).expanduser()
    if not target.strip() or not folder.is_dir():
        remedy = "pass a folder that exists, or a server's address that starts with http:// or https://"
        raise InvalidInputError("target", target, remedy)
    from qwen3_sglang.convert.inspect import inspect_checkpoint

    yield from inspect_checkpoint(folder)
    if published:
        from qwen3_sglang.local import run_in_thread

        with run_in_thread(folder) as url, RerankClient(url, timeout=600) as client:
            yield from check_answers(client, published)


app.command(epilog=evaluation.EPILOG)(evaluation.evaluate)


@app.command(epilog="Example: `qwen3-sglang demo --keep-serving`")
def demo(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    keep_serving: Annotated[bool, typer.Option(help="Leave the server up until Ctrl-C.")] = False,
) -> None:
    """Build the toy reranker, convert it, serve it here and rerank: no GPU, no download."""
    from qwen3_sglang.check import IRRELEVANT, QUERY, RELEVANT
    from qwen3_sglang.demo import serve_toy

    with serve_toy(port=port, say=err.print) as base_url, RerankClient(base_url) as client:
        out.print(f"the toy reranker (it knows words, not meaning) answers at {base_url}\nquery: {QUERY}")
        documents = [IRRELEVANT, RELEVANT]
        _print_table(client.rerank(QUERY, documents), documents)
        out.print(f"the real model: qwen3-sglang serve Qwen/Qwen3-Reranker-0.6B\nthe playground: {base_url}/playground")
        if keep_serving:
            _wait_for_ctrl_c()


def read_documents(text: str, field: str = "text") -> list[str]:
    """Documents of a text: JSON strings or objects where every line is JSON, else the lines that aren't blank.

    Raises:
        InvalidInputError: a JSON object without `field`.
    """
    # Not splitlines: JSON may hold U+2028 and its like as they are. The mark in front is what Windows editors write.
    lines = [line for line in text.removeprefix("\ufeff").split("\n") if line.strip()]
    rows = [_parsed(line) for line in lines]
    if not all(isinstance(row, (dict, str)) for row in rows):
        return lines
    return [row if isinstance(row, str) else _field(row, field, number) for number, row in enumerate(rows, 1)]


def _parsed(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):  # a number of thousands of digits, brackets as deep
        return None


def _field(row: object, field: str, number: int) -> str:
    value = row.get(field) if isinstance(row, dict) else None
    if not isinstance(value, str):
        raise InvalidInputError(f"document {number}", row, f'has no text in "{field}"; name the right one with --field')
    return value


def _read(file: Path | None) -> str:
    try:
        return sys.stdin.read() if file is None else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            "file", str(file or "standard input"), f"pass a readable UTF-8 file ({error})"
        ) from None


@contextmanager
def _spinner(count: int) -> Iterator[None]:
    with err.status(f"reranking {count} documents"):
        yield


def _print_table(results: list[RerankResult], documents: list[str]) -> None:
    table = Table("rank", "P(yes)", "document")
    for place, result in enumerate(results, 1):
        table.add_row(str(place), f"{result.score:.4f}", escape(documents[result.index]))
    out.print(table)


def _print_json(results: list[RerankResult], documents: list[str]) -> None:
    rows = [{"index": r.index, "score": r.score, "document": documents[r.index]} for r in results]
    sys.stdout.write(json.dumps(rows, ensure_ascii=False, indent=2) + "\n")


def _wait_for_ctrl_c() -> None:
    import threading

    out.print("serving; stop with Ctrl-C")
    threading.Event().wait()
