"""A page to try a reranker on: paste texts, see P(yes), what a threshold keeps, and the exact prompt.

::

    with run_in_thread("http://127.0.0.1:30000") as address:
        ...  # open address in a browser

The embedded server (`qwen3_sglang.local`) has the same page at "/". The web server is imported when it is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from qwen3_sglang.client import RerankClient
from qwen3_sglang.errors import MissingDependencyError
from qwen3_sglang.options.keywords import function_with_known_keywords
from qwen3_sglang.playground.answer import LongDocuments

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["run_in_thread"]


@function_with_known_keywords()
def run_in_thread(
    base_url: str | None = None,
    *,
    api_key: str | None = None,
    headers: Mapping[str, str] | str | None = None,
    endpoint: str = "auto",
    timeout: float = 60.0,
    port: int = 0,
) -> AbstractContextManager[str]:
    """Serve the playground for one server from a thread of this process; yields its address, stops on exit.

    It listens on the loopback address only: whoever reaches it uses the server with this key.

    Args:
        base_url: the server's address, as `RerankClient` takes it.
        api_key: the server's key; it stays in this process.
        headers: further ones for the server, as `RerankClient` takes them; they stay in this process too.
        endpoint: which of the server's endpoints is asked, as `RerankClient` takes it.
        timeout: seconds that one call to the server may take in all.
        port: port to listen on; 0 takes a free one.

    Raises:
        InvalidInputError: an argument can't be used.
        MissingDependencyError: the extra `playground` is not installed.
        OSError: the port is taken.
    """

    def make_client(long_documents: LongDocuments = "truncate") -> RerankClient:
        return RerankClient(
            base_url,
            api_key=api_key,
            headers=headers,
            endpoint=endpoint,
            timeout=timeout,
            long_documents=long_documents,
        )

    make_client().close()  # so that an unusable argument is raised here, not on the page
    running: AbstractContextManager[str] = _web().run(make_client, port)
    return running


def _web() -> ModuleType:
    try:
        from qwen3_sglang.playground import proxy  # noqa: PLC0415 - only who serves it needs the web server
    except ModuleNotFoundError as error:
        name = error.name or ""
        if name.startswith("qwen3_sglang"):
            raise
        raise MissingDependencyError(name, "playground") from error
    return proxy
