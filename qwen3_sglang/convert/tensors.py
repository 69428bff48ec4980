"""Are a checkpoint's tensors those of an unquantized Qwen3 language model? Read from the headers alone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from qwen3_sglang.convert.checkpoint import REFETCH, WIDTH, Entry, Shard
from qwen3_sglang.errors import ConversionError
from qwen3_sglang.names import EMBEDDINGS, LM_HEAD

PACKED = ("qweight", "qzeros", "g_idx", "scales", "weight_scale", "weight_scale_inv", "weight_packed", "SCB", "absmax")
PACKED_TYPES = ("F8_", "F4", "F6_", "I4", "U4", "I8", "U8", "I32")
HEAD_DIM = 128  # Qwen3Config's own default
Shapes = Iterator[tuple[str, tuple[int, ...]]]


def check_tensors(folder: Path, shards: Sequence[Shard], config: Mapping[str, Any]) -> None:
    """Raise ConversionError unless every tensor of the architecture is there, in its shape and in a known type."""
    found = {name: (shard, entry) for shard in shards for name, entry in shard.tensors.items()}
    _refuse_quantized(found)
    _refuse_embedding_model(folder, found)
    for name, shape in expected_shapes(folder / "config.json", config):
        if name not in found:
            raise ConversionError(f"{folder}: {name} is missing from the weights; {REFETCH}")
        shard, entry = found[name]
        if entry.shape != shape:
            raise ConversionError(
                f"{shard.path}: {name} has shape {list(entry.shape)}, not {list(shape)} as config.json says; {REFETCH}"
            )
    for name, (shard, entry) in found.items():
        _check_entry(shard.path, name, entry)


def expected_shapes(path: Path, config: Mapping[str, Any]) -> Shapes:
    """The tensors of a Qwen3ForCausalLM with this config (read from `path`), and their shapes."""
    hidden, rows = _size(path, config, "hidden_size"), _size(path, config, "vocab_size")
    yield EMBEDDINGS, (rows, hidden)
    yield "model.norm.weight", (hidden,)
    if not config.get("tie_word_embeddings"):
        yield LM_HEAD, (rows, hidden)
    layer = list(_layer_shapes(path, config, hidden))
    for number in range(_size(path, config, "num_hidden_layers")):
        for name, shape in layer:
            yield f"model.layers.{number}.{name}", shape


def _layer_shapes(path: Path, config: Mapping[str, Any], hidden: int) -> Shapes:
    width = _size(path, config, "head_dim") if "head_dim" in config else HEAD_DIM
    queries = _size(path, config, "num_attention_heads") * width
    keys = _size(path, config, "num_key_value_heads") * width
    inner = _size(path, config, "intermediate_size")
    outputs = {"q_proj": queries, "k_proj": keys, "v_proj": keys}
    for name, size in outputs.items():
        yield f"self_attn.{name}.weight", (size, hidden)
        if config.get("attention_bias"):
            yield f"self_attn.{name}.bias", (size,)
    yield "self_attn.o_proj.weight", (hidden, queries)
    for name in ("self_attn.q_norm", "self_attn.k_norm"):
        yield f"{name}.weight", (width,)
    for name in ("mlp.gate_proj", "mlp.up_proj"):
        yield f"{name}.weight", (inner, hidden)
    yield "mlp.down_proj.weight", (hidden, inner)
    for name in ("input_layernorm", "post_attention_layernorm"):
        yield f"{name}.weight", (hidden,)


def _size(path: Path, config: Mapping[str, Any], key: str) -> int:
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConversionError(f"{path}: {key} is {value!r}, not a positive number; {REFETCH}")
    return value


def _refuse_quantized(found: Mapping[str, tuple[Shard, Entry]]) -> None:
    for name, (shard, entry) in found.items():
        if name.rpartition(".")[2] in PACKED or entry.dtype.startswith(PACKED_TYPES):
            raise ConversionError(
                f"{shard.path}: {name} of type {entry.dtype} is a quantized weight; "
                "convert the unquantized checkpoint, quantize afterwards"
            )


def _refuse_embedding_model(folder: Path, found: Mapping[str, object]) -> None:
    # Qwen3-Embedding says Qwen3ForCausalLM too. modules.json alone proves nothing: rerankers ship one as well.
    if EMBEDDINGS not in found and EMBEDDINGS.removeprefix("model.") in found:
        sign = 'its tensors lack the prefix "model."'
    elif (folder / "1_Pooling").is_dir() or _pools(folder / "modules.json"):
        sign = "it has a pooling module"
    else:
        return
    raise ConversionError(
        f"{folder}: {sign}: an embedding model such as Qwen3-Embedding, not a reranker; use a Qwen3-Reranker checkpoint"
    )


def _pools(path: Path) -> bool:
    try:
        modules = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    items = modules if isinstance(modules, list) else []
    return any(isinstance(item, dict) and str(item.get("type")).endswith(".Pooling") for item in items)


def _check_entry(path: Path, name: str, entry: Entry) -> None:
    if entry.dtype not in WIDTH:
        raise ConversionError(f"{path}: {name} has type {entry.dtype}; use a checkpoint in {', '.join(WIDTH)}")
    if entry.end - entry.begin != math.prod(entry.shape) * WIDTH[entry.dtype]:
        raise ConversionError(f"{path}: the byte range of {name} doesn't match its shape; {REFETCH}")
