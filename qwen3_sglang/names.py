"""Names that are agreed on outside this code: those in a checkpoint, in a server's answers, in the environment.

At the core's root and without imports, since the converter, the protocol, the embedded server and the toy share them.
"""

from __future__ import annotations

# config.json and /model_info: the architecture that Qwen publishes, and the one that SGLang scores with.
SOURCE_CLASS, TARGET_CLASS = "Qwen3ForCausalLM", "Qwen3ForSequenceClassification"
# Tensors: the classification head's, and those that hold the rows it is made of.
WEIGHT, BIAS = "score.weight", "score.bias"
LM_HEAD, EMBEDDINGS = "lm_head.weight", "model.embed_tokens.weight"
# The answers that the template allows: tokens of the language model, labels 0 and 1 of the converted one.
NO, YES = "no", "yes"
LABELS = (NO, YES)
PAD, EOS = "<|endoftext|>", "<|im_end|>"

API_KEY_VARIABLE, BASE_URL_VARIABLE = "QWEN3_SGLANG_API_KEY", "QWEN3_SGLANG_BASE_URL"
HEADERS_VARIABLE = "QWEN3_SGLANG_HEADERS"

# A request's header: how many seconds the client waits for the answer. The embedded server refuses what takes longer.
PATIENCE = "X-Request-Timeout"
# What the embedded server's /model_info says of itself, beside SGLang's own keys.
FRONTEND = "qwen3-sglang"
