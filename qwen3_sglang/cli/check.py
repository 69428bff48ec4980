"""`qwen3-sglang check`: a server, or a checkpoint's folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from qwen3_sglang.check import Finding, check_server
from qwen3_sglang.check.known import Published, check_answers, find
from qwen3_sglang.cli.console import out, print_finding
from qwen3_sglang.cli.options import ENDPOINT, TIMEOUT, Endpoint, Header, Key, Model, Timeout, lines
from qwen3_sglang.cli.verbose import Verbose
from qwen3_sglang.client import RerankClient
from qwen3_sglang.errors import InvalidInputError

EPILOG = "Example: `qwen3-sglang check http://127.0.0.1:30000` or `qwen3-sglang check ./reranker`"


def check(
    target: Annotated[
        str | None, typer.Argument(metavar="TARGET", help="SGLang's address, or a converted checkpoint's folder.")
    ] = None,
    url: Annotated[str | None, typer.Option("--url", help="The server's address, as TARGET.")] = None,
    api_key: Key = None,
    header: Header = None,
    model: Model = None,
    endpoint: Endpoint = ENDPOINT,
    timeout: Timeout = TIMEOUT,
    expect: Annotated[
        str | None, typer.Option(help="0.6B or 8B: compare with answers published for that checkpoint.")
    ] = None,
    verbose: Verbose = 0,
) -> None:
    """Say whether a server, or a checkpoint's folder, is usable for reranking, and what to do if it isn't."""
    if target is not None and url is not None:
        raise InvalidInputError("url", url, "leave it out: TARGET names what is checked")
    asked = url if target is None else target
    usable, published = True, None if expect is None else find(expect)
    if _is_folder(asked):
        findings = _of_folder(asked, published)
    else:
        client = RerankClient(
            asked, api_key=api_key, headers=lines(header), model=model, endpoint=endpoint, timeout=timeout
        )
        findings = _of_server(client, published)
    for finding in findings:
        usable = usable and finding.ok
        print_finding(finding)
    out.print("usable" if usable else "not usable")
    if not usable:
        raise typer.Exit(1)


def _is_folder(target: str | None) -> bool:
    return target is not None and not target.lower().startswith(("http://", "https://"))


def _of_server(client: RerankClient, published: Published | None) -> Iterator[Finding]:
    with client:
        yield from check_server(client)
        yield from check_answers(client, published) if published else ()


def _of_folder(target: str | None, published: Published | None) -> Iterator[Finding]:
    folder = Path(target or "").expanduser()
    if not target or not target.strip() or not folder.is_dir():
        remedy = "pass a folder that exists, or a server's address that starts with http:// or https://"
        raise InvalidInputError("TARGET", target, remedy)
    from qwen3_sglang.convert.inspect import inspect_checkpoint

    yield from inspect_checkpoint(folder)
    if published:
        from qwen3_sglang.local import run_in_thread

        with run_in_thread(folder) as url, RerankClient(url, timeout=600) as client:
            yield from check_answers(client, published)
