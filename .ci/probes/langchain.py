"""A document compressor over documents."""

import sys

from langchain_qwen3_sglang import Qwen3SGLangRerank  # first: it says which extra is missing

from langchain_core.documents import Document  # isort: skip

documents = [Document("Gravity pulls."), Document("The capital is Beijing.")]
reranker = Qwen3SGLangRerank(base_url=sys.argv[1], top_n=1)
[best] = reranker.compress_documents(documents, "What is the capital of China?")
assert best.page_content == "The capital is Beijing.", best
assert best.metadata["relevance_score"] > 0.5, best
