"""The command `qwen3-sglang`, and `python -m qwen3_sglang`."""

from __future__ import annotations

import sys

from qwen3_sglang.errors import MissingDependencyError


def main() -> None:
    """Run the command; where the extra `cli` is missing, say so in one line."""
    try:
        from qwen3_sglang.cli import app  # noqa: PLC0415 - it can't be loaded without its extra
    except MissingDependencyError as error:
        sys.exit(f"error {error}")
    app.main()


if __name__ == "__main__":
    main()
