"""What the protocol decides, carried out: sync over requests, async over aiohttp. The only module that does I/O."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any, TypeVar

import aiohttp
import requests
import urllib3
from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_result, sleep_using_event, stop_never

from qwen3_sglang import errors
from qwen3_sglang.protocol.answers import Response, is_success, received
from qwen3_sglang.protocol.exchange import Pause, Request, Run, Steps, Work
from qwen3_sglang.protocol.retry import Patience
from qwen3_sglang.secret import hide
from qwen3_sglang.settings import Settings
from qwen3_sglang.transport.deadline import LEAST_TIMEOUT, Deadline, bounded
from qwen3_sglang.transport.forks import restart_in_child
from qwen3_sglang.transport.sessions import LoopSession, make_session, unreachable
from qwen3_sglang.transport.slots import Slots

T = TypeVar("T")
_PAUSED = retry_if_result(lambda pause: pause is not None)


class Transport:
    """The connections of one client; safe from several threads, several event loops and across a fork."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._met = False
        self._parents: list[object] = []
        self._start()
        restart_in_child(self, Transport._restart)

    def _start(self) -> None:
        self._session = make_session(self._settings)
        self._slots = Slots(self._settings.max_concurrency)
        self._loops: dict[asyncio.AbstractEventLoop, LoopSession] = {}
        self._lock = threading.Lock()

    def _restart(self) -> None:
        """In a forked child: new connections and locks, since another thread may have held the old ones.

        The parent's are kept, untouched: what closes them could wait for a lock that nobody holds any more, or
        take the parent's turn at the selector that both share.
        """
        self._parents.append((self._session, self._loops))
        self._start()

    def patience(self, deadline: Deadline) -> Patience:
        """When a call with that deadline sends a request again."""
        settings = self._settings
        # Jitter needs no secrecy.
        return Patience(deadline.left, random.random, lambda: self._met, settings.max_retries, settings.backoff)

    def drive(self, steps: Steps[T], deadline: Deadline) -> T:
        """What the steps come to."""
        run = Run(steps)
        first = [self._until_pause(run, deadline)]
        if first[0] is not None:  # without a fault, tenacity would cost more than the rest of the call
            retrying = Retrying(
                retry=_PAUSED, wait=_as_decided, stop=stop_never, sleep=sleep_using_event(deadline.stopped)
            )
            retrying(lambda: first.pop() if first else self._until_pause(run, deadline))
        return run.result

    def drive_all(self, several: Sequence[Steps[T]], deadline: Deadline) -> list[T]:
        """The same for each, at most `max_concurrency` at once; the first failure ends them all."""
        if len(several) <= 1:
            return [self.drive(steps, deadline) for steps in several]
        pool = ThreadPoolExecutor(min(len(several), self._settings.max_concurrency), thread_name_prefix="qwen3-sglang")
        try:
            futures = [pool.submit(self.drive, steps, deadline) for steps in several]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            failed = [future for future in done if future.exception() is not None]
            return [future.result() for future in failed[:1] or futures]
        finally:
            deadline.stopped.set()  # whoever waits for a retry stops waiting
            pool.shutdown(cancel_futures=True)

    async def adrive(self, steps: Steps[T]) -> T:
        """`drive` on the running event loop; the caller bounds the time."""
        run = Run(steps)
        first = [await self._auntil_pause(run)]

        async def resume() -> Pause | None:
            return first.pop() if first else await self._auntil_pause(run)

        if first[0] is not None:
            await AsyncRetrying(retry=_PAUSED, wait=_as_decided, stop=stop_never, sleep=asyncio.sleep)(resume)
        return run.result

    async def adrive_all(self, several: Sequence[Steps[T]]) -> list[T]:
        """`drive_all` on the running event loop; the first failure cancels the others."""
        if len(several) <= 1:  # the usual case, without a task of its own
            return [await self.adrive(steps) for steps in several]
        found: dict[int, T] = {}
        waiting = iter(enumerate(several))

        async def work() -> None:
            for place, steps in waiting:
                found[place] = await self.adrive(steps)

        # So many tasks, not one per list: each that has begun holds the body of its request.
        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(several), self._settings.max_concurrency)):
                group.create_task(work())
        return [found[place] for place in range(len(several))]

    async def within(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result, in the time that a call may take."""
        limit = asyncio.timeout(self._settings.timeout)
        try:
            async with limit:
                return await work
        except TimeoutError as error:  # the limit's, ours, or one of the caller's own on_progress
            failure: Exception = self.timed_out() if limit.expired() else error
        except ExceptionGroup as several:
            failure = several.exceptions[0]
        except errors.ServerError as error:
            failure = error
        # Outside the except clauses on purpose: the foreign error's frames hold the key in their locals.
        raise failure

    def close(self) -> None:
        """Close the sync side's connections; the next request opens new ones."""
        self._session.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop, and the sync side's."""
        with self._lock:
            loop = self._loops.pop(asyncio.get_running_loop(), None)
        if loop is not None:
            await loop.keeper.aclose()
        self.close()

    def timed_out(self) -> errors.ServerTimeoutError:
        """The failure of a call that took too long."""
        message = f"no whole answer within timeout={self._settings.timeout:g} s; raise timeout= or send fewer"
        return errors.ServerTimeoutError(self._settings.base_url, message)

    def _until_pause(self, run: Run[T], deadline: Deadline) -> Pause | None:
        asked = run.step()
        while isinstance(asked, Request | Work):
            if isinstance(asked, Work):
                asked.do()
                if deadline.left() <= 0:
                    raise self.timed_out()
            asked = run.step(self._send(asked, deadline) if isinstance(asked, Request) else None)
        return asked

    async def _auntil_pause(self, run: Run[T]) -> Pause | None:
        asked = run.step()
        while isinstance(asked, Request | Work):
            asked = run.step(await (self._asend(asked) if isinstance(asked, Request) else asyncio.to_thread(asked.do)))
        return asked

    def _send(self, request: Request, deadline: Deadline) -> Response | errors.ServerError:
        if not self._slots.acquire(timeout=deadline.left()):
            return self.timed_out()
        try:
            if deadline.left() <= 0:  # while it waited, for this slot or for a retry
                return self.timed_out()
            with bounded(deadline, self._settings.read_timeout):
                return self._exchange(request, deadline)
        except errors.ServerError as error:
            return error
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            # As a value: the foreign error's frames hold the key in their locals, so it must not be a cause.
            return self._failure(request, error, over=deadline.left() <= 0)
        except BaseException as error:  # Ctrl-C
            raise _bare(error)  # noqa: B904 - it is the same one
        finally:
            self._slots.release()

    def _exchange(self, request: Request, deadline: Deadline) -> Response:
        url, left = self._settings.base_url + request.path, max(LEAST_TIMEOUT, deadline.left())
        method = "GET" if request.body is None else "POST"
        timeouts = min(self._settings.connect_timeout, left), min(self._settings.read_timeout or left, left)
        asked = self._session.request(
            method,
            url,
            data=request.body,
            timeout=timeouts,
            allow_redirects=False,
            stream=True,
            verify=self._settings.verify,  # not the session's: REQUESTS_CA_BUNDLE would win over that
        )
        with asked as got:
            return self._answer(request, got.status_code, got.headers, _read(got.raw, request.limit + 1))

    async def _asend(self, request: Request) -> Response | errors.ServerError:
        url = self._settings.base_url + request.path
        method = "GET" if request.body is None else "POST"
        loop = await self._loop()
        try:
            async with (
                loop.slots,
                loop.session.request(method, url, data=request.body, allow_redirects=False) as got,
            ):
                return self._answer(request, got.status, got.headers, await _aread(got.content, request.limit + 1))
        except errors.ServerError as error:
            return error
        except (aiohttp.ClientError, OSError) as error:
            return self._failure(request, error, over=False)
        except BaseException as error:  # the task was cancelled
            raise _bare(error)  # noqa: B904 - it is the same one

    def _answer(self, request: Request, status: int, headers: Mapping[str, str], body: bytes) -> Response:
        """What came back, without the key where the server repeats it."""
        self._met, key = True, self._settings.api_key
        url = self._settings.base_url + request.path
        response = received(url, status, headers, body, limit=request.limit, now=time.time())
        if key is None:
            return response
        location = response.location and hide(response.location.encode(), key, succeeded=False).decode()
        return replace(response, body=hide(response.body, key, succeeded=is_success(status)), location=location)

    def _failure(self, request: Request, error: Exception, *, over: bool) -> errors.ServerError:
        url, settings = self._settings.base_url + request.path, self._settings
        if isinstance(error, (requests.ConnectTimeout, aiohttp.ConnectionTimeoutError)) and not over:
            message = f"no connection within connect_timeout={settings.connect_timeout:g} s; is base_url right?"
            return errors.ServerUnreachableError(url, message)
        if not isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)):
            return errors.ServerUnreachableError(url, unreachable(error))
        if over or settings.read_timeout is None:
            return self.timed_out()
        message = f"silent for read_timeout={settings.read_timeout:g} s; raise read_timeout= or send fewer"
        return errors.ServerTimeoutError(url, message)

    async def _loop(self) -> LoopSession:
        running = asyncio.get_running_loop()
        with self._lock:
            loop = self._loops.get(running)
            if loop is None:
                # Not weak keys: a session refers to its loop, so an entry would keep itself alive.
                self._loops = {known: kept for known, kept in self._loops.items() if not known.is_closed()}
                loop = self._loops[running] = LoopSession(self._settings)
        await loop.open()
        return loop


def _read(raw: urllib3.BaseHTTPResponse, most: int) -> bytes:
    """The whole body, or its first `most` bytes."""
    body = b""
    # Until nothing comes, also after the first piece: only then does urllib3 notice that one was cut short.
    while len(body) < most and (part := raw.read(most - len(body), decode_content=False)):
        body += part
    return body


async def _aread(content: aiohttp.StreamReader, most: int) -> bytes:
    """The same of an async body."""
    parts, size = [], 0
    while size < most and (part := await content.readany()):
        parts.append(part)
        size += len(part)
    return b"".join(parts)[:most]


def _bare(error: BaseException) -> BaseException:
    """`error` without the frames it went through: they hold the key in their locals."""
    error.__context__ = None
    return error.with_traceback(None)


def _as_decided(state: RetryCallState) -> float:
    pause = None if state.outcome is None else state.outcome.result()
    return pause.seconds if isinstance(pause, Pause) else 0.0
