"""RerankClient: what is asked is decided in `protocol`, and carried by `transport`, sync and async."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any, TypeVar

from qwen3_sglang import batching, errors, protocol
from qwen3_sglang.cache import ScoreCache
from qwen3_sglang.deadline import Deadline
from qwen3_sglang.endpoints import DEFAULT_ENDPOINT
from qwen3_sglang.exchange import Steps
from qwen3_sglang.forks import restart_in_child
from qwen3_sglang.progress import OnProgress, Progress
from qwen3_sglang.prompt import Prompt, prepare
from qwen3_sglang.protocol import Call, Served
from qwen3_sglang.ranking import Outcome, RerankResult, Score, check_limits, rank, unscored
from qwen3_sglang.retry import DEFAULT_BACKOFF, Backoff
from qwen3_sglang.secret import SecretLike, SecretStr
from qwen3_sglang.settings import OnError, Settings, make_settings
from qwen3_sglang.several import SeveralQueries
from qwen3_sglang.tokenizer import LocalTokenizer, load_tokenizer
from qwen3_sglang.transport import Transport
from qwen3_sglang.truncate import MAX_LENGTH

T = TypeVar("T")
_log = logging.getLogger(__name__)


class RerankClient(SeveralQueries):
    """Scores documents for a query by a converted Qwen3-Reranker behind SGLang's `/v1/classify`.

    One client is meant to be kept: it pools its connections. It may be used from several threads, from several
    event loops, and in a process that is forked after it was made; making one does no I/O.

    Args:
        base_url: SGLang's address; None: `QWEN3_SGLANG_BASE_URL`, then http://127.0.0.1:30000.
        api_key: the server's `--api-key`; None: `QWEN3_SGLANG_API_KEY`, then no key.
        model: the served model's name; None asks the server at first use.
        instruction: the task in Qwen3's template; None: Qwen's own for web search. English works best.
        batch_size: prompts a request.
        max_concurrency: requests in flight at once.
        timeout: seconds that one call may take in all; no retry outlives it.
        connect_timeout: seconds to get a connection, and to send a request over a new one.
        read_timeout: seconds that a server may be silent while it is asked, before the request is sent again; None:
            what is left of `timeout`. Set it where a machine can vanish without closing its connections.
        max_retries: how often a request is sent again that met a dropped connection, a timeout, or status 408, 429,
            500, 502, 503 or 504; None: while `timeout` lasts, so that a server may restart meanwhile. A server
            that never answered this client is tried at most 3 times, a 500 at most 5 times.
        on_error: "raise", or "passthrough": `rerank` and `arerank` give the documents that the server didn't score
            back in the order given, marked by `RerankResult.error`, with one warning logged. That goes for every
            ServerError, a wrong key included; InvalidInputError always raises, and so do `score` and `ascore`.
        backoff: how long to wait before a retry.
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
        verify: True checks TLS certificates by requests' own CA bundle, or by what REQUESTS_CA_BUNDLE names; a path
            by that bundle; False checks none.

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
        batch_size: int = 32,
        max_concurrency: int = 16,
        timeout: float = 60.0,
        connect_timeout: float = 10.0,
        read_timeout: float | None = None,
        max_retries: int | None = None,
        on_error: OnError = "raise",
        backoff: Backoff = DEFAULT_BACKOFF,
        max_length: int | None = None,
        tokenizer: str | os.PathLike[str] | None = None,
        escape_special_tokens: bool = True,
        endpoint: str = DEFAULT_ENDPOINT,
        cache_size: int = 0,
        verify: bool | str | os.PathLike[str] = True,
    ) -> None:
        # Wrapped first: should an argument be refused, a traceback with locals shows this frame.
        api_key = SecretStr(api_key) if isinstance(api_key, str) else api_key
        self.settings: Settings = make_settings(
            base_url,
            api_key=api_key,
            model=model,
            instruction=instruction,
            batch_size=batch_size,
            max_concurrency=max_concurrency,
            timeout=timeout,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            max_retries=max_retries,
            on_error=on_error,
            backoff=backoff,
            max_length=max_length,
            tokenizer=tokenizer,
            escape_special_tokens=escape_special_tokens,
            endpoint=endpoint,
            cache_size=cache_size,
            verify=verify,
        )
        self._empty_cache()
        self._served = _told(self.settings)
        self._tokenizer: LocalTokenizer | None = None
        self._transport = Transport(self.settings)
        restart_in_child(self._empty_cache)  # its lock may have been held by another thread when the process forked

    def _empty_cache(self) -> None:
        self._cache = ScoreCache(self.settings.cache_size) if self.settings.cache_size else None

    def __repr__(self) -> str:
        # Half made it is shown too, by tracebacks with locals.
        return f"RerankClient({self.settings.base_url!r})" if hasattr(self, "settings") else "RerankClient()"

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
        return _p_yes(self._scores(query, documents, instruction, on_progress=on_progress))

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
            ServerError: one of its subclasses, with `on_error="raise"`; see `qwen3_sglang.errors`.
        """
        check_limits(top_n, min_score)
        collect = self.settings.on_error == "passthrough"
        try:
            outcomes = self._scores(query, documents, instruction, collect=collect, on_progress=on_progress)
        except errors.ServerError as failure:
            return self._pass_through(len(documents), top_n, failure)
        return rank(outcomes, top_n, min_score)

    def model(self) -> str:
        """The served model's name: the one given, or what the server answers.

        Raises:
            ServerError: one of its subclasses; see `qwen3_sglang.errors`.
        """
        return self.settings.model or self._known(Deadline(self.settings.timeout)).model

    @property
    def known_model(self) -> str | None:
        """`model()` as far as it is known without asking."""
        return self.settings.model or (None if self._served is None else self._served.model)

    async def ascore(
        self,
        query: str,
        documents: Sequence[str],
        *,
        instruction: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[float]:
        """`score`, without blocking the event loop."""
        return _p_yes(await self._ascores(query, documents, instruction, on_progress=on_progress))

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
        collect = self.settings.on_error == "passthrough"
        try:
            outcomes = await self._ascores(query, documents, instruction, collect=collect, on_progress=on_progress)
        except errors.ServerError as failure:
            return self._pass_through(len(documents), top_n, failure)
        return rank(outcomes, top_n, min_score)

    def prompts(self, query: str, documents: Sequence[str], *, instruction: str | None = None) -> list[Prompt]:
        """What the model reads for each document: escaped, cut and counted as `score` sends it.

        It asks the server to count the tokens where no `tokenizer` is given; behind a gateway, `tokens` is None.

        Raises:
            InvalidInputError: as `score`.
            ServerError: one of its subclasses; see `qwen3_sglang.errors`.
        """
        head, texts = self._texts(query, documents, instruction)
        if not texts:
            return []
        deadline = Deadline(self.settings.timeout)
        call = self._call(head, self._known(deadline), deadline)
        plan: batching.Batches[Prompt] = batching.split(texts, self.settings.batch_size)
        steps = [protocol.describe_prompts(call, part) for part in plan.lists]
        return plan.restore(self._transport.drive_all(steps, deadline))

    async def aprompts(self, query: str, documents: Sequence[str], *, instruction: str | None = None) -> list[Prompt]:
        """`prompts`, without blocking the event loop."""
        head, texts = self._texts(query, documents, instruction)
        return await self._transport.within(self._aprompts_now(head, texts)) if texts else []

    def close(self) -> None:
        """Close the sync side's connections; a later call opens new ones."""
        self._transport.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop, and the sync side's."""
        await self._transport.aclose()

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
        self,
        query: str,
        documents: Sequence[str],
        instruction: str | None,
        *,
        collect: bool = False,
        on_progress: OnProgress | None = None,
    ) -> list[Outcome]:
        head, texts = self._texts(query, documents, instruction)
        return self._score_texts(head, texts, collect=collect, on_progress=on_progress)

    async def _ascores(
        self,
        query: str,
        documents: Sequence[str],
        instruction: str | None,
        *,
        collect: bool = False,
        on_progress: OnProgress | None = None,
    ) -> list[Outcome]:
        head, texts = self._texts(query, documents, instruction)
        return await self._ascore_texts(head, texts, collect=collect, on_progress=on_progress)

    def _limit(self) -> int:
        return self._max_length(self._known(Deadline(self.settings.timeout)))

    async def _alimit(self) -> int:
        return self._max_length(await self._transport.within(self._aknown(Deadline(self.settings.timeout))))

    def _score_texts(
        self, head: str, texts: list[str], *, collect: bool = False, on_progress: OnProgress | None = None
    ) -> list[Outcome]:
        if not texts:
            return []
        deadline = Deadline(self.settings.timeout)
        try:
            call = self._call(head, self._known(deadline), deadline, collect=collect)
            plan = self._plan(call, texts)
            parts = self._transport.drive_all(_steps(call, plan, on_progress), deadline)
        except errors.ModelNotFoundError:
            self._served = _told(self.settings)  # the server may have come back with another one
            raise
        return self._finish(call, plan, parts)

    async def _ascore_texts(
        self, head: str, texts: list[str], *, collect: bool = False, on_progress: OnProgress | None = None
    ) -> list[Outcome]:
        if not texts:
            return []
        try:
            return await self._transport.within(self._ascore_now(head, texts, collect, on_progress))
        except errors.ModelNotFoundError:
            self._served = _told(self.settings)
            raise

    async def _ascore_now(
        self, head: str, texts: list[str], collect: bool, on_progress: OnProgress | None
    ) -> list[Outcome]:
        deadline = Deadline(self.settings.timeout)
        call = self._call(head, await self._aknown(deadline), deadline, collect=collect)
        plan = self._plan(call, texts)
        return self._finish(call, plan, await self._adrive_all(_steps(call, plan, on_progress)))

    async def _aprompts_now(self, head: str, texts: list[str]) -> list[Prompt]:
        deadline = Deadline(self.settings.timeout)
        call = self._call(head, await self._aknown(deadline), deadline)
        plan: batching.Batches[Prompt] = batching.split(texts, self.settings.batch_size)
        return plan.restore(await self._adrive_all([protocol.describe_prompts(call, part) for part in plan.lists]))

    async def _adrive_all(self, several: list[Steps[list[T]]]) -> list[list[T]]:
        # A tokenizer on this machine works inside the first step: not on the event loop.
        return await self._transport.adrive_all(several, blocking_start=self._tokenizer is not None)

    def _known(self, deadline: Deadline) -> Served:
        if self._served is None:
            patience = self._transport.patience(deadline)
            self._served = self._transport.drive(protocol.ask_served(patience), deadline)
        return self._served

    async def _aknown(self, deadline: Deadline) -> Served:
        if self._served is None:
            self._served = await self._transport.adrive(protocol.ask_served(self._transport.patience(deadline)))
        return self._served

    def _pass_through(self, count: int, top_n: int | None, failure: errors.ServerError) -> list[RerankResult]:
        if self.settings.on_error == "raise":
            raise failure
        _log.warning("%d documents passed through unscored: %s", count, failure)
        return [unscored(index, failure) for index in range(count)][:top_n]

    def _texts(self, query: str, documents: Sequence[str], instruction: str | None) -> tuple[str, list[str]]:
        task = self.settings.instruction if instruction is None else instruction
        return prepare(query, documents, task, escape=self.settings.escape_special_tokens)

    def _plan(self, call: Call, texts: list[str]) -> batching.Batches[Outcome]:
        known: Mapping[str, Outcome] = {} if self._cache is None else self._cache.find(call.model, call.head, texts)
        return batching.split(texts, self.settings.batch_size, known)

    def _finish(self, call: Call, plan: batching.Batches[Outcome], parts: list[list[Outcome]]) -> list[Outcome]:
        if self._cache is not None:
            for documents, outcomes in zip(plan.lists, parts, strict=True):
                self._cache.add(call.model, call.head, documents, outcomes)
        outcomes = plan.restore(parts)
        cut = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, Score) and outcome.truncated]
        if cut:
            _log.info(
                "%d of %d documents were cut to %d tokens: %s", len(cut), len(outcomes), call.max_length, _some(cut)
            )
        guilty = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, errors.DocumentError)]
        if guilty:
            said = outcomes[guilty[0]]
            _log.warning("%d of %d documents have no score: %s: %s", len(guilty), len(outcomes), _some(guilty), said)
        return outcomes

    def _max_length(self, served: Served) -> int:
        wanted = self.settings.max_length or MAX_LENGTH
        return wanted if served.max_length is None else min(wanted, served.max_length)

    def _call(self, head: str, served: Served, deadline: Deadline, *, collect: bool = False) -> Call:
        if self._tokenizer is None and self.settings.tokenizer is not None:
            self._tokenizer = load_tokenizer(self.settings.tokenizer)
        model, patience = self.settings.model or served.model, self._transport.patience(deadline)
        return Call(model, head, self._max_length(served), patience, self._tokenizer, self.settings.endpoint, collect)


def _steps(call: Call, plan: batching.Batches[Outcome], on_progress: OnProgress | None) -> list[Steps[list[Outcome]]]:
    """One generator a list; their ends are told where somebody listens."""
    steps = [protocol.score_documents(call, part, partial(plan.where, part)) for part in plan.lists]
    if on_progress is None:
        return steps
    progress = Progress(on_progress, sum(map(len, plan.lists)))
    return [progress.watch(step) for step in steps]


def _some(indices: list[int], most: int = 10) -> str:
    return ", ".join(map(str, indices[:most])) + (", …" if len(indices) > most else "")


def _p_yes(outcomes: Sequence[Outcome]) -> list[float]:
    return [outcome.p_yes for outcome in outcomes if isinstance(outcome, Score)]


def _told(settings: Settings) -> Served | None:
    """What the server needn't be asked, where the user has said both."""
    if settings.model is None or settings.max_length is None:
        return None
    return Served(settings.model)
