"""`qwen3-sglang serve`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from qwen3_sglang.cli.console import err
from qwen3_sglang.cli.options import Key
from qwen3_sglang.cli.start import Start
from qwen3_sglang.cli.verbose import Verbose
from qwen3_sglang.errors import InvalidInputError

EPILOG = "Example: `qwen3-sglang serve Qwen/Qwen3-Reranker-0.6B --port 30000 -- --mem-fraction-static 0.5`"


class Engine(StrEnum):
    """What serves the model."""

    sglang = "sglang"
    local = "local"


class ServeCommand(TyperCommand):
    """`serve`, which knows where the flags go that aren't its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The usual; an option that isn't ours may be SGLang's."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            flag = getattr(error, "option_name", None)  # typer's own NoSuchOption, wherever this version keeps it
            if isinstance(flag, str) and hasattr(error, "message") and not getattr(error, "possibilities", None):
                error.message += f". SGLang's own flags come after --: qwen3-sglang serve MODEL -- {flag}"
            raise


COMMAND_CLASS = ServeCommand


def serve(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A converted folder; or a Qwen3-Reranker folder or hub name.")
    ],
    extra: Annotated[
        list[str] | None, typer.Argument(metavar="[-- SGLANG FLAGS]", help="SGLang's own flags, which win over ours.")
    ] = None,
    engine: Annotated[
        Engine, typer.Option(help="local: torch in this process, without SGLang; on a CPU too.")
    ] = Engine.sglang,
    multi_item: Annotated[
        bool,
        typer.Option("--multi-item", help="Fastest for one address: a list is one sequence. /v1/score only."),
    ] = False,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one (local only).")] = 30000,
    api_key: Key = None,
    dp: Annotated[int | None, typer.Option(min=1, help="Copies of the model, one per GPU.")] = None,
    context_length: Annotated[int | None, typer.Option(min=1, help="Tokens per prompt.")] = None,
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
    verbose: Verbose = 0,
) -> None:
    """Serve a model for reranking: SGLang with the flags that measured best, converting first where needed."""
    start = Start(
        model,
        converted,
        python,
        api_key=api_key,
        extra=extra or [],
        print_only=print_only,
        multi_item=multi_item,
        console=err,
    )
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
