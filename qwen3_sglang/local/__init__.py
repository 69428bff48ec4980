"""A converted reranker behind SGLang's endpoints, on transformers: to try and to test without a GPU.

::

    with run_in_thread("models/reranker-converted") as base_url:
        ...  # point a reranker at base_url

torch and the web server are imported when one of the two is called, not before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from qwen3_sglang.errors import MissingDependencyError
from qwen3_sglang.options.keywords import function_with_known_keywords

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Options", "run_in_thread", "serve"]

_log = logging.getLogger(__name__)


class Options(TypedDict, total=False):
    """How to load and serve a model.

    host: address to listen on, 127.0.0.1 by default; any but a loopback one needs `api_key` or `allow_hosts`.
    port: port to listen on, 30000 by default.
    api_key: if given, requests must carry it as a bearer token.
    threads: CPU threads of torch; None leaves torch's own choice.
    device: cpu, cuda, cuda:N or mps; None takes CUDA where it is there, else the CPU.
    dtype: float32, bfloat16 or float16; None takes bfloat16 where the device is faster with it and the scores stay
        close to those in float32, else float32.
    name: what clients call the model; None is the folder's name.
    allow_hosts: names that requests may come under besides this machine's; a key makes this needless.
    multi_item: serve as SGLang's multi-item scoring does: /v1/score takes a list as one sequence, which must be shorter
        than the context, and no other route scores.
    """

    host: str
    port: int
    api_key: str | None
    threads: int | None
    device: str | None
    dtype: str | None
    name: str | None
    allow_hosts: Sequence[str]
    multi_item: bool


@function_with_known_keywords(Options)
def serve(model_dir: str | Path, *, say: Callable[[str], object] = _log.info, **options: Unpack[Options]) -> None:
    """Serve `model_dir` until interrupted.

    Args:
        model_dir: a folder that `qwen3-sglang convert` wrote.
        say: is told what device and precision were picked, and how fast they are; the default logs it.
        options: see `Options`.

    Raises:
        InvalidInputError: an open address without a key or names, or an unusable argument.
        ConversionError: `model_dir` is no converted checkpoint.
        MissingDependencyError: the extra `local` is not installed.
    """
    _server().serve(model_dir, options, say)


@function_with_known_keywords(Options)
def run_in_thread(
    model_dir: str | Path, *, say: Callable[[str], object] = _log.info, **options: Unpack[Options]
) -> AbstractContextManager[str]:
    """Serve `model_dir` from a thread of this process; yields the base URL, stops on exit.

    Arguments are those of `serve`; the default port, 0, takes a free one.

    Raises: as `serve`, and StartupError where it stops while it starts.
    """
    server: AbstractContextManager[str] = _server().run_in_thread(model_dir, options, say)
    return server


def _server() -> ModuleType:
    try:
        from qwen3_sglang.local import server  # noqa: PLC0415 - torch takes seconds to import
    except ModuleNotFoundError as error:
        name = error.name or ""
        if name.startswith("qwen3_sglang"):
            raise
        raise MissingDependencyError(name, "local") from error
    return server
