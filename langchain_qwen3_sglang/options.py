"""The reranker's options beside its connection's, and their checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from langchain_core.prompts import BasePromptTemplate
from pydantic import BeforeValidator, Field, SerializeAsAny
from typing_extensions import Unpack

from langchain_qwen3_sglang.documents import Overrides, read_overrides
from langchain_qwen3_sglang.reading import Reading
from langchain_qwen3_sglang.tracing import RunType
from qwen3_sglang.connection import Connection


def _prompt(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError(f"pass PromptTemplate.from_template({value!r})")  # noqa: TRY004 - pydantic reports a ValueError
    return value


if TYPE_CHECKING:
    _Prompt = BasePromptTemplate[str]
else:  # pydantic would make a new prompt, of a class of its own: the parametrised one
    _Prompt = BasePromptTemplate
DocumentPrompt = Annotated[SerializeAsAny[_Prompt], BeforeValidator(_prompt)]


class RerankOptions(Connection):
    """A connection, what is kept of a ranking, what the model reads, and what tracers see."""

    top_n: int | None = Field(default=None, strict=True, description="Documents to keep; None keeps all.")
    min_score: float | None = Field(default=None, strict=True, description="Least score to keep; None keeps all.")
    document_prompt: DocumentPrompt | None = Field(
        default=None,
        description="A PromptTemplate over page_content and metadata: what the model reads of a document.",
    )
    metadata_keys: list[str] | None = Field(
        default=None,
        strict=True,
        description="Metadata that the model reads in front of page_content, a line each. Not with document_prompt.",
    )
    keep_retrieval_score: bool = Field(
        default=False, strict=True, description='Keep the score before reranking in metadata["retrieval_score"].'
    )
    run_type: RunType = Field(
        default="retriever",
        description="What a call is for callbacks and tracers: a retriever's run, or a chain's, which on_retriever_end "
        "doesn't see.",
    )

    def _check(self, **overrides: Unpack[Overrides]) -> None:
        self._reading().check()
        # With no documents the core checks the arguments and asks the server nothing.
        self._connect().rerank("check", [], **self._limits(overrides))

    def _limits(self, overrides: Mapping[str, Any]) -> Overrides:
        own = Overrides(top_n=self.top_n, min_score=self.min_score, instruction=self.instruction)
        elsewhere = dict.fromkeys(type(self).model_fields, f"{type(self).__name__}(...)")
        return Overrides(**{**own, **read_overrides(overrides, elsewhere)})

    def _reading(self) -> Reading:
        return Reading(self.document_prompt, self.metadata_keys, self.on_error == "passthrough")
