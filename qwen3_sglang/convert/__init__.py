"""Turn a Qwen3-Reranker checkpoint into the two-label classifier that SGLang can serve.

Two rows of the language model's head are read, everything else is copied byte for byte, or linked: no torch, and no
more memory for 8B parameters than for 0.6B. Only the full check at the end, `parity`, loads the models.
"""

from qwen3_sglang.convert.converter import convert
from qwen3_sglang.convert.parity import Parity, Probe

__all__ = ["Parity", "Probe", "convert"]
