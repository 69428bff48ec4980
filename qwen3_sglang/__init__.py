"""Rerank with Qwen3-Reranker on SGLang: the core that the LangChain and LlamaIndex adapters share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qwen3_sglang import _moved
from qwen3_sglang.errors import (
    AuthenticationError,
    ConversionError,
    DocumentError,
    InvalidInputError,
    MissingDependencyError,
    ModelMismatchError,
    ModelNotFoundError,
    ModelReplacedError,
    NotSGLangError,
    OneLabelModelError,
    ProtocolError,
    QueryError,
    Qwen3SGLangError,
    RequestRejectedError,
    ServerError,
    ServerFailureError,
    ServerOverloadedError,
    ServerTimeoutError,
    ServerUnreachableError,
    SGLangNotFoundError,
    StartupError,
    SwappedLabelsError,
    UnconvertedModelError,
    UnknownOptionError,
)
from qwen3_sglang.prompts.template import DEFAULT_INSTRUCTION, Prompt
from qwen3_sglang.protocol.retry import Backoff
from qwen3_sglang.ranking import Chunk, RerankResult

if TYPE_CHECKING:
    from qwen3_sglang.client import RerankClient

__version__ = "0.1.0"

_moved.register()

__all__ = [
    "DEFAULT_INSTRUCTION",
    "AuthenticationError",
    "Backoff",
    "Chunk",
    "ConversionError",
    "DocumentError",
    "InvalidInputError",
    "MissingDependencyError",
    "ModelMismatchError",
    "ModelNotFoundError",
    "ModelReplacedError",
    "NotSGLangError",
    "OneLabelModelError",
    "Prompt",
    "ProtocolError",
    "QueryError",
    "Qwen3SGLangError",
    "RequestRejectedError",
    "RerankClient",
    "RerankResult",
    "SGLangNotFoundError",
    "ServerError",
    "ServerFailureError",
    "ServerOverloadedError",
    "ServerTimeoutError",
    "ServerUnreachableError",
    "StartupError",
    "SwappedLabelsError",
    "UnconvertedModelError",
    "UnknownOptionError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Import the client when it is first asked for: aiohttp and requests take ten times as long as the rest."""
    if name != "RerankClient":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from qwen3_sglang.client import RerankClient  # noqa: PLC0415 - the reason is above

    globals()[name] = RerankClient
    return RerankClient
