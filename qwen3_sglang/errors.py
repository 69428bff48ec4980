"""What can go wrong, and what each error asks of you.

::

    Qwen3SGLangError
    ├── InvalidInputError (ValueError)       an argument or a setting is unusable: .field .value .remedy
    │   ├── QueryError                       the query is blank, or leaves no room for a document
    │   └── UnknownOptionError (TypeError)   an argument has a name that isn't one of ours
    ├── MissingDependencyError (ImportError) an extra of this distribution is not installed
    │   └── SGLangNotFoundError              the Python that is to run SGLang can't import it: .python .reason
    ├── ConversionError                      a checkpoint can't be read or converted
    ├── StartupError (RuntimeError)          a server in this process did not come up
    └── ServerError                          the server gave no usable score: .url .status .retry_after .attempts
        ├── ServerUnreachableError (ConnectionError)   refused, unknown host, connection dropped
        ├── ServerTimeoutError (TimeoutError)          no whole answer within `timeout`
        ├── AuthenticationError              401 or 403: the key is missing or wrong
        ├── NotSGLangError                   something answers, but it isn't SGLang's classify API
        ├── ModelNotFoundError               the server has no model of that name
        ├── RequestRejectedError             400, 413 or 422: the server refuses what was sent
        │   └── DocumentError                it refuses one document: .index .indices
        ├── ServerOverloadedError            429 or 503: try again later
        ├── ServerFailureError               any other failure on the server's side
        ├── ProtocolError                    200, but the scores in it can't be trusted
        └── ModelMismatchError               the model that is served can't rerank
            ├── ModelReplacedError           another model, or context length, than before is served
            ├── UnconvertedModelError        a causal language model: convert it first
            ├── OneLabelModelError           one label: every document would score 1.0
            └── SwappedLabelsError           label 0 is "yes": every score would be upside down

Every message says what happened, to which value, and what to do next. None of them carries a key.
"""

from __future__ import annotations

from collections.abc import Sequence


class Qwen3SGLangError(Exception):
    """Base of every error raised on purpose by this distribution."""


class InvalidInputError(Qwen3SGLangError, ValueError):
    """An argument or a setting can't be used; raised before any request is sent.

    Attributes:
        field: name of the argument or environment variable.
        value: what was given. A secret is never put here.
        remedy: what to pass instead.
    """

    def __init__(self, field: str, value: object, remedy: str) -> None:
        super().__init__(field, value, remedy)
        self.field = field
        self.value = value
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.field}={_short(self.value)}: {self.remedy}"


class QueryError(InvalidInputError):
    """The query is blank, or so long that no document has room beside it.

    Queries come at run time, so `on_error="passthrough"` covers this error, but not an argument of the wrong type.
    """


class UnknownOptionError(InvalidInputError, TypeError):
    """An argument has a name that isn't one of ours; the remedy says which may be meant.

    It is a TypeError too, as Python's own is. The value is left out: it may be a key under a misspelled name.
    """

    def __str__(self) -> str:
        return self.remedy


class MissingDependencyError(Qwen3SGLangError, ImportError):
    """A package that only an extra installs is missing."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(module, extra)
        self.extra = extra
        self.name = module

    def __str__(self) -> str:
        return f'the package that provides "{self.name}" is missing: pip install "qwen3-sglang[{self.extra}]"'


class SGLangNotFoundError(MissingDependencyError):
    """The interpreter that is to run SGLang has none that can be imported.

    Attributes:
        python: that interpreter.
        reason: what it said.
    """

    def __init__(self, python: str, reason: str) -> None:
        super().__init__("sglang", "")
        self.args = python, reason
        self.python = python
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.python}: {self.reason}; install SGLang there (uv pip install sglang, or pip install sglang: "
            "https://docs.sglang.io), name the interpreter that has it with --python or QWEN3_SGLANG_PYTHON, "
            "or try without a GPU: --engine local"
        )


class ConversionError(Qwen3SGLangError):
    """A checkpoint can't be read or converted; the message says which file and what to do."""


class StartupError(Qwen3SGLangError, RuntimeError):
    """A server in this process did not come up."""


class ServerError(Qwen3SGLangError):
    """The server gave no usable score.

    Attributes:
        url: the address that was asked.
        message: what happened there.
        status: the HTTP status; None where none came, or where a 200's body was at fault.
        retry_after: seconds that the server asked to wait; None where it didn't.
        attempts: how often the request was sent.
    """

    def __init__(self, url: str, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(url, message)
        self.url = url
        self.message = message
        self.status = status
        self.retry_after = retry_after
        self.attempts = 1

    def __str__(self) -> str:
        tried = f" (tried {self.attempts} times)" if self.attempts > 1 else ""
        return f"{self.url}: {self.message}{tried}"


class ServerUnreachableError(ServerError, ConnectionError):
    """No connection, or it was dropped before the whole answer came."""

    def __str__(self) -> str:
        return ServerError.__str__(self)


class ServerTimeoutError(ServerError, TimeoutError):
    """The whole answer did not come within `timeout` seconds."""

    def __str__(self) -> str:
        return ServerError.__str__(self)


class AuthenticationError(ServerError):
    """401 or 403: the server wants another key."""


class NotSGLangError(ServerError):
    """Something answers at this address, but not SGLang's classify API."""


class ModelNotFoundError(ServerError):
    """The server, or the gateway in front of it, has no model of that name."""


class RequestRejectedError(ServerError):
    """400, 413 or 422: the server refuses what was sent, and says why."""


class DocumentError(RequestRejectedError):
    """The server refuses this document, whatever it is sent together with.

    Attributes:
        indices: where the document stands in the list that the caller passed, each of its occurrences; of several
            queries, in that query's own documents.
        query: the query's place, where several were asked at once and the error was raised.
        reason: what the server says.
    """

    def __init__(
        self,
        url: str,
        message: str,
        indices: Sequence[int] = (),
        *,
        status: int | None = None,
        query: int | None = None,
    ) -> None:
        more = f" (also {', '.join(map(str, indices[1:]))})" if len(indices) > 1 else ""
        where = f"document {indices[0]}{more}: " if indices else ""  # none when it comes out of a pickle
        asked = "" if query is None else f"query {query}, "
        super().__init__(url, f"{asked}{where}{message}", status=status)
        self.indices = tuple(indices)
        self.query = query
        self.reason = message

    @property
    def index(self) -> int:
        """The first of `indices`."""
        return self.indices[0]


class ServerOverloadedError(ServerError):
    """429 or 503: the server is full, starting or stopping."""


class ServerFailureError(ServerError):
    """The server failed while it worked on the request."""


class ProtocolError(ServerError):
    """A successful status with a body whose scores can't be trusted."""


class ModelMismatchError(ServerError):
    """The model behind the server can't rerank."""


class ModelReplacedError(ModelMismatchError):
    """Another model, or the same with fewer tokens of context, is served than when the call began.

    The client forgets what it knew and begins the call anew; this is raised where that happens twice in one call.
    """


class UnconvertedModelError(ModelMismatchError):
    """The server runs a causal language model, not a converted reranker."""


class OneLabelModelError(ModelMismatchError):
    """The served checkpoint has one label; SGLang's softmax makes that 1.0 for every document."""


class SwappedLabelsError(ModelMismatchError):
    """The served checkpoint has "yes" at index 0 and "no" at index 1."""


def _short(value: object, limit: int = 80) -> str:
    try:
        text = repr(value)
    except Exception:  # the value is the caller's, and so is its repr
        text = f"<{type(value).__name__}>"
    # From the middle: a path says most at its end.
    return text if len(text) <= limit else f"{text[: limit // 2 - 1]}…{text[-(limit // 2) :]}"
