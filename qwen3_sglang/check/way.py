"""Which way a server runs, and what would be faster; no I/O."""

from __future__ import annotations

from qwen3_sglang.check.finding import Finding
from qwen3_sglang.names import SOURCE_CLASS
from qwen3_sglang.protocol.ways import Said, chosen

_MULTI_ITEM = "`qwen3-sglang serve MODEL --multi-item` scores about twice as many short documents per second"


def way_of(said: Said) -> Finding:
    """The way in which the server runs, by what it says of itself. Never a fault: each way gives right scores."""
    return Finding(True, f"{_way(said)}; {_faster(said)}")


def _way(said: Said) -> str:
    if said.multi_item is None:
        return f"the server doesn't tell which way it runs, as behind a gateway; endpoint=auto asks {chosen(said)}"
    kind = "the embedded server" if said.embedded else "SGLang"
    model = ", the original checkpoint" if said.architecture == SOURCE_CLASS else ""
    way = "multi-item scoring, a list per sequence" if said.multi_item else "a prompt per document"
    return f"{kind}{model}, {way}; endpoint=auto asks {chosen(said)}"


def _faster(said: Said) -> str:
    if said.embedded:
        return "faster: SGLang on a GPU; of the embedded server both ways are equally fast"
    if said.multi_item is None:
        return f"faster, where no gateway is needed: {_MULTI_ITEM}, and a balancer takes several of them"
    if said.multi_item:
        return "nothing faster was measured on one GPU"
    return f"faster for one address without a gateway: {_MULTI_ITEM}"
