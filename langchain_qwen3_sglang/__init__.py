"""Rerank inside LangChain with Qwen3-Reranker on SGLang: a document compressor, a retriever, a cross encoder.

Needs the extra ``langchain``: ``pip install "qwen3-sglang[langchain]"``.
"""

from __future__ import annotations

from qwen3_sglang.errors import MissingDependencyError

try:
    from langchain_qwen3_sglang.compressor import RunnableCompressor
    from langchain_qwen3_sglang.cross_encoder import Qwen3SGLangCrossEncoder
    from langchain_qwen3_sglang.rerank import Qwen3SGLangRerank
    from langchain_qwen3_sglang.retriever import Qwen3SGLangRetriever
except ModuleNotFoundError as error:
    # Any other missing module is a fault of its own and must not be blamed on the extra.
    if error.name is None or error.name.partition(".")[0] != "langchain_core":
        raise
    raise MissingDependencyError(error.name, "langchain") from None

__all__ = ["Qwen3SGLangCrossEncoder", "Qwen3SGLangRerank", "Qwen3SGLangRetriever", "RunnableCompressor"]
