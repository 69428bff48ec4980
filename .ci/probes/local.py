"""The toy is built, converted and served here; it reranks, and its page is there."""

from urllib.request import urlopen

from qwen3_sglang import RerankClient
from qwen3_sglang.convert import convert
from qwen3_sglang.local import run_in_thread
from qwen3_sglang.toy import build_toy

embedded = run_in_thread("reranker")  # starts nothing yet, but says which extra is missing
convert(build_toy("causal"), "reranker", verify=True)
with embedded as url, RerankClient(url) as client:
    results = client.rerank("What is the capital of China?", ["Gravity pulls.", "The capital is Beijing."])
    assert [result.index for result in results] == [1, 0], results
    with urlopen(url, timeout=60) as answer:  # noqa: S310 - our own server
        assert b"playground.js" in answer.read()
