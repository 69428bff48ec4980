"""Rerank inside LlamaIndex with Qwen3-Reranker on SGLang: a node postprocessor.

Needs the extra ``llama-index``: ``pip install "qwen3-sglang[llama-index]"``.
"""

from __future__ import annotations

from qwen3_sglang.errors import MissingDependencyError

try:
    from llama_index_qwen3_sglang.query import RerankQueryBundle
    from llama_index_qwen3_sglang.rerank import Qwen3SGLangRerank
except ModuleNotFoundError as error:
    # Any other missing module is a fault of its own and must not be blamed on the extra.
    if error.name is None or error.name.partition(".")[0] != "llama_index":
        raise
    raise MissingDependencyError(error.name, "llama-index") from None

__all__ = ["Qwen3SGLangRerank", "RerankQueryBundle"]
