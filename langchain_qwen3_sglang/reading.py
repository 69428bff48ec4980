"""What the model reads of LangChain's documents, and what becomes of those that it can't read. No I/O."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.documents import Document
from langchain_core.prompts import BasePromptTemplate, format_document

from langchain_qwen3_sglang.documents import Overrides, RerankInput
from qwen3_sglang import RerankResult
from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.ranking import check_limits, chunk_within, unscored

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Read:
    """One query and its documents, as the model reads them.

    Attributes:
        query: what they are judged against.
        documents: all of them, as they were passed.
        texts: what the model reads of each that can be read.
        places: where each text's document stands.
        failures: place of a document that can't be read -> why.
    """

    query: str
    documents: Sequence[Document]
    texts: list[str]
    places: Sequence[int]
    failures: dict[int, InvalidInputError] = field(default_factory=dict)

    def results(self, found: list[RerankResult], top_n: int | None) -> list[RerankResult]:
        """Results of the texts -> results of the documents: what can't be read has no score, so it comes last."""
        for result in found:
            if result.chunk is not None:
                own = self.documents[self.places[result.index]].page_content
                result.chunk = chunk_within(result.chunk, self.texts[result.index], own)
        if not self.failures:
            return found if top_n is None else found[:top_n]
        for result in found:
            result.index = self.places[result.index]
        scored = [result for result in found if result.error is None]
        others = [result for result in found if result.error is not None]
        others += [unscored(place, error) for place, error in self.failures.items()]
        return [*scored, *sorted(others, key=lambda result: result.index)][:top_n]


@dataclass(frozen=True, slots=True)
class Reading:
    """How a document is read: its page_content alone, by a prompt, or with some of its metadata in front.

    Attributes:
        prompt: formats a document; None: it isn't used.
        keys: metadata in front of the text, one line each; None: none.
        collect: whether a document that can't be read is kept as a failure; else the error is raised.
    """

    prompt: BasePromptTemplate[str] | None = None
    keys: Sequence[str] | None = None
    collect: bool = False

    def check(self) -> None:
        """Refuse settings that can't be meant.

        Raises:
            InvalidInputError: a prompt and keys, a prompt without variables, or a key that is no name.
        """
        if self.prompt is not None and self.keys is not None:
            raise InvalidInputError("metadata_keys", self.keys, "pass document_prompt or metadata_keys, not both")
        if self.prompt is not None and not self.prompt.input_variables:
            remedy = "it reads nothing of a document: use {page_content}, or keys of the documents' metadata"
            raise InvalidInputError("document_prompt", self.prompt, remedy)
        if self.keys is not None and not all(key and not key.isspace() for key in self.keys):
            raise InvalidInputError("metadata_keys", self.keys, "pass names of metadata that aren't blank")

    def read(self, asked: RerankInput, place: int | None = None) -> Read:
        """One input; `place` is its own among several.

        Raises:
            InvalidInputError: a document lacks a key, or can't be formatted, unless such failures are kept.
        """
        query, documents = asked["query"], asked["documents"]
        if self.prompt is None and self.keys is None:  # the usual case
            return Read(query, documents, [one.page_content for one in documents], range(len(documents)))
        texts: dict[int, str] = {}
        failures: dict[int, InvalidInputError] = {}
        for number, document in enumerate(documents):
            try:
                texts[number] = self._text(document, _name(number, place))
            except InvalidInputError as error:
                failures[number] = error
        if failures and not self.collect:
            raise next(iter(failures.values()))
        if failures:
            _log.warning("%d of %d documents have no score: %s", len(failures), len(documents), _first(failures))
        return Read(query, documents, list(texts.values()), list(texts), failures)

    def _text(self, document: Document, name: str) -> str:
        if self.prompt is None:
            keys = self.keys or ()
            _has(document.metadata, keys, name, "metadata_keys")
            lines = "\n".join(f"{key}: {document.metadata[key]}" for key in keys)
            return "\n\n".join(filter(None, (lines, document.page_content)))  # as LlamaIndex puts them together
        wanted = [key for key in self.prompt.input_variables if key != "page_content"]
        _has(document.metadata, wanted, name, "document_prompt")
        try:
            return format_document(document, self.prompt)
        except Exception as error:  # the prompt is the caller's, and so are the values
            remedy = f"document_prompt can't format it: {type(error).__name__}: {error}"
        raise InvalidInputError(name, document, remedy)


def sent_limits(reads: Sequence[Read], limits: Overrides) -> Overrides:
    """The limits that the client is asked with: what can't be read is put in its place before the cut to `top_n`.

    Raises:
        InvalidInputError: a limit can't be met.
    """
    if not any(read.failures for read in reads):
        return limits
    check_limits(limits["top_n"], limits["min_score"])
    return Overrides(**{**limits, "top_n": None})


def _has(metadata: dict[str, Any], keys: Sequence[str], name: str, reader: str) -> None:
    missing = [key for key in keys if key not in metadata]
    if missing:
        named = ", ".join(f'"{key}"' for key in missing)
        remedy = f"{reader} reads {named}, which isn't there: add it to every document, or change {reader}"
        raise InvalidInputError(f"{name}.metadata", sorted(metadata), remedy)


def _name(number: int, place: int | None) -> str:
    return f"documents[{number}]" if place is None else f"inputs[{place}]: documents[{number}]"


def _first(failures: dict[int, InvalidInputError]) -> InvalidInputError:
    return next(iter(failures.values()))
