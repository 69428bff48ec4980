"""Are a checkpoint's tensors those of an unquantized Qwen3 model? Read from the headers alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from qwen3_sglang.convert.checkpoint import REFETCH, WIDTH, Entry, Shard, read_any_json
from qwen3_sglang.errors import ConversionError
from qwen3_sglang.names import EMBEDDINGS, LM_HEAD

PACKED = ("qweight", "qzeros", "g_idx", "scales", "weight_scale", "weight_scale_inv", "weight_packed", "SCB", "absmax")
PACKED_TYPES = ("F8_", "F4", "F6_", "I4", "U4", "I8", "U8", "I32")
UNQUANTIZED = "convert the unquantized checkpoint, quantize afterwards"
HEAD_DIM = 128  # Qwen3Config's own default
MERGE = "merge the adapter into its model first (peft: merge_and_unload, then save_pretrained)"
# Part of a tensor's name -> whose it is, and how to get rid of it.
WRAPPERS = {
    "base_model": ("PEFT", MERGE),
    "lora_A": ("PEFT", MERGE),
    "lora_B": ("PEFT", MERGE),
    "lora_embedding_A": ("PEFT", MERGE),
    "base_layer": ("PEFT", MERGE),
    "modules_to_save": ("PEFT", MERGE),
    "original_module": ("PEFT", MERGE),
    "module": ("DistributedDataParallel or DeepSpeed", "save the model inside it: model.module.save_pretrained"),
    "_orig_mod": ("torch.compile", "save the model inside it: model._orig_mod.save_pretrained"),
    "_fsdp_wrapped_module": ("FSDP", "gather the whole model and save it with save_pretrained"),
    "_checkpoint_wrapped_module": ("activation checkpointing", "save the model inside it with save_pretrained"),
}
ROOTS = ("model.layers.", "model.embed_tokens.", "model.norm.", "lm_head.", "score.")  # how the model's own names begin
Found = Mapping[str, tuple[Shard, Entry]]
Shapes = Iterator[tuple[str, tuple[int, ...]]]


def by_name(shards: Sequence[Shard]) -> Found:
    """The tensors of all shards."""
    return {name: (shard, entry) for shard in shards for name, entry in shard.tensors.items()}


def tensor_faults(folder: Path, found: Found, config: Mapping[str, Any], *, lm_head: bool) -> Iterator[str]:
    """Why these weights can't be used, the most telling reason first; nothing where all tensors are correct.

    `lm_head` says whether they are a language model's, whose head is needed unless the embeddings serve as one.
    """
    strange = _wrapped(found) or _quantized(found) or _bare(folder, found, lm_head=lm_head)
    if strange:
        yield strange
        return
    try:
        shapes = dict(expected_shapes(folder / "config.json", config))
    except ConversionError as error:
        yield str(error)
        return
    if LM_HEAD in found:  # in the file although it is shared with the embeddings, or left over in a classifier
        shapes[LM_HEAD] = shapes[EMBEDDINGS]
    elif not lm_head:
        shapes.pop(LM_HEAD, None)
    yield from _missing(folder, [name for name in shapes if name not in found])
    wrong = [name for name in shapes if name in found and found[name][1].shape != shapes[name]]
    yield from _misshapen(found, shapes, wrong)
    for name, (shard, entry) in found.items():
        yield from _entry_faults(shard.path, name, entry)


def expected_shapes(path: Path, config: Mapping[str, Any]) -> Shapes:
    """The tensors of a Qwen3ForCausalLM with this config (read from `path`), and their shapes.

    Raises: ConversionError, while iterating, where the config lacks a size.
    """
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


MOST = {"num_hidden_layers": 10**4}  # no model has more, and each is listed by name


def _size(path: Path, config: Mapping[str, Any], key: str) -> int:
    value = config.get(key)
    if type(value) is not int or not 1 <= value <= MOST.get(key, 2**40):  # true is an int
        raise ConversionError(f"{path}: {key} is {value!r:.80}, not a positive number; {REFETCH}")
    return value


def _wrapped(found: Found) -> str:
    for name, (shard, _) in found.items():
        part = next((part for part in name.split(".") if part in WRAPPERS), None)
        if part is not None:
            tool, remedy = WRAPPERS[part]
            shown = _prefix(name) if name.startswith(part) else f"{part}."
            return f'{shard.path}: "{shown}" in the tensor names ({name}) is from {tool}: {remedy}, and convert that'
    for name, (shard, _) in found.items():
        if name.endswith(f".{EMBEDDINGS}"):
            prefix = name.removesuffix(EMBEDDINGS)
            remedy = "save the model inside it with save_pretrained, and convert that"
            return f'{shard.path}: the tensor names begin with "{prefix}", a wrapper\'s prefix: {remedy}'
    return ""


def _prefix(name: str) -> str:
    """What stands in front of the model's own name of a tensor."""
    return name[: min((name.find(root) for root in ROOTS if root in name), default=len(name))]


def _quantized(found: Found) -> str:
    for name, (shard, entry) in found.items():
        if name.rpartition(".")[2] in PACKED or entry.dtype.startswith(PACKED_TYPES):
            return f"{shard.path}: {name} of type {entry.dtype} is a quantized weight; {UNQUANTIZED}"
    return ""


def _bare(folder: Path, found: Found, *, lm_head: bool) -> str:
    """Qwen3-Embedding says Qwen3ForCausalLM too."""
    if EMBEDDINGS not in found and EMBEDDINGS.removeprefix("model.") in found:
        sign = 'its tensors lack the prefix "model."'
    elif lm_head and ((folder / "1_Pooling").is_dir() or _pools(folder / "modules.json")):
        sign = "it has a pooling module"  # modules.json alone proves nothing: rerankers ship one as well
    else:
        return ""
    return (
        f"{folder}: {sign}: an embedding model such as Qwen3-Embedding, not a reranker, or a model's body without its "
        "head; use a Qwen3-Reranker checkpoint, and save a fine-tune of your own whole"
    )


def _pools(path: Path) -> bool:
    try:
        modules = read_any_json(path)
    except ConversionError:
        return False
    items = modules if isinstance(modules, list) else []
    return any(isinstance(item, dict) and str(item.get("type")).endswith(".Pooling") for item in items)


def _missing(folder: Path, names: Sequence[str]) -> Iterator[str]:
    if names:
        more = f" and {len(names) - 1} more tensors are" if len(names) > 1 else " is"
        yield (
            f"{folder}: {names[0]}{more} missing from the weights: a server leaves them random without a word, so "
            f"scores mean nothing; {REFETCH}"
        )


def _misshapen(found: Found, shapes: Mapping[str, tuple[int, ...]], names: Sequence[str]) -> Iterator[str]:
    if not names:
        return
    name, (shard, entry) = names[0], found[names[0]]
    said = f"{shard.path}: {name} has shape {list(entry.shape)}, not {list(shapes[name])} as config.json says"
    if name in (EMBEDDINGS, LM_HEAD) and entry.shape[1:] == shapes[name][1:]:
        yield (
            f"{said}: the vocabulary was resized. Set vocab_size to {entry.shape[0]} in config.json, if the tokenizer "
            "here belongs to these weights, or save model and tokenizer again with save_pretrained"
        )
    else:
        more = f", and {len(names) - 1} more" if len(names) > 1 else ""
        yield f"{said}{more}: a server won't start; {REFETCH}"


def _entry_faults(path: Path, name: str, entry: Entry) -> Iterator[str]:
    if entry.dtype not in WIDTH:
        yield f"{path}: {name} has type {entry.dtype}; use a checkpoint in {', '.join(WIDTH)}"
    elif entry.end - entry.begin != math.prod(entry.shape) * WIDTH[entry.dtype]:
        yield f"{path}: the byte range of {name} doesn't match its shape; {REFETCH}"
