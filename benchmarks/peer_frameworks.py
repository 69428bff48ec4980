"""The same questions put to LangChain and to LlamaIndex."""

# ruff: noqa: PLC0415 - a peer's environment has one framework only

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol


class Framework(Protocol):
    """What the probes need to know of a framework."""

    @property
    def dumps(self) -> dict[str, Callable[[Any], object]]:
        """The ways to write a reranker down."""

    def documents(self, texts: list[str]) -> list[Any]: ...
    def call(self, made: Any, documents: list[Any]) -> Any: ...
    async def acall(self, made: Any, documents: list[Any]) -> Any: ...
    def ids(self, found: list[Any]) -> list[str]: ...
    def scores(self, found: list[Any]) -> list[float]: ...
    def metadata(self, one: Any) -> dict[str, Any]: ...
    def round_trip(self, made: Any, key: str) -> Any: ...
    def runnable(self, made: Any) -> str: ...
    def traced(self, make: Callable[[], Any], documents: list[Any]) -> str: ...


class LangChain:
    """Document compressors."""

    @property
    def dumps(self) -> dict[str, Callable[[Any], object]]:
        from langchain_core.load import dumps

        return {"dumps": dumps, "model_dump": lambda made: made.model_dump()}

    def documents(self, texts: list[str]) -> list[Any]:
        from langchain_core.documents import Document

        return [
            Document(text, id=f"id-{n}", metadata={"source": "zebra", "nested": {"pages": [1]}})
            for n, text in enumerate(texts)
        ]

    def call(self, made: Any, documents: list[Any]) -> Any:
        return made.compress_documents(documents, "the query")

    async def acall(self, made: Any, documents: list[Any]) -> Any:
        return await made.acompress_documents(documents, "the query")

    def ids(self, found: list[Any]) -> list[str]:
        return [one.id for one in found]

    def scores(self, found: list[Any]) -> list[float]:
        return [one.metadata["relevance_score"] for one in found]

    def metadata(self, one: Any) -> dict[str, Any]:
        return dict(one.metadata)

    def round_trip(self, made: Any, key: str) -> Any:
        from langchain_core.load import dumps, loads

        if "not_implemented" in dumps(made):
            raise NotImplementedError("LangChain writes down only its repr")
        space = type(made).__module__.partition(".")[0]
        secrets = dict.fromkeys(getattr(made, "lc_secrets", {}).values(), key)
        return loads(dumps(made), allowed_objects=[type(made)], valid_namespaces=[space], secrets_map=secrets)

    def runnable(self, made: Any) -> str:
        from langchain_core.runnables import Runnable

        return "yes" if isinstance(made, Runnable) else "no"

    def traced(self, make: Callable[[], Any], documents: list[Any]) -> str:
        from langchain_core.callbacks import BaseCallbackHandler

        class Runs(BaseCallbackHandler):
            seen = 0

            def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
                self.seen += 1

            on_retriever_start = on_chain_start

        runs = Runs()
        make().compress_documents(documents, "the query", callbacks=[runs])
        return "one run per query" if runs.seen else "no"


class LlamaIndex:
    """Node postprocessors."""

    @property
    def dumps(self) -> dict[str, Callable[[Any], object]]:
        return {"to_dict": lambda made: made.to_dict(), "to_json": lambda made: made.to_json()}

    def documents(self, texts: list[str]) -> list[Any]:
        from llama_index.core.schema import NodeWithScore, TextNode

        metadata = {"source": "zebra", "nested": {"pages": [1]}}
        return [
            NodeWithScore(node=TextNode(text=text, id_=f"id-{n}", metadata=metadata), score=0.1)
            for n, text in enumerate(texts)
        ]

    def call(self, made: Any, documents: list[Any]) -> Any:
        return made.postprocess_nodes(documents, query_str="the query")

    async def acall(self, made: Any, documents: list[Any]) -> Any:
        return await made.apostprocess_nodes(documents, query_str="the query")

    def ids(self, found: list[Any]) -> list[str]:
        return [one.node.node_id for one in found]

    def scores(self, found: list[Any]) -> list[float]:
        return [one.score for one in found]

    def metadata(self, one: Any) -> dict[str, Any]:
        return dict(one.node.metadata)

    def round_trip(self, made: Any, key: str) -> Any:
        data = made.to_dict()
        if type(made).__module__.startswith("llama_index_qwen3_sglang") or "api_key" in _arguments(made):
            data.setdefault("api_key", key)  # a key that isn't written down is given again
        return type(made).from_dict(data)

    def runnable(self, made: Any) -> str:
        return "no such thing"

    def traced(self, make: Callable[[], Any], documents: list[Any]) -> str:
        from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
        from llama_index.core.instrumentation.event_handlers import BaseEventHandler
        from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler

        class Events(BaseEventHandler):
            def handle(self, event: Any, **kwargs: Any) -> None:
                seen.append(event.class_name())

        seen: list[str] = []
        root, spans = get_dispatcher(), SimpleSpanHandler()
        before = [*root.event_handlers], [*root.span_handlers]
        root.add_event_handler(Events())
        root.add_span_handler(spans)

        async def both() -> int:
            made = make()  # in the loop, since some keep to the one that they are made in
            self.call(made, documents)
            of_sync = len(spans.completed_spans)
            await self.acall(made, documents)
            return of_sync

        try:
            sync = asyncio.run(both())
            events = {"ReRankStartEvent", "ReRankEndEvent"} <= set(seen)
            of_async = [span.id_ for span in spans.completed_spans[sync:] if "_apostprocess_nodes" in span.id_]
        finally:
            root.event_handlers, root.span_handlers = before
        said = [name for name, there in {"events": events, "sync span": sync, "async span": of_async}.items() if there]
        return ", ".join(said) or "no"


def _arguments(made: Any) -> set[str]:
    import inspect

    return set(inspect.signature(type(made).__init__).parameters)


FRAMEWORKS: dict[str, Callable[[], Framework]] = {"langchain": LangChain, "llama_index": LlamaIndex}
