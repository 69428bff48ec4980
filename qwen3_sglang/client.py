"""RerankClient: what callers see. It checks what they pass; what it holds does the rest."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from qwen3_sglang.held import Held
from qwen3_sglang.options.headers import read_headers
from qwen3_sglang.options.keywords import class_with_known_keywords
from qwen3_sglang.prompts.template import QWEN3, Prompt, Template
from qwen3_sglang.protocol.retry import DEFAULT_BACKOFF, Backoff
from qwen3_sglang.ranking import RerankResult, check_limits, p_yes, rank_own
from qwen3_sglang.scoring.aside import size_of_all, size_of_rows
from qwen3_sglang.scoring.progress import OnProgress
from qwen3_sglang.scoring.queries import rank_by_query
from qwen3_sglang.secret import SecretLike, SecretStr
from qwen3_sglang.settings import OPTIONS, LongDocuments, OnError, make_settings


# The signature and "Args" follow from the table of options: `python tests/write_options.py` writes them.
@class_with_known_keywords
class RerankClient(Held):
    """Scores documents for a query by a Qwen3-Reranker behind SGLang.

    One client is meant to be kept: it pools its connections. It may be used from several threads, from several
    event loops, and in a process that is forked after it was made; making one does no I/O.

    Args:
        base_url: Address of the server, without /v1. None: QWEN3_SGLANG_BASE_URL, then http://127.0.0.1:30000.
        api_key: The server's --api-key. Never shown in reprs, dumps, pickles or tracebacks. None:
            QWEN3_SGLANG_API_KEY, then none.
        api_key_header: Header that carries the key as it is, such as x-api-key; None: Authorization, as a bearer
            token.
        headers: Further headers of every request, for a gateway: a mapping, or lines of Name: value. The values are
            shown no more than the key. None: QWEN3_SGLANG_HEADERS, then none.
        model: Name of the served model; None: asked from the server.
        instruction: The task, in the model's template; None: the template's own, Qwen's for web search. English works
            best.
        batch_size: Prompts per request; None: 32, or 100 where the server makes one sequence of a list (multi-item
            scoring).
        max_concurrency: Requests in flight at once, for one client (per event loop when async).
        timeout: Seconds that one call may take in all, every retry included.
        connect_timeout: Seconds to get a connection, and to send a request over a new one.
        read_timeout: Seconds that a server may be silent before the request is sent again; None: what is left of
            timeout. Set it if a machine can vanish without closing its connections.
        max_retries: How often to send a request again after a dropped connection, a timeout, or status 408, 429, 500,
            502, 503 or 504; None: until timeout ends. A server that never answered this client is tried at most 3
            times, a 500 at most 5 times.
        on_error: "raise", or "passthrough": documents that the server didn't score are returned in the order given,
            marked by an error, with one warning logged. So are those of a blank or over-long query. Any other
            InvalidInputError always raises, and so do all errors in score and score_pairs.
        backoff: How long to wait before a retry.
        max_length: Tokens per prompt, template included; None: the template's limit (8192), or the server's if that is
            lower. See long_documents for what is longer.
        long_documents: What becomes of a document that doesn't fit into max_length. "truncate": it loses its tail, and
            its result says truncated. "chunks": it is scored in overlapping chunks of max_length, each a prompt of its
            own, and has the score of the best, which its result names.
        chunk_overlap: Tokens that a chunk shares with the one before it, at most half of what fits. An answer that is
            no longer than that stands whole in one of them.
        max_chunks: Chunks per document at most, counted from its start. What follows them isn't read, and the result
            says truncated.
        tokenizer: Folder of the served model, or its tokenizer.json, for cutting long documents (extra tokenizer);
            None: the server is asked. Set it behind a gateway.
        escape_special_tokens: Put a space after the "<" of special tokens such as "<|im_end|>" inside query,
            instruction and documents, so that no text can leave its place in the template.
        endpoint: How documents are scored: auto (the server is asked once which way it runs); v1/classify (SGLang, the
            only one that its gateway routes); v1/score (SGLang, sends and tokenises the query once per list);
            v1/score-labels (SGLang with the original checkpoint, no conversion needed); v1/score-multi-item (SGLang
            with --enable-mis, a list is one sequence); v1/score-labels-multi-item (the same with the original
            checkpoint); classify (vLLM).
        cache_size: Number of scores to remember, by model, instruction, query and document; 0 remembers none.
        verify: True checks TLS certificates by requests' CA bundle, or the one that REQUESTS_CA_BUNDLE names; a path
            names a bundle (file or folder); False checks none.
        template: The served model's prompt, if that isn't Qwen3's: a qwen3_sglang.prompts.template.Template.

    Raises:
        InvalidInputError: an argument can't be used; UnknownOptionError, one of its subclasses: it has an unknown name.
            So do all methods.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | SecretLike | None = None,
        api_key_header: str | None = None,
        headers: Mapping[str, str | SecretLike] | str | None = None,
        model: str | None = None,
        instruction: str | None = None,
        batch_size: int | None = None,
        max_concurrency: int = 32,
        timeout: float = 60.0,
        connect_timeout: float = 10.0,
        read_timeout: float | None = None,
        max_retries: int | None = None,
        on_error: OnError = "raise",
        backoff: Backoff = DEFAULT_BACKOFF,
        max_length: int | None = None,
        long_documents: LongDocuments = "truncate",
        chunk_overlap: int = 128,
        max_chunks: int = 32,
        tokenizer: str | os.PathLike[str] | None = None,
        escape_special_tokens: bool = True,
        endpoint: str = "auto",
        cache_size: int = 0,
        verify: bool | str | os.PathLike[str] = True,
        template: Template = QWEN3,
    ) -> None:
        # Wrapped first: should an argument be refused, a traceback with locals shows this frame.
        api_key = SecretStr(api_key) if isinstance(api_key, str) else api_key
        headers = read_headers(headers)
        super().__init__(make_settings(**{name: value for name, value in locals().items() if name in OPTIONS}))

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
        return self._scorer.score(
            *self._reading.read(*self._reader.to_read(query, documents, instruction, on_progress)), p_yes
        )

    async def ascore(
        self,
        query: str,
        documents: Sequence[str],
        *,
        instruction: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[float]:
        """`score`, without blocking the event loop. Raises: as `score`."""
        return await self._scorer.ascore(
            *await self._reading.aread(*self._reader.to_read(query, documents, instruction, on_progress)), p_yes
        )

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
        read, size = self._reader.to_read(query, documents, instruction, on_progress, collect=True)
        late, ranked = self._reader.unread([(query, documents)]), partial(rank_own, top_n=top_n, min_score=min_score)
        return self._scorer.score(*self._reading.read(read, size, late), ranked)

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
        """`rerank`, without blocking the event loop. Raises: as `rerank`."""
        check_limits(top_n, min_score)
        read, size = self._reader.to_read(query, documents, instruction, on_progress, collect=True)
        late, ranked = self._reader.unread([(query, documents)]), partial(rank_own, top_n=top_n, min_score=min_score)
        return await self._scorer.ascore(*await self._reading.aread(read, size, late), ranked)

    def score_pairs(
        self,
        pairs: Iterable[tuple[str, str]],
        *,
        instruction: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[float]:
        """P(yes) of each (query, document), in the pairs' order; a pair that occurs twice is sent once.

        `on_progress` is called as by `score`, with pairs.

        Raises:
            InvalidInputError: a blank query, or anything that isn't a string; before any request.
            ServerError: one of its subclasses; see `qwen3_sglang.errors`.
        """
        read = partial(self._reader.pairs, pairs, instruction, on_progress)
        return self._scorer.score(*self._reading.read(read, size_of_rows(pairs)), p_yes)

    async def ascore_pairs(
        self,
        pairs: Iterable[tuple[str, str]],
        *,
        instruction: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[float]:
        """`score_pairs`, without blocking the event loop. Raises: as `score_pairs`."""
        read = partial(self._reader.pairs, pairs, instruction, on_progress)
        return await self._scorer.ascore(*await self._reading.aread(read, size_of_rows(pairs)), p_yes)

    def rerank_many(
        self,
        queries: Iterable[tuple[str, Sequence[str]]],
        top_n: int | None = None,
        min_score: float | None = None,
        *,
        instruction: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[list[RerankResult]]:
        """`rerank` for each (query, its documents), in the queries' order; limits hold for each query.

        Documents of several queries share the lists that are sent. A query so long that one of its prompts may not
        fit is sent in lists of its own. `on_progress` is called as by `score`, with the documents of all queries.

        Raises:
            InvalidInputError: as `rerank`; the message says which query.
            ServerError: one of its subclasses; a DocumentError says which query's document it is. See
                `qwen3_sglang.errors`.
        """
        check_limits(top_n, min_score)
        read = partial(self._reader.queries, queries, instruction, on_progress)
        late = self._reader.unread(queries)
        asked, deadline = self._reading.read(read, size_of_rows(queries), late)
        ranked = partial(rank_by_query, counts=asked.counts, top_n=top_n, min_score=min_score)
        return self._scorer.score(asked, deadline, ranked)

    async def arerank_many(
        self,
        queries: Iterable[tuple[str, Sequence[str]]],
        top_n: int | None = None,
        min_score: float | None = None,
        *,
        instruction: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[list[RerankResult]]:
        """`rerank_many`, without blocking the event loop. Raises: as `rerank_many`."""
        check_limits(top_n, min_score)
        read = partial(self._reader.queries, queries, instruction, on_progress)
        late = self._reader.unread(queries)
        asked, deadline = await self._reading.aread(read, size_of_rows(queries), late)
        ranked = partial(rank_by_query, counts=asked.counts, top_n=top_n, min_score=min_score)
        return await self._scorer.ascore(asked, deadline, ranked)

    def prompts(self, query: str, documents: Sequence[str], *, instruction: str | None = None) -> list[Prompt]:
        """What the model reads for each document: escaped, cut and counted as `score` sends it.

        Of a document that is scored in chunks, it is the first one, and `truncated`.
        It asks the server to count the tokens where no `tokenizer` is given; behind a gateway, `tokens` is None.

        Raises:
            InvalidInputError: as `score`.
            ServerError: one of its subclasses; see `qwen3_sglang.errors`.
        """
        read = partial(self._reader.group, query, documents, instruction)
        group, deadline = self._reading.read(read, size_of_all(query, instruction, documents))
        return self._scorer.run(self._scorer.prompts(group, deadline), deadline)

    async def aprompts(self, query: str, documents: Sequence[str], *, instruction: str | None = None) -> list[Prompt]:
        """`prompts`, without blocking the event loop. Raises: as `prompts`."""
        size = size_of_all(query, instruction, documents)
        group, deadline = await self._reading.aread(partial(self._reader.group, query, documents, instruction), size)
        return await self._scorer.arun(self._scorer.prompts(group, deadline), size, deadline)
