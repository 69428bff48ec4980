"""The demo's two pipelines, the same two stages in LangChain and in LlamaIndex: BM25, then Qwen3-Reranker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import bm25s
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.callbacks import CallbackManagerForRetrieverRun as Callbacks
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever as LangChainRetriever
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers.no_text import NoText
from llama_index.core.retrievers import BaseRetriever as LlamaIndexRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from langchain_qwen3_sglang import Qwen3SGLangRerank as LangChainRerank
from llama_index_qwen3_sglang import Qwen3SGLangRerank as LlamaIndexRerank

TOP_K = 10
MIN_SCORE = 0.1
TIMEOUT = 900  # seconds: ten documents take a large model on a laptop that long at worst


class Passage(NamedTuple):
    """One passage of the corpus, as both stages read it."""

    id: str
    text: str


class Ranked(NamedTuple):
    """A passage that the reranker kept."""

    id: str
    score: float


class Index:
    """BM25 over the passages: the first stage, shared by both frameworks."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        """Index `passages`."""
        self._passages = passages
        self._bm25 = bm25s.BM25()
        self._bm25.index(_tokens([passage.text for passage in passages]), show_progress=False)

    def search(self, question: str) -> list[tuple[Passage, float]]:
        """Return the top passages with their BM25 scores, best first."""
        rows, scores = self._bm25.retrieve(_tokens([question]), k=TOP_K, show_progress=False)
        return [(self._passages[row], float(score)) for row, score in zip(rows[0], scores[0], strict=True)]


def _tokens(texts: list[str]) -> Any:
    return bm25s.tokenize(texts, stopwords="en", show_progress=False)


class LangChainBM25(LangChainRetriever):
    """The index as a LangChain retriever."""

    index: Any

    def _get_relevant_documents(self, query: str, *, run_manager: Callbacks) -> list[Document]:
        return [Document(id=found.id, page_content=found.text) for found, _ in self.index.search(query)]


class LlamaIndexBM25(LlamaIndexRetriever):
    """The index as a LlamaIndex retriever."""

    def __init__(self, index: Index) -> None:
        """Search `index`."""
        self._index = index
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = self._index.search(query_bundle.query_str)
        return [NodeWithScore(node=TextNode(id_=hit.id, text=hit.text), score=score) for hit, score in found]


class Pipelines:
    """The same two stages, BM25 and the reranker, in both frameworks."""

    def __init__(self, index: Index, base_url: str) -> None:
        """Rerank what `index` finds on the server at `base_url`."""
        self._langchain = ContextualCompressionRetriever(
            base_compressor=LangChainRerank(base_url=base_url, min_score=MIN_SCORE, timeout=TIMEOUT),
            base_retriever=LangChainBM25(index=index),
        )
        self._llama_index = RetrieverQueryEngine(
            LlamaIndexBM25(index),
            response_synthesizer=NoText(llm=MockLLM()),  # nothing is written, yet a model is asked for
            node_postprocessors=[LlamaIndexRerank(base_url=base_url, min_score=MIN_SCORE, timeout=TIMEOUT)],
        )

    def langchain(self, question: str) -> list[Ranked]:
        """Ask the LangChain retriever."""
        documents = self._langchain.invoke(question)
        return [Ranked(str(found.id), found.metadata["relevance_score"]) for found in documents]

    def llama_index(self, question: str) -> list[Ranked]:
        """Ask the LlamaIndex query engine."""
        nodes = self._llama_index.query(question).source_nodes
        return [Ranked(found.node.node_id, found.get_score(raise_error=True)) for found in nodes]
