"""A real LlamaIndex index over a few passages, with an embedding that counts words."""

from __future__ import annotations

import math
import re
import zlib

from llama_index.core import VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.schema import TextNode

QUESTION = "What is the capital of China?"
# The embedding knows no stop words, so it likes "lot" best; the toy reranker knows them, and likes "beijing".
PASSAGES = {
    "lot": "It is the end of the day, and that is the best of the lot.",
    "gravity": "Gravity is a force.",
    "beijing": "Of all towns, the one that China made its capital is Beijing.",
    "tea": "Tea is a drink from China.",
}


class WordEmbedding(BaseEmbedding):
    """Words counted in 64 buckets: deterministic, and good enough to find something."""

    def _vector(self, text: str) -> list[float]:
        counts = [0.0] * 64
        for word in re.findall(r"\w+", text.lower()):
            counts[zlib.crc32(word.encode()) % 64] += 1
        length = math.hypot(*counts) or 1.0
        return [count / length for count in counts]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._vector(text)

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._vector(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._vector(query)


def word_index() -> VectorStoreIndex:
    """PASSAGES in a vector store in memory."""
    nodes = [TextNode(id_=name, text=text) for name, text in PASSAGES.items()]
    return VectorStoreIndex(nodes, embed_model=WordEmbedding())
