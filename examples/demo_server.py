"""The demo's reranker in a process of its own: it loads torch while the demo loads LangChain and LlamaIndex."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from qwen3_sglang.errors import Qwen3SGLangError, StartupError

Say = Callable[[str], object]
Progress = Callable[[int, int], object]


@contextmanager
def start(model: str | None, texts: list[str], say: Say, progress: Progress) -> Iterator[Future[str]]:
    """Serve `model`, or the toy built for `texts`; yields the base URL to come. The process ends with the block.

    Args:
        model: a hub name or a folder; None is the toy.
        texts: what the toy is built for.
        say: is told each step as it begins, in another thread.
        progress: is told the bytes of the model converted, and their total, in that thread.
    """
    context = multiprocessing.get_context("spawn")  # a forked process would share the threads' locks
    mine, other = context.Pipe()
    process = context.Process(target=serve, args=(other, model, texts), daemon=True)
    process.start()
    other.close()
    base_url: Future[str] = Future()
    told = {"step": say, "progress": lambda counts: progress(*counts), "url": base_url.set_result}
    reader = threading.Thread(target=_read, args=(mine, told, base_url), daemon=True)
    reader.start()
    try:
        yield base_url
    finally:
        process.terminate()
        process.join()
        reader.join()
        mine.close()


def _read(pipe: Connection, told: Mapping[str, Callable[[Any], object]], base_url: Future[str]) -> None:
    """Pass on what the process says, until it ends."""
    try:
        while True:
            kind, value = pipe.recv()
            if kind == "error":
                base_url.set_exception(StartupError(value))
            else:
                told[kind](value)
    except EOFError:
        if not base_url.done():
            base_url.set_exception(StartupError("the reranker's process ended before it answered"))


def serve(pipe: Connection, model: str | None, texts: list[str]) -> None:
    """The process: say the steps, then the address, or what is wrong; end when told, or when the demo is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; the demo says when to stop
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # what is open is closed, the toy's folder deleted
    from qwen3_sglang.toy.serving import serve_model, serve_toy  # noqa: PLC0415 - loads torch, not for the demo itself

    def say(step: str) -> None:
        pipe.send(("step", step))

    def progress(done: int, total: int) -> None:
        pipe.send(("progress", (done, total)))

    try:
        with serve_toy(texts, say=say) if model is None else serve_model(model, say=say, progress=progress) as base_url:
            pipe.send(("url", base_url))
            pipe.recv()  # nothing comes but the end
    except Qwen3SGLangError as error:
        pipe.send(("error", str(error)))
    except (EOFError, BrokenPipeError):  # the demo was killed
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends by itself now
