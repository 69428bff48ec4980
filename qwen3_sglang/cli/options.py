"""Options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

from qwen3_sglang.names import API_KEY_VARIABLE

Url = Annotated[
    str | None, typer.Option("--url", help="SGLang's address; default: $QWEN3_SGLANG_BASE_URL or port 30000.")
]
Key = Annotated[
    str | None,
    typer.Option("--api-key", envvar=API_KEY_VARIABLE, show_envvar=True, help="The server's key."),
]
