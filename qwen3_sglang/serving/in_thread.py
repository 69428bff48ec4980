"""A web application from a thread of this process; needs uvicorn."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from qwen3_sglang.errors import StartupError

STOP_SECONDS = 5  # how long requests in flight may take once a server is told to stop


@contextlib.contextmanager
def run_app(app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0, **options: Any) -> Iterator[str]:
    """Serve `app`; yields the base URL, stops on exit. Port 0 takes a free one; `options` are uvicorn's.

    Raises:
        OSError: the port is taken.
        StartupError: the application stopped while it started.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Bound here, so that a taken port is raised to the caller and a free one is known before the start.
    with socket.create_server((host, port), family=family) as listener:
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=STOP_SECONDS, **options)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), name="qwen3-sglang-web", daemon=True)
        thread.start()
        try:
            _wait(server, thread)
            name = f"[{host}]" if ":" in host else host
            yield f"http://{name}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _wait(server: uvicorn.Server, thread: threading.Thread) -> None:
    while not server.started:
        if not thread.is_alive():
            raise StartupError("the server stopped before it answered; its log says why")
        time.sleep(0.01)
