"""The table of options: what a connection is made of, each with its default, its bounds and what it does.

`RerankClient`'s signature, the adapters' fields and docs/options.md are written from it by
`python tests/write_options.py`; the command's options take their help and defaults from it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.names import API_KEY_VARIABLE, BASE_URL_VARIABLE, HEADERS_VARIABLE
from qwen3_sglang.options import headers as headers_
from qwen3_sglang.options import option as bounds
from qwen3_sglang.options.headers import Headers
from qwen3_sglang.options.option import DEFAULT_BASE_URL, Option, option, optional
from qwen3_sglang.prompts.chunks import Chunking
from qwen3_sglang.prompts.template import QWEN3, Template
from qwen3_sglang.protocol.endpoints import AUTO, ENDPOINT_HELP, ENDPOINTS
from qwen3_sglang.protocol.retry import DEFAULT_BACKOFF, Backoff
from qwen3_sglang.secret import SecretStr

BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
OnError = Literal["raise", "passthrough"]
LongDocuments = Literal["truncate", "chunks"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a call needs to know, checked once.

    Raises:
        InvalidInputError: a value can't be used; the message names it and says what to pass.
    """

    base_url: str = field(
        metadata=option(
            None,
            "Address of the server, without /v1.",
            bounds.url,
            bounds.read_url,
            takes="str | None",
            variable=BASE_URL_VARIABLE,
            shown=f"`{BASE_URL_VARIABLE}`, then `{DEFAULT_BASE_URL}`",
        )
    )
    api_key: SecretStr | None = field(
        metadata=option(
            None,
            "The server's --api-key. Never shown in reprs, dumps, pickles or tracebacks.",
            optional(bounds.secret),
            bounds.read_secret,
            takes="str | SecretLike | None",
            variable=API_KEY_VARIABLE,
            shown=f"`{API_KEY_VARIABLE}`, then none",
        )
    )
    api_key_header: str | None = field(
        metadata=option(
            None,
            "Header that carries the key as it is, such as x-api-key; None: Authorization, as a bearer token.",
            optional(headers_.check_name),
        )
    )
    headers: Headers | None = field(
        metadata=option(
            None,
            "Further headers of every request, for a gateway: a mapping, or lines of Name: value. The values are "
            "shown no more than the key.",
            optional(headers_.check_headers),
            headers_.read_headers,
            takes="Mapping[str, str | SecretLike] | str | None",
            variable=HEADERS_VARIABLE,
            shown=f"`{HEADERS_VARIABLE}`, then none",
        )
    )
    model: str | None = field(
        metadata=option(None, "Name of the served model; None: asked from the server.", optional(bounds.sent_name))
    )
    instruction: str = field(
        metadata=option(
            None,
            "The task, in the model's template; None: the template's own, Qwen's for web search. English works best.",
            bounds.text,
            takes="str | None",
            per_call=True,
        )
    )
    batch_size: int | None = field(
        metadata=option(
            None,
            "Prompts per request; None: 32, or 100 where the server makes one sequence of a list (multi-item scoring).",
            optional(bounds.at_least(1)),
        )
    )
    max_concurrency: int = field(
        metadata=option(
            32, "Requests in flight at once, for one client (per event loop when async).", bounds.at_least(1)
        )
    )
    timeout: float = field(
        metadata=option(60.0, "Seconds that one call may take in all, every retry included.", bounds.seconds)
    )
    connect_timeout: float = field(
        metadata=option(10.0, "Seconds to get a connection, and to send a request over a new one.", bounds.seconds)
    )
    read_timeout: float | None = field(
        metadata=option(
            None,
            "Seconds that a server may be silent before the request is sent again; None: what is left of timeout. "
            "Set it if a machine can vanish without closing its connections.",
            optional(bounds.seconds),
        )
    )
    max_retries: int | None = field(
        metadata=option(
            None,
            "How often to send a request again after a dropped connection, a timeout, or status 408, 429, 500, 502, "
            "503 or 504; None: until timeout ends. A server that never answered this client is tried at most 3 "
            "times, a 500 at most 5 times.",
            optional(bounds.at_least(0)),
        )
    )
    on_error: OnError = field(
        metadata=option(
            "raise",
            '"raise", or "passthrough": documents that the server didn\'t score are returned in the order given, '
            "marked by an error, with one warning logged. So are those of a blank or over-long query. Any other "
            "InvalidInputError always raises, and so do all errors in score and score_pairs.",
            bounds.one_of(*get_args(OnError)),
        )
    )
    backoff: Backoff = field(
        metadata=option(DEFAULT_BACKOFF, "How long to wait before a retry.", bounds.backoff, adapters=False)
    )
    max_length: int | None = field(
        metadata=option(
            None,
            "Tokens per prompt, template included; None: the template's limit (8192), or the server's if that is "
            "lower. See long_documents for what is longer.",
            optional(bounds.at_least(1)),
        )
    )
    long_documents: LongDocuments = field(
        metadata=option(
            "truncate",
            "What becomes of a document that doesn't fit into max_length. "
            '"truncate": it loses its tail, and its result says truncated. '
            '"chunks": it is scored in overlapping chunks of max_length, each a prompt of its own, and has the score '
            "of the best, which its result names.",
            bounds.one_of(*get_args(LongDocuments)),
        )
    )
    chunk_overlap: int = field(
        metadata=option(
            Chunking.overlap,
            "Tokens that a chunk shares with the one before it, at most half of what fits. An answer that is no longer "
            "than that stands whole in one of them.",
            bounds.at_least(0),
        )
    )
    max_chunks: int = field(
        metadata=option(
            Chunking.most,
            "Chunks per document at most, counted from its start. What follows them isn't read, and the result says "
            "truncated.",
            bounds.at_least(1),
        )
    )
    tokenizer: str | None = field(
        metadata=option(
            None,
            "Folder of the served model, or its tokenizer.json, for cutting long documents (extra tokenizer); None: "
            "the server is asked. Set it behind a gateway.",
            optional(bounds.path),
            bounds.read_path,
            takes="str | os.PathLike[str] | None",
        )
    )
    escape_special_tokens: bool = field(
        metadata=option(
            True,
            'Put a space after the "<" of special tokens such as "<|im_end|>" inside query, instruction and documents, '
            "so that no text can leave its place in the template.",
            bounds.switch,
        )
    )
    endpoint: str = field(
        metadata=option(
            AUTO,
            f"How documents are scored: {ENDPOINT_HELP}.",
            bounds.one_of(AUTO, *ENDPOINTS),
        )
    )
    cache_size: int = field(
        metadata=option(
            0,
            "Number of scores to remember, by model, instruction, query and document; 0 remembers none.",
            bounds.at_least(0),
        )
    )
    verify: bool | str = field(
        metadata=option(
            True,
            "True checks TLS certificates by requests' CA bundle, or the one that REQUESTS_CA_BUNDLE names; a path "
            "names a bundle (file or folder); False checks none.",
            bounds.bundle,
            bounds.read_path,
            takes="bool | str | os.PathLike[str]",
        )
    )
    template: Template = field(
        metadata=option(
            QWEN3,
            "The served model's prompt, if that isn't Qwen3's: a qwen3_sglang.prompts.template.Template.",
            bounds.template,
            shown="`QWEN3`",
            adapters=False,
        )
    )

    def __post_init__(self) -> None:
        for name, one in OPTIONS.items():
            one.check(name, getattr(self, name))
        headers_.check_together(self.headers, self.api_key_header, keyed=self.api_key is not None)
        if self.long_documents == "chunks" and self.chunk_overlap >= self._limit:
            remedy = f"pass fewer than the {self._limit} tokens of max_length: no chunk holds so many"
            raise InvalidInputError("chunk_overlap", self.chunk_overlap, remedy)

    @property
    def chunking(self) -> Chunking | None:
        """How long documents are divided; None where they are cut."""
        return Chunking(self.chunk_overlap, self.max_chunks) if self.long_documents == "chunks" else None

    @property
    def readable_tokens(self) -> int:
        """Tokens of one text that can count, in all its prompts together."""
        return self._limit * (self.max_chunks if self.long_documents == "chunks" else 1)

    @property
    def _limit(self) -> int:
        return self.max_length or self.template.max_length


OPTIONS: dict[str, Option] = {one.name: one.metadata["option"] for one in fields(Settings)}


def make_settings(base_url: str | None = None, *, environ: Mapping[str, str] | None = None, **options: Any) -> Settings:
    """Settings from a client's arguments; what is None comes from the environment, then from the defaults.

    Raises:
        InvalidInputError: a value can't be used; the message names it and says what to pass.
    """
    given = {name: one.default for name, one in OPTIONS.items()} | options | {"base_url": base_url}
    for name, one in OPTIONS.items():
        given[name] = one.read(_given(given[name], one.variable, environ))
    bounds.template("template", given["template"])  # before anything is taken from it
    if given["instruction"] is None:
        given["instruction"] = given["template"].instruction
    return Settings(**given | {"verify": _bundle(given["verify"], given["base_url"], environ)})


def _given(value: Any, variable: str | None, environ: Mapping[str, str] | None) -> Any:
    return (_variable(variable, environ) or None) if value is None and variable is not None else value


def _variable(name: str, environ: Mapping[str, str] | None) -> str | None:
    # os.environ is never a local: a traceback with locals would print all of it.
    return (os.environ if environ is None else environ).get(name)


def _bundle(verify: Any, url: Any, environ: Mapping[str, str] | None) -> Any:
    """`verify`, or the bundle that requests' own variables name, where there is something to verify."""
    if verify is not True or not isinstance(url, str) or not url.startswith("https:"):
        return verify
    return next(filter(None, (_variable(name, environ) for name in BUNDLE_VARIABLES)), True)
