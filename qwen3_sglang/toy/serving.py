"""A reranker of its own for a demo: the toy, or a model by name, converted and served from this process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from qwen3_sglang.convert import convert
from qwen3_sglang.convert.cached import keep, locate
from qwen3_sglang.convert.write import Progress
from qwen3_sglang.local import run_in_thread
from qwen3_sglang.toy import build_toy

Say = Callable[[str], object]  # told each step before it begins


def _nothing(step: str) -> None:
    """Where nobody listens."""


@contextmanager
def serve_toy(texts: Iterable[str] | None = None, *, port: int = 0, say: Say = _nothing) -> Iterator[str]:
    """Build the toy for `texts` (default: Python's documentation), convert and serve it; yields its base URL.

    Raises:
        MissingDependencyError: the extra `local` isn't installed.
        OSError: the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="qwen3-sglang-toy-") as folder:
        say("building the toy reranker")
        toy = build_toy(Path(folder, "toy"), texts)
        say("converting it, as any Qwen3-Reranker is for SGLang")
        model = convert(toy, Path(folder, "toy-converted"), verify=False)
        say("starting the embedded server")
        # So small a model is slower on several threads than on one.
        with run_in_thread(model, port=port, threads=1) as base_url:
            yield base_url


@contextmanager
def serve_model(model: str, *, say: Say = _nothing, progress: Progress | None = None) -> Iterator[str]:
    """Serve `model`, a hub name or a folder, converted into the cache where it isn't yet; yields its base URL.

    Args:
        model: for example Qwen/Qwen3-Reranker-0.6B.
        say: is told each step.
        progress: is told the bytes converted, and their total.

    Raises:
        ConversionError: no such model, or none that can be converted.
        MissingDependencyError: the extra `local` or `hub` isn't installed.
    """
    say(f"looking for {model}; a hub name is downloaded once")
    place = locate(model)
    if not place.ready:
        say(f"converting it into {place.folder}, once")
        keep(place, progress)
    say("loading it and starting the embedded server")
    with run_in_thread(place.folder, say=say) as base_url:
        yield base_url
