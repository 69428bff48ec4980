"""The hub is asked for a checkpoint; offline, so that none is fetched."""

import os

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": os.getcwd()}  # before the hub's library reads it

from qwen3_sglang.convert import convert
from qwen3_sglang.errors import ConversionError

refused = None
try:
    convert("Qwen/Qwen3-Reranker-0.6B", "reranker")
except ConversionError as error:
    refused = error.__cause__
assert type(refused).__module__.startswith("huggingface_hub"), refused
