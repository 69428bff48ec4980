"""The toy reranker behind the embedded server, for checks whose own environment has no torch."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qwen3_sglang.convert import convert
from qwen3_sglang.local import run_in_thread
from qwen3_sglang.toy import build_toy


@contextmanager
def toy() -> Iterator[str]:
    """Yield its base URL; it stops with the block."""
    with tempfile.TemporaryDirectory() as folder:
        causal = build_toy(Path(folder) / "causal")
        with run_in_thread(convert(causal, Path(folder) / "converted", verify=False)) as base_url:
            yield base_url
