"""Rerank with Qwen3-Reranker on SGLang: the core that the LangChain and LlamaIndex adapters share."""

from qwen3_sglang.client import RerankClient
from qwen3_sglang.errors import (
    AuthenticationError,
    ConversionError,
    InvalidInputError,
    MissingDependencyError,
    ModelMismatchError,
    ModelNotFoundError,
    NotSGLangError,
    OneLabelModelError,
    ProtocolError,
    Qwen3SGLangError,
    RequestRejectedError,
    ServerError,
    ServerFailureError,
    ServerOverloadedError,
    ServerTimeoutError,
    ServerUnreachableError,
    SwappedLabelsError,
    UnconvertedModelError,
)
from qwen3_sglang.prompt import DEFAULT_INSTRUCTION, Prompt
from qwen3_sglang.ranking import RerankResult

__version__ = "0.1.0"

__all__ = [
    "DEFAULT_INSTRUCTION",
    "AuthenticationError",
    "ConversionError",
    "InvalidInputError",
    "MissingDependencyError",
    "ModelMismatchError",
    "ModelNotFoundError",
    "NotSGLangError",
    "OneLabelModelError",
    "Prompt",
    "ProtocolError",
    "Qwen3SGLangError",
    "RequestRejectedError",
    "RerankClient",
    "RerankResult",
    "ServerError",
    "ServerFailureError",
    "ServerOverloadedError",
    "ServerTimeoutError",
    "ServerUnreachableError",
    "SwappedLabelsError",
    "UnconvertedModelError",
    "__version__",
]
