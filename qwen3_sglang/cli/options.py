"""Options that several commands take. What a connection's options say and default to is the table's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.names import API_KEY_VARIABLE
from qwen3_sglang.settings import OPTIONS

if TYPE_CHECKING:
    from qwen3_sglang.client import RerankClient


def told(name: str) -> str:
    """The first sentences of an option's help, and its default where None stands for one."""
    one = OPTIONS[name]
    shown = "" if one.shown is None else f" Default: {one.shown.replace('`', '')}."
    return one.help.replace("None: ", "default: ") + shown


Url = Annotated[str | None, typer.Option("--url", help=told("base_url"))]
Key = Annotated[
    str | None,
    typer.Option("--api-key", envvar=API_KEY_VARIABLE, show_envvar=True, help="The server's key.", show_default=False),
]
Header = Annotated[
    list[str] | None,
    typer.Option("--header", help="A header of every request, 'Name: value'; again for more.", show_default=False),
]
Model = Annotated[str | None, typer.Option("--model", help=told("model"))]
Timeout = Annotated[float, typer.Option("--timeout", help=told("timeout"))]
Endpoint = Annotated[str, typer.Option("--endpoint", help=told("endpoint"))]
MaxLength = Annotated[int | None, typer.Option("--max-length", help=told("max_length"))]
LongDocuments = Annotated[str, typer.Option("--long-documents", help=told("long_documents"))]
ChunkOverlap = Annotated[int, typer.Option("--chunk-overlap", help=told("chunk_overlap"))]
MaxChunks = Annotated[int, typer.Option("--max-chunks", help=told("max_chunks"))]
Tokenizer = Annotated[str | None, typer.Option("--tokenizer", help=told("tokenizer"))]


def lines(headers: list[str] | None) -> str | None:
    """What --header was given, as `headers=` takes it."""
    return "\n".join(headers) if headers else None


TIMEOUT: Any = OPTIONS["timeout"].default
ENDPOINT: Any = OPTIONS["endpoint"].default
LONG_DOCUMENTS: Any = OPTIONS["long_documents"].default
CHUNK_OVERLAP: Any = OPTIONS["chunk_overlap"].default
MAX_CHUNKS: Any = OPTIONS["max_chunks"].default


def client_of(
    url: str | None,
    header: list[str] | None,
    *,
    long_documents: str,
    chunk_overlap: int,
    max_chunks: int,
    **options: Any,
) -> RerankClient:
    """The client of a command that takes the options of long documents, and others by the client's own names.

    Raises:
        InvalidInputError: --chunk-overlap or --max-chunks without --long-documents chunks, which would be ignored; or
            an option can't be used.
    """
    from qwen3_sglang.client import RerankClient  # not above: some commands of this table make none

    chunks: dict[str, Any] = {"chunk_overlap": chunk_overlap, "max_chunks": max_chunks}
    options |= {"long_documents": long_documents, "headers": lines(header), **chunks}
    client = RerankClient(url, **options)
    for name, default in (("chunk_overlap", CHUNK_OVERLAP), ("max_chunks", MAX_CHUNKS)):
        if long_documents != "chunks" and chunks[name] != default:
            remedy = "pass --long-documents chunks too, or leave it out: documents are cut"
            raise InvalidInputError(name, chunks[name], remedy)
    return client
