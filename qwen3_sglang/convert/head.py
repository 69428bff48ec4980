"""The two rows of the classification head, from the rows of "no" and "yes" in the language model's head.

softmax([row0 . h, row1 . h])[1] is sigmoid(d . h) for any two rows whose difference is d = w_yes - w_no. The
obvious rows, [w_no, w_yes], give large logits, which the server rounds to bfloat16 before its softmax. With
row1 = 0.6 d and row0 = row1 - d the logits stay small and scores are about 30 times more exact (simulated at
hidden size 2560: mean |dP| 1.1e-4 instead of 3.5e-3). Power-of-two ratios between the rows gain nothing.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen3_sglang.convert.checkpoint import REFETCH, Entry, Shard, read_bytes, read_json
from qwen3_sglang.errors import ConversionError

LM_HEAD, EMBEDDINGS = "lm_head.weight", "model.embed_tokens.weight"
SHARE = 0.6
WIDTH = {"BF16": 2, "F16": 2, "F32": 4}
PAD = "<|endoftext|>"


@dataclass(frozen=True)
class Head:
    """`weight` is [2, hidden] ("no", "yes") and `bias` [2], both as bytes of type `dtype`."""

    dtype: str
    hidden: int
    weight: bytes
    bias: bytes


def find_tokens(folder: Path) -> dict[str, int]:
    """Ids of "no", "yes" and, where there is one, the padding token.

    Raises ConversionError when "no" or "yes" isn't a single token.
    """
    path = folder / "tokenizer.json"
    if path.is_file():
        tokenizer = read_json(path)
        vocab = _vocab(tokenizer)
    else:
        tokenizer, vocab = {}, None
    if vocab is None:
        path = folder / "vocab.json"
        vocab = read_json(path)
    for word in ("no", "yes"):
        if not isinstance(vocab.get(word), int):
            raise ConversionError(f'{path}: "{word}" isn\'t a single token; use a Qwen3-Reranker checkpoint')
    found = {word: int(vocab[word]) for word in ("no", "yes")}
    pad = _pad_id(folder, tokenizer, vocab)
    return found if pad is None else {**found, PAD: pad}


def _vocab(tokenizer: dict[str, Any]) -> dict[str, Any] | None:
    model = tokenizer.get("model")
    vocab = model.get("vocab") if isinstance(model, dict) else None
    return vocab if isinstance(vocab, dict) else None


def _pad_id(folder: Path, tokenizer: dict[str, Any], vocab: dict[str, Any]) -> int | None:
    for item in tokenizer.get("added_tokens") or []:
        if isinstance(item, dict) and item.get("content") == PAD:
            return int(item["id"])
    added = folder / "added_tokens.json"
    extra = read_json(added) if added.is_file() else {}
    pad = extra.get(PAD, vocab.get(PAD))
    return pad if isinstance(pad, int) else None


def build_head(shards: Sequence[Shard], config: dict[str, Any], tokens: dict[str, int]) -> Head:
    """The head for a checkpoint; ConversionError when its language model head can't be read as one."""
    shard, name = _find_weight(shards, tied=bool(config.get("tie_word_embeddings")))
    entry = shard.tensors[name]
    _check_weight(shard, name, config)
    w_no, w_yes = (_read_row(shard, entry, name, tokens[word]) for word in ("no", "yes"))
    hidden = entry.shape[1]
    try:
        row0, row1 = head_rows(w_no, w_yes, entry.dtype)
        weight = encode(row0, entry.dtype) + encode(row1, entry.dtype)
    except (ValueError, OverflowError) as error:
        raise ConversionError(f"{shard.path}: {name} has values no head can be made of ({error})") from error
    return Head(entry.dtype, hidden, weight, bytes(2 * WIDTH[entry.dtype]))


def _find_weight(shards: Sequence[Shard], *, tied: bool) -> tuple[Shard, str]:
    for name in (EMBEDDINGS,) if tied else (LM_HEAD, EMBEDDINGS):
        for shard in shards:
            if name in shard.tensors:
                return shard, name
    raise ConversionError(f"{shards[0].path.parent}: neither {LM_HEAD} nor {EMBEDDINGS} in the weights; {REFETCH}")


def _check_weight(shard: Shard, name: str, config: dict[str, Any]) -> None:
    entry = shard.tensors[name]
    if entry.dtype not in WIDTH:
        raise ConversionError(f"{shard.path}: {name} has type {entry.dtype}; use a checkpoint in {', '.join(WIDTH)}")
    hidden = config.get("hidden_size", entry.shape[-1] if entry.shape else None)
    if len(entry.shape) != 2 or entry.shape[1] != hidden:  # noqa: PLR2004
        raise ConversionError(f"{shard.path}: {name} has shape {list(entry.shape)}, not [*, {hidden}]; {REFETCH}")
    if entry.end - entry.begin != math.prod(entry.shape) * WIDTH[entry.dtype]:
        raise ConversionError(f"{shard.path}: the byte range of {name} doesn't match its shape; {REFETCH}")


def _read_row(shard: Shard, entry: Entry, name: str, row: int) -> list[float]:
    if not 0 <= row < entry.shape[0]:
        raise ConversionError(
            f"{shard.path}: {name} has {entry.shape[0]} rows, none for token {row}; "
            "use the tokenizer that belongs to the weights"
        )
    length = entry.shape[1] * WIDTH[entry.dtype]
    return decode(read_bytes(shard, entry.begin + row * length, length), entry.dtype)


def head_rows(w_no: Sequence[float], w_yes: Sequence[float], dtype: str) -> tuple[list[float], list[float]]:
    """([hidden], [hidden]): rows of "no" and "yes", every value representable in `dtype`."""
    difference = [yes - no for no, yes in zip(w_no, w_yes, strict=True)]
    row1 = [round_to(SHARE * d, dtype) for d in difference]
    # From the ROUNDED row1, so that the rounding of the one is made good by the other.
    row0 = [round_to(one - d, dtype) for one, d in zip(row1, difference, strict=True)]
    return row0, row1


def round_to(value: float, dtype: str) -> float:
    """The nearest value of type `dtype`, ties to even; ValueError or OverflowError when there is none."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is not finite")
    if dtype != "BF16":
        return decode(encode([value], dtype), dtype)[0]
    # Straight from the double: by way of float32 it would be rounded twice.
    exponent = math.frexp(value)[1]
    unit = max(exponent - 8, -133)  # 8 significant bits; 2**-133 is the smallest subnormal
    return math.ldexp(round(math.ldexp(value, -unit)), unit)


def decode(raw: bytes, dtype: str) -> list[float]:
    """The floats in little-endian bytes of type BF16, F16 or F32."""
    count = len(raw) // WIDTH[dtype]
    if dtype == "BF16":  # the upper half of a float32
        halves = struct.unpack(f"<{count}H", raw)
        raw = struct.pack(f"<{count}I", *(half << 16 for half in halves))
    return list(struct.unpack(f"<{count}{'e' if dtype == 'F16' else 'f'}", raw))


def encode(values: Sequence[float], dtype: str) -> bytes:
    """Bytes of type `dtype`; for BF16 the values must be representable already (`round_to`)."""
    raw = struct.pack(f"<{len(values)}{'e' if dtype == 'F16' else 'f'}", *values)
    if dtype != "BF16":
        return raw
    words = struct.unpack(f"<{len(values)}I", raw)
    return struct.pack(f"<{len(values)}H", *(word >> 16 for word in words))
