"""The command `qwen3-sglang`, and `python -m qwen3_sglang`."""

from __future__ import annotations

import sys

from qwen3_sglang.errors import MissingDependencyError


def main() -> None:
    """Run the command; an install without its dependencies ends with one line that says so."""
    try:
        from qwen3_sglang.cli import app  # noqa: PLC0415 - it can't be loaded without typer and rich
    except MissingDependencyError as error:
        sys.exit(f"error {error}")
    app.main()


if __name__ == "__main__":
    main()
