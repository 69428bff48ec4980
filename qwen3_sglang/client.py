"""RerankClient: what is asked is decided in `protocol`; this module only carries it, sync and async."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from functools import partial
from typing import Any, TypeVar

import aiohttp
import requests

from qwen3_sglang import batching, errors, protocol
from qwen3_sglang.answers import Response
from qwen3_sglang.cache import ScoreCache
from qwen3_sglang.endpoints import DEFAULT_ENDPOINT
from qwen3_sglang.progress import OnProgress, Progress
from qwen3_sglang.prompt import prepare
from qwen3_sglang.protocol import Call, Request, Served, Steps
from qwen3_sglang.ranking import RerankResult, Score, check_limits, rank
from qwen3_sglang.sessions import LoopSession, make_session, unreachable
from qwen3_sglang.settings import SecretLike, Settings, make_settings
from qwen3_sglang.tokenizer import LocalTokenizer, load_tokenizer
from qwen3_sglang.truncate import MAX_LENGTH

T = TypeVar("T")
_log = logging.getLogger(__name__)


class RerankClient:
    """Scores documents for a query by a converted Qwen3-Reranker behind SGLang's `/v1/classify`.

    One client is meant to be kept: it pools its connections. It may be used from several threads, and from
    several event loops; making one does no I/O.

    Args:
        base_url: SGLang's address; None: `QWEN3_SGLANG_BASE_URL`, then http://127.0.0.1:30000.
        api_key: the server's `--api-key`; None: `QWEN3_SGLANG_API_KEY`, then no key.
        model: the served model's name; None asks the server at first use.
        instruction: the task in Qwen3's template; None: Qwen's own for web search. English works best.
        batch_size: prompts a request.
        max_concurrency: requests in flight at once.
        timeout: seconds that one call may take in all.
        max_length: tokens that a prompt may have, template included; None: 8192, or what the server takes where
            that is less. Longer documents lose their tail, and their results say `truncated`.
        tokenizer: folder of the served model, or its tokenizer.json, by which long documents are cut; None asks
            the server. Needs the extra `tokenizer`.
        escape_special_tokens: break special tokens such as "<|im_end|>" inside query, instruction and documents,
            by a space after the "<", so that no text can leave its place in the template. Turn it off only for
            texts that were made harmless before.
        endpoint: "v1/classify" (SGLang, and the only one its gateway routes), "v1/score" (SGLang; sends and
            tokenises the query once a list) or "classify" (vLLM).
        cache_size: scores to remember, by model, instruction, query and document; 0 remembers none.

    Raises:
        InvalidInputError: an argument can't be used.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | SecretLike | None = None,
        model: str | None = None,
        instruction: str | None = None,
        batch_size: int = 128,
        max_concurrency: int = 8,
        timeout: float = 60.0,
        max_length: int | None = None,
        tokenizer: str | os.PathLike[str] | None = None,
        escape_special_tokens: bool = True,
        endpoint: str = DEFAULT_ENDPOINT,
        cache_size: int = 0,
    ) -> None:
        self.settings: Settings = make_settings(
            base_url,
            api_key=api_key,
            model=model,
            instruction=instruction,
            batch_size=batch_size,
            max_concurrency=max_concurrency,
            timeout=timeout,
            max_length=max_length,
            tokenizer=tokenizer,
            escape_special_tokens=escape_special_tokens,
            endpoint=endpoint,
            cache_size=cache_size,
        )
        self._cache = ScoreCache(cache_size) if cache_size else None
        self._served = _told(self.settings)
        self._tokenizer: LocalTokenizer | None = None
        self._session = make_session(self.settings)
        self._slots = threading.BoundedSemaphore(max_concurrency)
        self._loops: dict[asyncio.AbstractEventLoop, LoopSession] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"RerankClient({self.settings.base_url!r})"

    def score(
        self,
        query: str,
        documents: Sequence[str],
        *,
        instruction: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[float]:
        """P(yes) of each document, in the documents' order.

        `on_progress` is called after every answered list with (documents scored, documents to score), those that
        occur twice or are remembered left out; from a worker thread where several lists are in flight.

        Raises:
            InvalidInputError: a blank query, or a document that isn't a string; before any request.
            ServerError: one of its subclasses; see `qwen3_sglang.errors`.
        """
        return [score.p_yes for score in self._scores(query, documents, instruction, on_progress)]

    def rerank(
        self,
        query: str,
        documents: Sequence[str],
        top_n: int | None = None,
        min_score: float | None = None,
        *,
        instruction: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[RerankResult]:
        """Best first; documents under `min_score` are dropped, then the list is cut to `top_n`.

        `on_progress` is called as by `score`.

        Raises:
            InvalidInputError: as `score`, and for `top_n` below 1 or `min_score` outside [0, 1].
            ServerError: one of its subclasses; see `qwen3_sglang.errors`.
        """
        check_limits(top_n, min_score)
        return rank(self._scores(query, documents, instruction, on_progress), top_n, min_score)

    def model(self) -> str:
        """The served model's name: the one given, or what the server answers.

        Raises:
            ServerError: one of its subclasses; see `qwen3_sglang.errors`.
        """
        return self.settings.model or self._known(time.monotonic() + self.settings.timeout).model

    async def ascore(
        self,
        query: str,
        documents: Sequence[str],
        *,
        instruction: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[float]:
        """`score`, without blocking the event loop."""
        return [score.p_yes for score in await self._ascores(query, documents, instruction, on_progress)]

    async def arerank(
        self,
        query: str,
        documents: Sequence[str],
        top_n: int | None = None,
        min_score: float | None = None,
        *,
        instruction: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[RerankResult]:
        """`rerank`, without blocking the event loop."""
        check_limits(top_n, min_score)
        return rank(await self._ascores(query, documents, instruction, on_progress), top_n, min_score)

    def close(self) -> None:
        """Close the sync side's connections; a later call opens new ones."""
        self._session.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop, and the sync side's."""
        loop = self._loops.pop(asyncio.get_running_loop(), None)
        if loop is not None:
            await loop.keeper.aclose()
        self.close()

    def __enter__(self) -> RerankClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> RerankClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles carry the settings; the key is read from the environment again."""
        options = {field.name: getattr(self.settings, field.name) for field in fields(self.settings)}
        del options["api_key"]
        return partial(type(self), options.pop("base_url"), **options), ()

    def _scores(
        self, query: str, documents: Sequence[str], instruction: str | None, on_progress: OnProgress | None
    ) -> list[Score]:
        head, texts = self._texts(query, documents, instruction)
        if not texts:
            return []
        until = time.monotonic() + self.settings.timeout
        call = self._call(head, self._known(until))
        plan = self._plan(call, texts)
        steps = _steps(call, plan, on_progress)
        if len(steps) <= 1:
            return self._finish(call, plan, [self._drive(step, until) for step in steps])
        workers = min(len(steps), self.settings.max_concurrency)
        pool = ThreadPoolExecutor(workers, thread_name_prefix="qwen3-sglang")
        try:
            parts = list(pool.map(lambda step: self._drive(step, until), steps))
        finally:
            pool.shutdown(cancel_futures=True)  # after a failure the lists not yet sent would be for nothing
        return self._finish(call, plan, parts)

    async def _ascores(
        self, query: str, documents: Sequence[str], instruction: str | None, on_progress: OnProgress | None
    ) -> list[Score]:
        head, texts = self._texts(query, documents, instruction)
        if not texts:
            return []
        try:
            async with asyncio.timeout(self.settings.timeout):
                if self._served is None:
                    self._served = await self._adrive(protocol.ask_served())
                call = self._call(head, self._served)
                plan = self._plan(call, texts)
                parts = await self._gather(_steps(call, plan, on_progress))
        except TimeoutError:
            failure: Exception = self._timed_out()
        except ExceptionGroup as several:
            failure = several.exceptions[0]
        else:
            return self._finish(call, plan, parts)
        raise failure

    async def _gather(self, steps: list[Steps[T]]) -> list[T]:
        if len(steps) == 1:  # the usual case, without a task of its own
            return [await self._adrive(steps[0])]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._adrive(step)) for step in steps]
        return [task.result() for task in tasks]

    def _texts(self, query: str, documents: Sequence[str], instruction: str | None) -> tuple[str, list[str]]:
        task = self.settings.instruction if instruction is None else instruction
        return prepare(query, documents, task, escape=self.settings.escape_special_tokens)

    def _plan(self, call: Call, texts: list[str]) -> batching.Batches:
        known = {} if self._cache is None else self._cache.find(call.model, call.head, texts)
        return batching.split(texts, self.settings.batch_size, known)

    def _finish(self, call: Call, plan: batching.Batches, parts: list[list[Score]]) -> list[Score]:
        if self._cache is not None:
            for documents, scores in zip(plan.lists, parts, strict=True):
                self._cache.add(call.model, call.head, documents, scores)
        scores = plan.restore(parts)
        cut = [index for index, score in enumerate(scores) if score.truncated]
        if cut:
            shown = ", ".join(map(str, cut[:10])) + (", …" if len(cut) > 10 else "")  # noqa: PLR2004 - enough to see which
            _log.info("%d of %d documents were cut to %d tokens: %s", len(cut), len(scores), call.max_length, shown)
        return scores

    def _call(self, head: str, served: Served) -> Call:
        wanted = self.settings.max_length or MAX_LENGTH
        limit = wanted if served.max_length is None else min(wanted, served.max_length)
        if self._tokenizer is None and self.settings.tokenizer is not None:
            self._tokenizer = load_tokenizer(self.settings.tokenizer)
        return Call(self.settings.model or served.model, head, limit, self._tokenizer, self.settings.endpoint)

    def _known(self, until: float) -> Served:
        if self._served is None:
            self._served = self._drive(protocol.ask_served(), until)
        return self._served

    def _drive(self, steps: Steps[T], until: float) -> T:
        try:
            request = next(steps)
            while True:
                request = steps.send(self._send(request, until))
        except StopIteration as stop:
            result: T = stop.value
        return result

    async def _adrive(self, steps: Steps[T]) -> T:
        try:
            # A tokenizer on this machine works inside the first step: not on the event loop.
            request = next(steps) if self._tokenizer is None else await asyncio.to_thread(next, steps)
            while True:
                request = steps.send(await self._asend(request))
        except StopIteration as stop:
            result: T = stop.value
        return result

    def _send(self, request: Request, until: float) -> Response:
        url = self.settings.base_url + request.path
        method = "GET" if request.body is None else "POST"
        if not self._slots.acquire(timeout=max(0.0, until - time.monotonic())):
            raise self._timed_out()
        try:
            left = max(0.001, until - time.monotonic())
            got = self._session.request(method, url, data=request.body, timeout=left, allow_redirects=False)
            return Response(url, got.status_code, got.content, got.headers.get("Location"))
        except requests.RequestException as error:
            failure = self._sync_failure(url, error)
        finally:
            self._slots.release()
        # Outside the except clause on purpose: the foreign error's frames hold the key in their locals.
        raise failure

    async def _asend(self, request: Request) -> Response:
        url = self.settings.base_url + request.path
        method = "GET" if request.body is None else "POST"
        loop = await self._loop()
        try:
            async with (
                loop.slots,
                loop.session.request(method, url, data=request.body, allow_redirects=False) as got,
            ):
                return Response(url, got.status, await got.read(), got.headers.get("Location"))
        except (aiohttp.ClientError, OSError) as error:
            failure = errors.ServerUnreachableError(url, unreachable(error))
        raise failure

    def _sync_failure(self, url: str, error: requests.RequestException) -> errors.ServerError:
        if isinstance(error, requests.Timeout):
            return self._timed_out()
        return errors.ServerUnreachableError(url, unreachable(error))

    def _timed_out(self) -> errors.ServerTimeoutError:
        message = f"no whole answer within timeout={self.settings.timeout:g} s; raise timeout= or send fewer"
        return errors.ServerTimeoutError(self.settings.base_url, message)

    async def _loop(self) -> LoopSession:
        running = asyncio.get_running_loop()
        with self._lock:
            loop = self._loops.get(running)
            if loop is None:
                # Not weak keys: a session refers to its loop, so an entry would keep itself alive.
                self._loops = {known: kept for known, kept in self._loops.items() if not known.is_closed()}
                loop = self._loops[running] = LoopSession(self.settings)
        await loop.open()
        return loop


def _steps(call: Call, plan: batching.Batches, on_progress: OnProgress | None) -> list[Steps[list[Score]]]:
    """One exchange a list; their ends are told where somebody listens."""
    steps = [protocol.score_documents(call, part) for part in plan.lists]
    if on_progress is None:
        return steps
    progress = Progress(on_progress, sum(map(len, plan.lists)))
    return [progress.watch(step) for step in steps]


def _told(settings: Settings) -> Served | None:
    """What the server needn't be asked, where the user has said both."""
    if settings.model is None or settings.max_length is None:
        return None
    return Served(settings.model)
