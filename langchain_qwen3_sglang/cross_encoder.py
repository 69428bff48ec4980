"""A LangChain cross encoder: scores of (query, document) pairs by Qwen3-Reranker on SGLang."""

from __future__ import annotations

from langchain_core.cross_encoders import BaseCrossEncoder

from langchain_qwen3_sglang.options import RerankOptions
from qwen3_sglang.connection import Connection
from qwen3_sglang.options.keywords import known_keywords

_AT_FIRST = dict.fromkeys(Connection.model_fields, "Qwen3SGLangCrossEncoder(...)")


class Qwen3SGLangCrossEncoder(Connection, BaseCrossEncoder):
    """P(relevant) of pairs of texts, as Qwen3-Reranker on an SGLang server judges them.

    For LangChain's ``CrossEncoderReranker`` and whatever else takes a ``BaseCrossEncoder``; the settings are those
    of a connection to the server, and the errors are those of ``Qwen3SGLangRerank``. It is given texts, so what the
    model reads of a document is the caller's to say. To rerank documents, ``Qwen3SGLangRerank`` keeps the scores.

    Example:
        >>> encoder = Qwen3SGLangCrossEncoder(base_url="http://127.0.0.1:30000")
        >>> CrossEncoderReranker(model=encoder, top_n=3)
    """

    _elsewhere = dict.fromkeys(RerankOptions.model_fields, "Qwen3SGLangRerank, which takes documents") | {
        "top_n": "CrossEncoderReranker"
    }

    @known_keywords(_AT_FIRST)
    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """P(yes) of each (query, document), in [0, 1], in the pairs' order.

        Pairs of several queries share the lists that are sent; a pair that occurs twice is sent once.

        Raises:
            InvalidInputError: a blank query, or anything that isn't a string; before any request.
            ServerError: one of its subclasses; see `qwen3_sglang.errors`.
        """
        return self._connect().score_pairs(text_pairs, instruction=self.instruction)

    @known_keywords(_AT_FIRST)
    async def ascore(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """`score`, on the running event loop, with no thread; LangChain's interface has no such method yet.

        Raises: as `score`.
        """
        return await self._connect().ascore_pairs(text_pairs, instruction=self.instruction)
