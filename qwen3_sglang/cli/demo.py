"""`qwen3-sglang demo`."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from qwen3_sglang.check import IRRELEVANT, QUERY, RELEVANT
from qwen3_sglang.cli.console import err, out
from qwen3_sglang.cli.documents import Document
from qwen3_sglang.cli.rerank import print_table
from qwen3_sglang.cli.verbose import Verbose
from qwen3_sglang.client import RerankClient
from qwen3_sglang.toy.serving import serve_toy

REAL = "qwen3-sglang serve Qwen/Qwen3-Reranker-0.6B --engine local"
EPILOG = "Example: `qwen3-sglang demo --keep-serving`"


def demo(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    keep_serving: Annotated[bool, typer.Option(help="Leave the server up until Ctrl-C.")] = False,
    verbose: Verbose = 0,
) -> None:
    """Build the toy reranker, convert it, serve it here and rerank: no GPU, no download."""
    with serve_toy(port=port, say=err.print) as base_url, RerankClient(base_url) as client:
        out.print(f"the toy reranker (it knows words, not meaning) answers at {base_url}\nquery: {QUERY}")
        documents = [IRRELEVANT, RELEVANT]
        print_table(client.rerank(QUERY, documents), [Document(text) for text in documents])
        out.print(f"the real model: {REAL} (on a machine with SGLang, without --engine local)")
        if not keep_serving:  # its address is gone in a moment
            out.print("the playground: qwen3-sglang demo --keep-serving")
            return
        out.print(f"the playground: {base_url}\nserving; stop with Ctrl-C")
        threading.Event().wait()
