"""RerankClient: what is asked is decided in `protocol`; this module only carries it, sync and async."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar

import aiohttp
import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from qwen3_sglang import batching, errors, protocol
from qwen3_sglang.prompt import build_prompts
from qwen3_sglang.protocol import Request, Response, Steps
from qwen3_sglang.ranking import RerankResult, Score, check_limits, rank
from qwen3_sglang.settings import SecretLike, SecretStr, Settings, make_settings

T = TypeVar("T")
HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


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
    ) -> None:
        self.settings: Settings = make_settings(
            base_url,
            api_key=api_key,
            model=model,
            instruction=instruction,
            batch_size=batch_size,
            max_concurrency=max_concurrency,
            timeout=timeout,
        )
        self._model = self.settings.model
        self._session = _make_session(self.settings)
        self._slots = threading.BoundedSemaphore(max_concurrency)
        self._loops: dict[asyncio.AbstractEventLoop, _Loop] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"RerankClient({self.settings.base_url!r})"

    def score(self, query: str, documents: Sequence[str], *, instruction: str | None = None) -> list[float]:
        """P(yes) of each document, in the documents' order.

        Raises:
            InvalidInputError: a blank query, or a document that isn't a string; before any request.
            ServerError: one of its subclasses; see `qwen3_sglang.errors`.
        """
        return [score.p_yes for score in self._scores(query, documents, instruction)]

    def rerank(
        self,
        query: str,
        documents: Sequence[str],
        top_n: int | None = None,
        min_score: float | None = None,
        *,
        instruction: str | None = None,
    ) -> list[RerankResult]:
        """Best first; documents under `min_score` are dropped, then the list is cut to `top_n`.

        Raises:
            InvalidInputError: as `score`, and for `top_n` below 1 or `min_score` outside [0, 1].
            ServerError: one of its subclasses; see `qwen3_sglang.errors`.
        """
        check_limits(top_n, min_score)
        return rank(self._scores(query, documents, instruction), top_n, min_score)

    def model(self) -> str:
        """The served model's name: the one given, or what the server answers.

        Raises:
            ServerError: one of its subclasses; see `qwen3_sglang.errors`.
        """
        return self._known_model(time.monotonic() + self.settings.timeout)

    async def ascore(self, query: str, documents: Sequence[str], *, instruction: str | None = None) -> list[float]:
        """`score`, without blocking the event loop."""
        return [score.p_yes for score in await self._ascores(query, documents, instruction)]

    async def arerank(
        self,
        query: str,
        documents: Sequence[str],
        top_n: int | None = None,
        min_score: float | None = None,
        *,
        instruction: str | None = None,
    ) -> list[RerankResult]:
        """`rerank`, without blocking the event loop."""
        check_limits(top_n, min_score)
        return rank(await self._ascores(query, documents, instruction), top_n, min_score)

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
        names = ("model", "instruction", "batch_size", "max_concurrency", "timeout")
        options = {name: getattr(self.settings, name) for name in names}
        return partial(type(self), self.settings.base_url, **options), ()

    def _plan(self, query: str, documents: Sequence[str], instruction: str | None) -> batching.Batches:
        task = self.settings.instruction if instruction is None else instruction
        return batching.split(build_prompts(query, documents, task), self.settings.batch_size)

    def _scores(self, query: str, documents: Sequence[str], instruction: str | None) -> list[Score]:
        plan = self._plan(query, documents, instruction)
        if not plan.lists:
            return []
        until = time.monotonic() + self.settings.timeout
        model = self._known_model(until)
        steps = [protocol.classify(model, prompts) for prompts in plan.lists]
        if len(steps) == 1:
            return plan.restore([self._drive(steps[0], until)])
        workers = min(len(steps), self.settings.max_concurrency)
        pool = ThreadPoolExecutor(workers, thread_name_prefix="qwen3-sglang")
        try:
            return plan.restore(list(pool.map(lambda step: self._drive(step, until), steps)))
        finally:
            pool.shutdown(cancel_futures=True)  # after a failure the lists not yet sent would be for nothing

    async def _ascores(self, query: str, documents: Sequence[str], instruction: str | None) -> list[Score]:
        plan = self._plan(query, documents, instruction)
        if not plan.lists:
            return []
        try:
            async with asyncio.timeout(self.settings.timeout):
                if self._model is None:
                    self._model = await self._adrive(protocol.ask_model())
                model = self._model
                async with asyncio.TaskGroup() as group:
                    parts = [group.create_task(self._adrive(protocol.classify(model, p))) for p in plan.lists]
        except TimeoutError:
            failure: Exception = self._timed_out()
        except ExceptionGroup as several:
            failure = several.exceptions[0]
        else:
            return plan.restore([part.result() for part in parts])
        raise failure

    def _known_model(self, until: float) -> str:
        if self._model is None:
            self._model = self._drive(protocol.ask_model(), until)
        return self._model

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
            request = next(steps)
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
            failure = errors.ServerUnreachableError(url, _unreachable(error))
        raise failure

    def _sync_failure(self, url: str, error: requests.RequestException) -> errors.ServerError:
        if isinstance(error, requests.Timeout):
            return self._timed_out()
        return errors.ServerUnreachableError(url, _unreachable(error))

    def _timed_out(self) -> errors.ServerTimeoutError:
        message = f"no whole answer within timeout={self.settings.timeout:g} s; raise timeout= or send fewer"
        return errors.ServerTimeoutError(self.settings.base_url, message)

    async def _loop(self) -> _Loop:
        running = asyncio.get_running_loop()
        with self._lock:
            loop = self._loops.get(running)
            if loop is None:
                # Not weak keys: a session refers to its loop, so an entry would keep itself alive.
                self._loops = {known: kept for known, kept in self._loops.items() if not known.is_closed()}
                loop = self._loops[running] = _Loop(self.settings)
        await loop.open()
        return loop


class _Loop:
    """One event loop's session and its limit of requests in flight."""

    def __init__(self, settings: Settings) -> None:
        self.slots = asyncio.Semaphore(settings.max_concurrency)
        self.session = _make_async_session(settings)
        self.keeper = _keep(self.session)
        self._opened = False

    async def open(self) -> None:
        """Start the keeper, so that the loop closes the session when it shuts down."""
        if not self._opened:
            self._opened = True
            await anext(self.keeper)


async def _keep(session: aiohttp.ClientSession) -> AsyncGenerator[None]:
    """asyncio.run finalises open async generators; that closes the session even when nobody calls aclose."""
    try:
        yield
    finally:
        await session.close()


class _BearerAuth(AuthBase):
    """An auth object, since requests lets ~/.netrc override a plain Authorization header."""

    def __init__(self, key: SecretStr) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        return request


def _make_session(settings: Settings) -> requests.Session:
    session = requests.Session()
    session.headers.update(HEADERS)
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # no state shared between threads
    session.auth = None if settings.api_key is None else _BearerAuth(settings.api_key)
    adapter = HTTPAdapter(pool_maxsize=settings.max_concurrency)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _make_async_session(settings: Settings) -> aiohttp.ClientSession:
    headers = dict(HEADERS)
    if settings.api_key is not None:
        headers["Authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
    return aiohttp.ClientSession(
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=None),  # the call as a whole has one
        connector=aiohttp.TCPConnector(limit=settings.max_concurrency),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=True,
    )


def _unreachable(error: Exception) -> str:
    what = str(error).split("(Caused by", maxsplit=1)[-1].strip(" )'\"") or type(error).__name__
    return f"no answer ({what}); is the server running there, and is base_url right?"
