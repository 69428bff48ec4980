"""An agent whose tool searches and reranks, and a graph whose reranking node is retried; LangGraph, streamed.

    python examples/langgraph_agent.py http://127.0.0.1:30000

The chat model is a stand-in that searches once and quotes what it found, so that this runs anywhere. Replace it, and
the store with its embedding, by your own. Needs ``pip install "qwen3-sglang[langchain]" langgraph``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import create_retriever_tool
from langchain_core.vectorstores import InMemoryVectorStore
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import RetryPolicy
from typing_extensions import TypedDict

from langchain_qwen3_sglang import Qwen3SGLangRerank, Qwen3SGLangRetriever
from qwen3_sglang import ServerOverloadedError, ServerTimeoutError, ServerUnreachableError

TEXTS = ["Gravity is a force.", "The capital of China is Beijing.", "Tea is a drink.", "China is a country."]
QUESTION = "What is the capital of China?"
# The client has retried for its whole `timeout` by then: this is for outages that last longer.
RETRIES = RetryPolicy(
    max_attempts=5,
    initial_interval=0.1,
    jitter=False,
    retry_on=(ServerUnreachableError, ServerTimeoutError, ServerOverloadedError),
)


class Scripted(BaseChatModel):
    """In the place of a chat model: it searches for what it is asked, and quotes the first passage."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, *_: Any, **__: Any) -> Scripted:  # type: ignore[override] # a Runnable of the same kind
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        last = messages[-1]
        if isinstance(last, ToolMessage):
            answer = AIMessage(f"I read: {str(last.content).partition(chr(10))[0]}")
        else:
            answer = AIMessage("", tool_calls=[{"name": "search", "args": {"query": last.content}, "id": "1"}])
        return ChatResult(generations=[ChatGeneration(message=answer)])


def store() -> InMemoryVectorStore:
    """The first stage; an embedding that means nothing, so that every bit of order is the reranker's."""
    found = InMemoryVectorStore(DeterministicFakeEmbedding(size=64))
    found.add_documents([Document(text, id=str(place)) for place, text in enumerate(TEXTS)])
    return found


def agent(retriever: BaseRetriever, model: BaseChatModel) -> CompiledStateGraph[Any, Any, Any, Any]:
    """A model that may search; the tool's documents, with their scores, are the message's artifact."""
    search = create_retriever_tool(
        retriever, "search", "Finds passages about geography.", response_format="content_and_artifact"
    )
    bound = model.bind_tools([search])

    async def think(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await bound.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_node("tools", ToolNode([search]), retry_policy=RETRIES)
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", tools_condition)
    graph.add_edge("tools", "think")
    return graph.compile()


class Search(TypedDict, total=False):
    """What the nodes of `pipeline` hand on."""

    query: str
    documents: list[Document]


def pipeline(base: BaseRetriever, rerank: Qwen3SGLangRerank) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Retrieve, then rerank, as nodes: only the second is repeated where the server is out of reach."""

    async def retrieve(state: Search, config: RunnableConfig) -> Search:
        return {"documents": await base.ainvoke(state["query"], config)}

    async def best_first(state: Search, config: RunnableConfig) -> Search:
        return {"documents": await rerank.ainvoke(state, config)}

    graph = StateGraph(Search)
    graph.add_node("retrieve", retrieve)
    graph.add_node("rerank", best_first, retry_policy=RETRIES)
    graph.add_edge(START, "retrieve")
    graph.add_edge("retrieve", "rerank")
    return graph.compile()


async def steps(graph: CompiledStateGraph[Any, Any, Any, Any], asked: dict[str, Any]) -> AsyncIterator[str]:
    """Each node as it ends, and what it found."""
    async for update in graph.astream(asked, stream_mode="updates"):
        for node, state in update.items():
            yield f"{node}: {_shown(state)}"


def _shown(state: dict[str, Any]) -> str:
    if "messages" not in state:
        return ", ".join(document.page_content for document in state["documents"][:2])
    last = state["messages"][-1]
    if isinstance(last, ToolMessage):
        best = last.artifact[0]
        return f"{best.page_content} (score {best.metadata['relevance_score']:.2f})"
    return last.content or f"calls {last.tool_calls[0]['name']}"


async def main(base_url: str) -> None:
    """Ask both."""
    base, rerank = store().as_retriever(), Qwen3SGLangRerank(base_url=base_url, top_n=2)
    retriever = Qwen3SGLangRetriever(base_retriever=base, reranker=rerank, fetch_k=20)
    async for line in steps(agent(retriever, Scripted()), {"messages": [("user", QUESTION)]}):
        print(line)
    async for line in steps(pipeline(base, rerank), {"query": QUESTION}):
        print(line)
    await rerank.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
