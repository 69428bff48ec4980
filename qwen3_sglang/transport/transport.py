"""What the protocol decides, carried out: sync over requests, async over aiohttp."""

from __future__ import annotations

import asyncio
import random
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from logging import INFO, WARNING, getLogger
from typing import Any, TypeVar

from qwen3_sglang import errors
from qwen3_sglang.protocol.exchange import Compute, Pause, Request, Run, Steps
from qwen3_sglang.protocol.responses import Response, is_servers, is_success, received
from qwen3_sglang.protocol.retry import Patience
from qwen3_sglang.secret import hide
from qwen3_sglang.settings import Settings
from qwen3_sglang.transport import loops, pauses, until
from qwen3_sglang.transport.bodies import most, read
from qwen3_sglang.transport.bounds import Bounds, Budget
from qwen3_sglang.transport.deadline import Deadline
from qwen3_sglang.transport.environment import proxy_named, secrets_of
from qwen3_sglang.transport.failures import bare, cleaned, described, timed_out
from qwen3_sglang.transport.forks import restart_in_child
from qwen3_sglang.transport.sessions import LoopSession, abandon_all, make_session
from qwen3_sglang.transport.slots import Slots
from qwen3_sglang.transport.threads import ThreadsLateError, in_thread, run_all

T = TypeVar("T")
_log = getLogger(__name__)


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
        self._finalizer = weakref.finalize(self, abandon_all, self._loops)

    def _restart(self) -> None:
        """In a forked child: new connections and locks, since another thread may have held the old ones.

        The parent's are kept, untouched: what closes them could wait for a lock that nobody holds any more, or
        take the parent's turn at the selector that both share.
        """
        self._finalizer.detach()
        self._parents.append((self._session, self._loops))
        self._start()

    def patience(self, deadline: Deadline) -> Patience:
        """When a call with that deadline sends a request again."""
        settings = self._settings
        # Jitter needs no secrecy.
        return Patience(deadline.left, random.random, self._has_met, settings.max_retries, settings.backoff)

    def _has_met(self) -> bool:
        return self._met

    def drive(self, steps: Steps[T], deadline: Deadline) -> T:
        """Carry out the steps and return their result. Raises: ServerError, one of its subclasses."""
        run = Run(steps)
        pause = self._until_pause(run, deadline)
        if pause is not None:
            pauses.go_on(pause, partial(self._until_pause, run, deadline), deadline)
        return run.result

    def drive_all(self, several: Sequence[Steps[T]], deadline: Deadline) -> list[T]:
        """`drive` for each, at most `max_concurrency` at once; the first failure ends them all. Raises: as `drive`."""
        if len(several) <= 1:
            return [self.drive(steps, deadline) for steps in several]
        return self._in_threads([partial(self.drive, steps, deadline) for steps in several], deadline)

    def _in_threads(self, works: Sequence[Callable[[], T]], deadline: Deadline) -> list[T]:
        """What each returns; a thread that is late is left behind."""
        try:
            return run_all(works, self._settings.max_concurrency, deadline)
        except ThreadsLateError:
            late = self.timed_out()
        raise late

    async def adrive(self, steps: Steps[T]) -> T:
        """`drive` on the running event loop; the caller bounds the time. Raises: as `drive`."""
        run = Run(steps)
        pause = await self._auntil_pause(run)
        if pause is not None:
            await pauses.ago_on(pause, partial(self._auntil_pause, run))
        return run.result

    async def adrive_all(self, several: Sequence[Steps[T]]) -> list[T]:
        """`drive_all` on the running event loop; the first failure cancels the others. Raises: as `drive`."""
        if len(several) <= 1:  # the usual case, without a task of its own
            return [await self.adrive(several[0])] if several else []
        return await self._adrive_several(several)

    async def _adrive_several(self, several: Sequence[Steps[T]]) -> list[T]:
        found: dict[int, T] = {}
        waiting = iter(enumerate(several))

        async def work() -> None:
            for place, steps in waiting:
                found[place] = await self.adrive(steps)

        try:
            # So many tasks, not one per list: each list that has begun holds the body of its request.
            async with asyncio.TaskGroup() as group:
                most = min(len(several), self._settings.max_concurrency)
                tasks = [group.create_task(work()) for _ in range(most)]
            if any(task.cancelled() for task in tasks):  # by the caller's on_progress, which ran in it
                raise asyncio.CancelledError
            return [found[place] for place in range(len(several))]
        except BaseExceptionGroup as failed:  # a listener may raise what is no Exception
            first = failed.exceptions[0]
        # Outside the except clause on purpose: the group's frames hold the key in their locals.
        raise first

    async def within(self, work: Coroutine[Any, Any, T], deadline: Deadline | None = None) -> T:
        """The work's result.

        Raises:
            InvalidInputError: no event loop of asyncio runs here.
            ServerError: one of its subclasses; ServerTimeoutError where the work isn't done at the deadline, or within
                `timeout` seconds where there is none.
        """
        loop = loops.running(work)
        limit = asyncio.timeout(self._settings.timeout if deadline is None else deadline.left())
        try:
            with loops.CancelledWith(loop):
                async with limit:
                    until.begin(limit)
                    return await work
        except TimeoutError as error:  # the limit's, ours, or one of the caller's own on_progress
            failure: Exception = self.timed_out() if limit.expired() else error
        # Outside the except clause on purpose: the foreign error's frames hold the key in their locals.
        raise failure

    def close(self) -> None:
        """Close the sync side's connections; the next request opens new ones."""
        self._session.close()

    async def aclose(self) -> None:
        """Close the running event loop's connections and the sync ones. Raises: InvalidInputError: no loop runs."""
        running = loops.running()
        with self._lock:
            loop = self._loops.pop(running, None)
        if loop is not None:
            await loop.close()
        self.close()

    def timed_out(self) -> errors.ServerTimeoutError:
        """The failure of a call that took too long."""
        return timed_out(self._settings)

    def _step(
        self, run: Run[T], reply: Response | errors.ServerError | None = None
    ) -> Request | Pause | Compute | None:
        """The next decision. Every ServerError leaves the client here, without a secret."""
        try:
            return run.step(reply)
        except errors.ServerError as error:
            failure = cleaned(error, self._settings)
        raise failure

    def _until_pause(self, run: Run[T], deadline: Deadline) -> Pause | None:
        asked = self._step(run)
        while not (asked is None or isinstance(asked, Pause)):
            if isinstance(asked, Request):
                asked = self._step(run, self._send(asked, deadline))
            else:
                self._in_threads([asked.do], deadline)  # only a thread can be left behind in time
                asked = self._step(run)
        return self._told(asked)

    async def _auntil_pause(self, run: Run[T]) -> Pause | None:
        asked = self._step(run)
        while not (asked is None or isinstance(asked, Pause)):
            asked = self._step(run, await (self._asend(asked) if isinstance(asked, Request) else in_thread(asked.do)))
        return self._told(asked)

    def _told(self, pause: Pause | None) -> Pause | None:
        """The same; the log says why, and how long, a call waits."""
        if pause is not None and pause.failure is not None:
            level = WARNING if pause.seconds else INFO
            _log.log(level, "%s: trying again in %.1f s", cleaned(pause.failure, self._settings), pause.seconds)
        return pause

    def _send(self, request: Request, deadline: Deadline) -> Response | errors.ServerError:
        slot = self._slots.slot()
        try:
            if not slot.acquire(deadline):
                return self.timed_out()
            with deadline.within(request.seconds) as part:
                return self._exchange(request, part)
        except errors.ServerError as error:
            return error
        except Exception as error:  # a peer can make the libraries raise anything
            # As a value: the foreign error's frames hold the key in their locals, so it must not be a cause.
            return described(error, self._settings, request.path, over=not deadline.left())
        except BaseException as error:  # Ctrl-C
            raise bare(error)  # noqa: B904 - it is the same one
        finally:
            slot.release()

    def _exchange(self, request: Request, deadline: Deadline) -> Response:
        while True:
            bounds = Bounds(request.limit, request.body, deadline=deadline, read_timeout=self._settings.read_timeout)
            with deadline.ending(bounds.end), bounds:
                response = self._once(request, bounds)
            if not bounds.doubted:  # else on another connection
                return response

    def _once(self, request: Request, bounds: Bounds) -> Response:
        settings, left = self._settings, bounds.seconds()
        asked = self._session.ask(
            settings.base_url + request.path,
            request.body,
            headers=until.waits(left),
            timeout=(min(settings.connect_timeout, left), left),
            verify=settings.verify,  # not the session's: REQUESTS_CA_BUNDLE would win over that
        )
        with asked as got:
            body = read(got.raw, most(request.limit, got.status_code))
            return self._answer(request, got.status_code, got.headers, body, bounds)

    async def _asend(self, request: Request) -> Response | errors.ServerError:
        loop = self._loop()
        try:
            async with loop.slots:
                if request.seconds is None:  # the call's own end is enough
                    return await self._aexchange(request, loop)
                async with asyncio.timeout(request.seconds):
                    return await self._aexchange(request, loop)
        except errors.ServerError as error:
            return error
        except errors.Qwen3SGLangError:
            raise
        except Exception as error:  # as in _send; a RuntimeError says that the session was closed meanwhile
            return described(error, self._settings, request.path, over=False)
        except BaseException as error:  # the task was cancelled
            raise bare(error)  # noqa: B904 - it is the same one

    async def _aexchange(self, request: Request, loop: LoopSession) -> Response:
        url, limit = self._settings.base_url + request.path, request.limit
        while True:
            headers = until.waits(until.left(request.seconds))
            with Budget(limit, request.body) as budget:
                asked = loop.prepared.ask(url, request.body, headers=headers, limit=limit)
                status, got, body = await asked
            if not budget.doubted:  # else on another connection
                return self._answer(request, status, got, body, budget)

    def _answer(self, request: Request, status: int, headers: Mapping[str, str], body: bytes, of: Budget) -> Response:
        """What came back; a refusal without the key, which the server, or a proxy, may repeat."""
        self._met = True
        url = self._settings.base_url + request.path
        response = received(url, status, headers, body, limit=request.limit, now=time.time(), fresh=of.fresh)
        if not is_servers(response.body):
            response.proxy = proxy_named(self._settings.base_url)
        if is_success(status):
            return response
        secrets = secrets_of(self._settings)
        said = hide(response.body.decode("latin-1"), secrets).encode("latin-1")
        return replace(response, body=said, location=response.location and hide(response.location, secrets))

    def _loop(self) -> LoopSession:
        running = asyncio.get_running_loop()
        with self._lock:
            loop = self._loops.get(running)
            if loop is None:
                # Not weak keys: a session refers to its loop, so an entry would keep itself alive.
                for closed in [known for known in self._loops if known.is_closed()]:
                    self._loops.pop(closed).abandon()
                loop = self._loops[running] = LoopSession(self._settings)
        return loop
