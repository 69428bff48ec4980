"""RerankClient: what callers see. What is asked is decided in `protocol`, and carried by `transport`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from typing import Any

from qwen3_sglang import errors
from qwen3_sglang.prompts.template import QWEN3, Prompt, Template
from qwen3_sglang.protocol.endpoints import DEFAULT_ENDPOINT
from qwen3_sglang.protocol.retry import DEFAULT_BACKOFF, Backoff
from qwen3_sglang.ranking import Outcome, RerankResult, check_limits, p_yes, rank
from qwen3_sglang.scoring.progress import OnProgress, check_listener
from qwen3_sglang.scoring.queries import Group
from qwen3_sglang.secret import SecretLike, SecretStr
from qwen3_sglang.settings import OnError, make_settings
from qwen3_sglang.several import SeveralQueries
from qwen3_sglang.transport.deadline import Deadline


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
        endpoint: how documents are scored: the name of a row of `qwen3_sglang.protocol.endpoints.ENDPOINTS`.
        cache_size: scores to remember, by model, instruction, query and document; 0 remembers none.
        template: the served model's prompt, where that isn't Qwen3's: a `qwen3_sglang.prompts.template.Template`.
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
        max_concurrency: int = 32,
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
        template: Template = QWEN3,
    ) -> None:
        # Wrapped first: should an argument be refused, a traceback with locals shows this frame.
        api_key = SecretStr(api_key) if isinstance(api_key, str) else api_key
        settings = make_settings(
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
            template=template,
        )
        super().__init__(settings)

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
        return p_yes(self._scores(query, documents, instruction, on_progress=on_progress))

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
            return self._pass_through([len(documents)], top_n, failure)[0]
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
        return p_yes(await self._ascores(query, documents, instruction, on_progress=on_progress))

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
            return self._pass_through([len(documents)], top_n, failure)[0]
        return rank(outcomes, top_n, min_score)

    def prompts(self, query: str, documents: Sequence[str], *, instruction: str | None = None) -> list[Prompt]:
        """What the model reads for each document: escaped, cut and counted as `score` sends it.

        It asks the server to count the tokens where no `tokenizer` is given; behind a gateway, `tokens` is None.

        Raises:
            InvalidInputError: as `score`.
            ServerError: one of its subclasses; see `qwen3_sglang.errors`.
        """
        return self._describe(self._group(query, documents, instruction), Deadline(self.settings.timeout))

    async def aprompts(self, query: str, documents: Sequence[str], *, instruction: str | None = None) -> list[Prompt]:
        """`prompts`, without blocking the event loop."""
        group = self._group(query, documents, instruction)
        return await self._within(self._adescribe(group, Deadline(self.settings.timeout)))

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
        check_listener(on_progress)
        group, deadline = self._group(query, documents, instruction), Deadline(self.settings.timeout)
        return self._score(group, deadline, collect=collect, on_progress=on_progress)

    async def _ascores(
        self,
        query: str,
        documents: Sequence[str],
        instruction: str | None,
        *,
        collect: bool = False,
        on_progress: OnProgress | None = None,
    ) -> list[Outcome]:
        check_listener(on_progress)
        group, deadline = self._group(query, documents, instruction), Deadline(self.settings.timeout)
        return await self._within(self._ascore(group, deadline, collect=collect, on_progress=on_progress))

    def _group(self, query: str, documents: Sequence[str], instruction: str | None) -> Group:
        task = self.settings.instruction if instruction is None else instruction
        escape = self.settings.escape_special_tokens
        head, texts = self.settings.template.prepare(query, documents, task, escape=escape)
        return Group(head, texts, range(len(texts)))
