"""`qwen3-sglang playground`."""

from __future__ import annotations

import threading
import webbrowser
from contextlib import ExitStack
from typing import Annotated

import typer

from qwen3_sglang.cli.options import ENDPOINT, TIMEOUT, Endpoint, Header, Key, Timeout, Url, lines
from qwen3_sglang.cli.verbose import Verbose
from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.playground import run_in_thread

EPILOG = "Example: `qwen3-sglang playground --url http://127.0.0.1:30000 --open`"


def playground(
    url: Url = None,
    api_key: Key = None,
    header: Header = None,
    endpoint: Endpoint = ENDPOINT,
    timeout: Timeout = TIMEOUT,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 30080,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    verbose: Verbose = 0,
) -> None:
    """Serve a page to try a server on: P(yes) as bars, what a threshold keeps, the exact prompt."""
    with ExitStack() as stack:
        try:
            running = run_in_thread(
                url, api_key=api_key, headers=lines(header), endpoint=endpoint, timeout=timeout, port=port
            )
            address = stack.enter_context(running)
        except OSError as error:
            raise InvalidInputError("port", port, f"pass another --port, or 0 for a free one ({error})") from None
        typer.echo(f"playground: {address} (stop with Ctrl-C)")
        if open_page:
            webbrowser.open(address)
        threading.Event().wait()
