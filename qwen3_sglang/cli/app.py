"""The command `qwen3-sglang`: its subcommands, each loaded when it is run, and how a failure ends it."""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress
from typing import Annotated, Any

from qwen3_sglang import __version__
from qwen3_sglang.errors import MissingDependencyError

try:
    import rich  # noqa: F401 - the commands print with it
    import typer
    from typer.core import TyperGroup
except ModuleNotFoundError as missing:  # installed without its dependencies
    raise MissingDependencyError(missing.name or "typer", "cli") from None

from qwen3_sglang.cli.streams import finish, prepare
from qwen3_sglang.cli.verbose import Verbose, listen

# Each is a module of this package with a function of the same name, whose docstring begins with this line.
COMMANDS = {
    "convert": "Convert a Qwen3-Reranker checkpoint into the two-label classifier that SGLang serves.",
    "serve": "Serve a model for reranking: SGLang with the flags that measured best, converting first where needed.",
    "rerank": "Rerank documents from a file or standard input.",
    "check": "Say whether a server, or a checkpoint's folder, is usable for reranking, and what to do if it isn't.",
    "evaluate": "Measure the reranker on judged queries, and see which min_score to take.",
    "playground": "Serve a page to try a server on: P(yes) as bars, what a threshold keeps, the exact prompt.",
    "plan": "Say how many GPUs a load needs, from what was measured.",
    "demo": "Build the toy reranker, convert it, serve it here and rerank: no GPU, no download.",
}
SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"]}


class Commands(TyperGroup):
    """The subcommands. Listing them imports none of them: an HTTP library takes longer than all the rest."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The subcommand that is to be run, in place of the one that only holds its line in the list."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else load(name), rest


def load(name: str) -> Any:
    """One subcommand, with its options."""
    module = importlib.import_module(f"qwen3_sglang.cli.{name}")
    single = typer.Typer(add_completion=False, rich_markup_mode="markdown", context_settings=SETTINGS)
    single.command(name, epilog=module.EPILOG, cls=getattr(module, "COMMAND_CLASS", None), context_settings=SETTINGS)(
        getattr(module, name)
    )
    return typer.main.get_command(single)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    context_settings=SETTINGS,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,  # its tracebacks print local variables
    help="Rerank with Qwen3-Reranker on SGLang: convert the checkpoint, serve it, check it, use it.",
)


def _line(name: str, text: str) -> None:
    @app.command(name, help=text)
    def _nothing() -> None: ...


for _name, _text in COMMANDS.items():
    _line(_name, _text)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _every(
    verbose: Verbose = 0,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    listen()


def main() -> None:
    """Entry point: what the library, the system or the terminal refuses is one line with the remedy."""
    prepare()
    try:
        try:
            app()
        except SystemExit:
            finish()
            raise
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        from qwen3_sglang.cli.failures import explain

        line = explain(error)
        if line is None:  # a fault of ours
            raise
        from qwen3_sglang.cli.console import err

        with suppress(OSError):  # it may be the error
            finish()
        err.print(f"[bold red]error[/] {line}", emoji=False)
        sys.exit(1)
