"""A caller's arguments -> what one call asks, checked. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from msgspec import Struct

from qwen3_sglang.errors import InvalidInputError, QueryError
from qwen3_sglang.ranking import Failure
from qwen3_sglang.scoring.aside import MUCH, counts_of, size_of, size_of_all
from qwen3_sglang.scoring.progress import OnProgress, check_listener
from qwen3_sglang.scoring.queries import Group, prepare_many, read_rows
from qwen3_sglang.settings import Settings


class Asked(Struct, frozen=True):
    """What one call asks.

    Attributes:
        counts: documents per query.
        groups: (tokens that a prompt may have) -> the prompts, as they are sent together.
        collect: whether a document without a score has its error as its outcome; else the error is raised.
        by_query: whether errors say which query they are about.
        on_progress: called with (documents scored, documents to score) after each answered list.
        size: how much there is to do, as `aside` measures it.
        failure: why nothing can be asked; None where it can.
        unescaped: the documents as the caller passed them, where chunks of them have to be found again.
    """

    counts: Sequence[int]
    groups: Callable[[int], Sequence[Group]]
    collect: bool = False
    by_query: bool = False
    on_progress: OnProgress | None = None
    size: int = 0
    failure: Failure | None = None
    unescaped: Sequence[str] = ()


class Reader:
    """Reads the arguments of one client's calls.

    Every method raises InvalidInputError for what can't be asked: a blank query or instruction, anything that isn't
    a string. `collect` is for calls that return results, which have room for an error: that of a blank query too.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._collects = settings.on_error == "passthrough"
        self._moved = settings.chunking is not None and settings.escape_special_tokens  # what is sent, by spaces

    def group(self, query: str, documents: Sequence[str], instruction: str | None) -> Group:
        """The prompts of one query. Raises: see the class."""
        settings, task = self._settings, self._task(instruction)
        head, texts = settings.template.prepare(
            query, documents, task, escape=settings.escape_special_tokens, limit=settings.readable_tokens
        )
        return Group(head, texts, range(len(texts)))

    def to_read(
        self,
        query: str,
        documents: Sequence[str],
        instruction: str | None,
        on_progress: OnProgress | None,
        *,
        collect: bool = False,
    ) -> tuple[Callable[[], Asked], int]:
        """(what reads one query and its documents, their size)."""
        size = size_of_all(query, instruction, documents)
        return partial(self.query, query, documents, instruction, on_progress, size=size, collect=collect), size

    def query(
        self,
        query: str,
        documents: Sequence[str],
        instruction: str | None,
        on_progress: OnProgress | None,
        *,
        size: int | None = None,
        collect: bool = False,
    ) -> Asked:
        """One query and its documents, of that `size` together where it is known. Raises: see the class."""
        check_listener(on_progress)
        if isinstance(documents, str) and not isinstance(query, str):
            raise InvalidInputError("query", query, "the query comes first: pass (query, documents)")
        collect = collect and self._collects
        try:
            group = self.group(query, documents, instruction)
        except QueryError as failure:
            if not collect:
                raise
            return Asked([len(documents)], lambda _: [], collect, failure=failure)
        return Asked(
            [len(group.texts)],
            group.groups,
            collect,
            on_progress=on_progress,
            # Of huge ones only the start is left.
            size=size_of(group.texts) if size is None or size > MUCH else size,
            unescaped=[*documents] if self._moved else (),  # the caller may change it meanwhile
        )

    def pairs(self, pairs: Iterable[tuple[str, str]], instruction: str | None, on_progress: OnProgress | None) -> Asked:
        """(query, document) pairs. Raises: see the class."""
        rows = [(query, [document]) for query, document in read_rows("pairs", pairs, "(query, document)")]
        return self._asked("pairs", rows, instruction, on_progress)

    def queries(
        self,
        queries: Iterable[tuple[str, Sequence[str]]],
        instruction: str | None,
        on_progress: OnProgress | None,
    ) -> Asked:
        """Several (query, its documents). Raises: see the class."""
        rows = read_rows("queries", queries, "(query, its documents)")
        return self._asked("queries", rows, instruction, on_progress, collect=self._collects, by_query=True)

    def _asked(
        self,
        field: str,
        rows: Sequence[tuple[str, Sequence[str]]],
        instruction: str | None,
        on_progress: OnProgress | None,
        *,
        collect: bool = False,
        by_query: bool = False,
    ) -> Asked:
        check_listener(on_progress)
        settings = self._settings
        prompts = prepare_many(
            settings.template,
            rows,
            self._task(instruction),
            escape=settings.escape_special_tokens,
            field=field,
            limit=settings.readable_tokens,
            collect=collect,
        )
        counts = [len(documents) for _, documents in rows]
        unescaped = [document for _, own in rows for document in own] if self._moved else ()
        size = size_of(prompts.documents)
        return Asked(counts, prompts.groups, collect, by_query, on_progress, size=size, unescaped=unescaped)

    def unread(self, queries: object) -> Callable[[Failure], Asked]:
        """(why these couldn't be read in time) -> what is asked, for calls that have room for it as an outcome."""
        return lambda failure: Asked(counts_of(queries), lambda _: [], self._collects, failure=failure)

    def _task(self, instruction: str | None) -> str:
        return self._settings.instruction if instruction is None else instruction
