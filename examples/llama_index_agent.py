"""An agent whose tool searches and reranks, and a workflow whose reranking step is retried; LlamaIndex, streamed.

    python examples/llama_index_agent.py http://127.0.0.1:30000

The language model is a stand-in that searches once and quotes what it found, so that this runs anywhere. Replace it,
and the embedding, by your own. Needs ``pip install "qwen3-sglang[llama-index]"``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.agent.workflow import AgentOutput, FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import LLM, ChatMessage, MessageRole
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.workflow import Context, Event, StartEvent, StopEvent, Workflow, step
from workflows.retry_policy import retry_if_exception_type, retry_policy, stop_after_attempt, wait_fixed

from llama_index_qwen3_sglang import Qwen3SGLangRerank
from qwen3_sglang import ServerOverloadedError, ServerTimeoutError, ServerUnreachableError

TEXTS = ["Gravity is a force.", "The capital of China is Beijing.", "Tea is a drink.", "China is a country."]
QUESTION = "What is the capital of China?"
# The client has retried for its whole `timeout` by then: this is for outages that last longer.
RETRIES = retry_policy(
    retry=retry_if_exception_type((ServerUnreachableError, ServerTimeoutError, ServerOverloadedError)),
    wait=wait_fixed(0.1),
    stop=stop_after_attempt(5),
)


def scripted() -> LLM:
    """In the place of a language model: it searches for what it is asked, and quotes the first passage."""

    def answer(messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
        last = messages[-1]
        if last.role == MessageRole.TOOL:
            return ChatMessage(role="assistant", content=f"I read: {(last.content or '').partition(chr(10))[0]}")
        call = ToolCallBlock(tool_call_id="1", tool_name="search", tool_kwargs={"query": last.content})
        return ChatMessage(role="assistant", blocks=[call])

    return MockFunctionCallingLLM(response_generator=answer)


def index() -> VectorStoreIndex:
    """The first stage; an embedding that means nothing, so that every bit of order is the reranker's."""
    nodes = [TextNode(text=text, id_=str(place)) for place, text in enumerate(TEXTS)]
    return VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=8))


def agent(retriever: BaseRetriever, reranker: Qwen3SGLangRerank, llm: LLM) -> FunctionAgent:
    """A model that may search. Not a RetrieverTool: that reranks for "input is ...", not for the bare question."""

    async def search(query: str) -> str:
        """Find passages about geography."""
        ranked = await reranker.arerank(query, await retriever.aretrieve(query))
        return "\n".join(f"{found.text} (score {found.score:.2f})" for found in ranked)

    return FunctionAgent(tools=[search], llm=llm)


class Found(Event):
    """What the first step hands to the second."""

    query: str
    nodes: list[NodeWithScore]


class Progress(Event):
    """For whoever follows the stream."""

    text: str


class Search(Workflow):
    """Retrieve, then rerank, as steps: only the second is repeated where it fails."""

    def __init__(self, retriever: BaseRetriever, reranker: Qwen3SGLangRerank) -> None:
        """Search by `retriever`, order by `reranker`."""
        super().__init__()
        self._retriever, self._reranker = retriever, reranker

    @step
    async def retrieve(self, context: Context, event: StartEvent) -> Found:
        """Find candidates."""
        nodes = await self._retriever.aretrieve(event.query)
        context.write_event_to_stream(Progress(text=f"retrieved {len(nodes)} nodes"))
        return Found(query=event.query, nodes=nodes)

    @step(retry_policy=RETRIES)
    async def rerank(self, context: Context, event: Found) -> StopEvent:
        """Order them."""
        ranked = await self._reranker.arerank(event.query, event.nodes)
        context.write_event_to_stream(Progress(text=f"kept {len(ranked)} nodes"))
        return StopEvent(result=ranked)


async def agents_steps(asked: FunctionAgent, question: str) -> AsyncIterator[str]:
    """What the agent does, as it happens."""
    handler = asked.run(question)
    async for event in handler.stream_events():
        if isinstance(event, ToolCallResult):
            yield f"{event.tool_name}: {event.tool_output.content.splitlines()[0]}"
        elif isinstance(event, AgentOutput) and event.response.content:
            yield event.response.content
    await handler


async def workflows_steps(searched: Search, question: str) -> AsyncIterator[str]:
    """What the workflow does, as it happens, and the best node."""
    handler = searched.run(query=question)
    async for event in handler.stream_events():
        if isinstance(event, Progress):
            yield event.text
    yield (await handler)[0].text


async def main(base_url: str) -> None:
    """Ask both."""
    retriever, reranker = index().as_retriever(similarity_top_k=20), Qwen3SGLangRerank(base_url=base_url, top_n=2)
    async for line in agents_steps(agent(retriever, reranker, scripted()), QUESTION):
        print(line)
    async for line in workflows_steps(Search(retriever, reranker), QUESTION):
        print(line)
    await reranker.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
