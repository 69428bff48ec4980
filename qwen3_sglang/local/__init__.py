"""A converted reranker behind SGLang's endpoints, on transformers: to try and to test without a GPU.

::

    with run_in_thread("models/reranker-converted") as base_url:
        ...  # point a reranker at base_url

torch and the web server are imported when one of the two is called, not before.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from qwen3_sglang.errors import MissingDependencyError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["run_in_thread", "serve"]


def serve(
    model_dir: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 30000,
    api_key: str | None = None,
    threads: int | None = None,
) -> None:
    """Serve `model_dir` until interrupted.

    Args:
        model_dir: a folder that `qwen3-sglang convert` wrote.
        host: address to listen on; any but a loopback one needs `api_key`.
        port: port to listen on.
        api_key: if given, requests must carry it as a bearer token.
        threads: CPU threads of torch; None leaves torch's own choice.

    Raises:
        InvalidInputError: an open address without a key, or an unusable argument.
        ConversionError: `model_dir` is no converted checkpoint.
        MissingDependencyError: the extra `local` is not installed.
    """
    _server().serve(model_dir, host=host, port=port, api_key=api_key, threads=threads)


def run_in_thread(
    model_dir: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    api_key: str | None = None,
    threads: int | None = None,
) -> AbstractContextManager[str]:
    """Serve `model_dir` from a thread of this process; yields the base URL, stops on exit.

    Arguments and errors are those of `serve`; port 0 takes a free one.
    """
    server: AbstractContextManager[str] = _server().run_in_thread(
        model_dir, host=host, port=port, api_key=api_key, threads=threads
    )
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
