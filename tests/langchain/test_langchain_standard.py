"""LangChain's own tests of retrievers, against a real reranker."""

from __future__ import annotations

from typing import Any

import pytest
from chain_parts import Words
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_qwen3_sglang import Qwen3SGLangRerank, Qwen3SGLangRetriever

standard = pytest.importorskip("langchain_tests.integration_tests")
TEXTS = ["Gravity is a force.", "The capital of China is Beijing.", "Tea is a drink.", "China is large."]


class TestRetriever(standard.RetrieversIntegrationTests):  # type: ignore[misc, name-defined] # may be missing
    """Over a vector store in memory."""

    @pytest.fixture(autouse=True)
    def at(self, toy_url: str) -> None:
        """The toy behind the embedded server."""
        self.url = toy_url

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return Qwen3SGLangRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        base = InMemoryVectorStore.from_texts(TEXTS, Words()).as_retriever()
        return {"base_retriever": base, "fetch_k": 4, "reranker": Qwen3SGLangRerank(base_url=self.url)}

    @property
    def retriever_query_example(self) -> str:
        return "What is the capital of China?"

    @property
    def num_results_arg_name(self) -> str:
        return "top_n"
