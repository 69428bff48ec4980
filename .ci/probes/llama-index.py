"""A node postprocessor over nodes."""

import sys

from llama_index_qwen3_sglang import Qwen3SGLangRerank  # first: it says which extra is missing

from llama_index.core.schema import NodeWithScore, TextNode  # isort: skip

nodes = [NodeWithScore(node=TextNode(text=text)) for text in ("Gravity pulls.", "The capital is Beijing.")]
reranker = Qwen3SGLangRerank(base_url=sys.argv[1], top_n=1)
[best] = reranker.postprocess_nodes(nodes, query_str="What is the capital of China?")
assert best.node.get_content() == "The capital is Beijing.", best
assert best.score > 0.5, best
