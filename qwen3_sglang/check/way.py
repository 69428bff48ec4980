"""Which way a server runs, in words, and what would be better."""

from __future__ import annotations

from qwen3_sglang.protocol.endpoints import ENDPOINTS, VLLM
from qwen3_sglang.protocol.ways import Way

MULTI_ITEM = (
    "with one address and no gateway, `qwen3-sglang serve MODEL --multi-item` scores 1.3 to 2 times as many short "
    "documents per second"
)
EMBEDDED = "the embedded server, on PyTorch; SGLang on a GPU is faster"
ALONE = "on one GPU nothing faster was measured; send nothing but /v1/score there"
# Measured by benchmarks/unconverted.py; docs/conversion.md has the table.
ADDED = (
    "converting it (`qwen3-sglang convert SRC DST`) adds finer scores (312 distinct ones of 312, not 229 to 261, "
    "unless SGLang runs with --enable-fp32-lm-head), SGLang's gateway, which has no /v1/score, and speed (on a CPU "
    "1.4 times)"
)


def in_words(way: Way) -> tuple[str, bool]:
    """How the server is asked, and whether another way to serve the model would be better."""
    row = ENDPOINTS[way.endpoint]
    asked = f"asked at {row.path}"
    embedded = way.said is not None and way.said.embedded
    if row.owner == VLLM:
        return f"{asked}, as vLLM is", False
    if row.packs:
        more = "; the model is the original checkpoint" if row.labels else ""
        faster = EMBEDDED if embedded else ALONE
        return f"{asked}: multi-item scoring, a list of documents is one sequence{more}; {faster}", False
    if row.labels:
        return f"{asked} with label_token_ids: the original checkpoint works as it is; {ADDED}", True
    if way.said is None or way.said.multi_item is None:
        return f"{asked}: the server, or what is in front of it, doesn't say which way it runs", False
    return f"{asked}: every document is a prompt of its own; {EMBEDDED if embedded else MULTI_ITEM}", False
