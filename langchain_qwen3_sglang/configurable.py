"""Fields that a call's config may set, without new connections per call."""

from __future__ import annotations

from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import get_config_list
from langchain_core.runnables.configurable import RunnableConfigurableFields

from langchain_qwen3_sglang.documents import RerankInput
from qwen3_sglang.connection import Connection

_Prepared = tuple[Runnable[RerankInput, list[Document]], RunnableConfig]


class ConfigurableRerank(RunnableConfigurableFields[RerankInput, list[Document]]):
    """Keeps the connections where LangChain makes a new reranker for each call with a config of its own."""

    @classmethod
    def lc_id(cls) -> list[str]:
        """Serialized as the class it stands in for, which `loads` knows."""
        return RunnableConfigurableFields.lc_id()

    def prepare(self, config: RunnableConfig | None = None) -> _Prepared:
        """The reranker that the config describes, with this one's connections where the server is the same."""
        runnable, prepared = super().prepare(config)
        if isinstance(runnable, Connection) and isinstance(self.default, Connection):
            runnable._adopt_client(self.default)
        return runnable, prepared

    def batch(
        self,
        inputs: list[RerankInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[list[Document]]:
        """The reranker's own `batch`, in shared lists, where all inputs have the same settings.

        Raises: as `Qwen3SGLangRerank.batch`.
        """
        one, configs = self._shared(inputs, config)
        batch = super().batch if one is None else one.batch
        return batch(inputs, configs, return_exceptions=return_exceptions, **kwargs)

    async def abatch(
        self,
        inputs: list[RerankInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[list[Document]]:
        """`batch`, without blocking the event loop. Raises: as `batch`."""
        one, configs = self._shared(inputs, config)
        batch = super().abatch if one is None else one.abatch
        return await batch(inputs, configs, return_exceptions=return_exceptions, **kwargs)

    def _shared(
        self, inputs: list[RerankInput], config: RunnableConfig | list[RunnableConfig] | None
    ) -> tuple[Runnable[RerankInput, list[Document]] | None, list[RunnableConfig]]:
        configs = get_config_list(config, len(inputs))
        prepared = [self.prepare(one) for one in configs]
        if prepared and all(runnable == prepared[0][0] for runnable, _ in prepared):
            return prepared[0][0], [one for _, one in prepared]
        return None, configs
