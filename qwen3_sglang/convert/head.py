"""The two rows of the classification head, from the rows of "no" and "yes" in the language model's head.

softmax([row0 . h, row1 . h])[1] is sigmoid(d . h) for any two rows whose difference is d = w_yes - w_no. The
obvious rows, [w_no, w_yes], give large logits, which the server rounds to bfloat16 before its softmax. Here row1 is
d rounded to the checkpoint's type, and row0 what that rounding lost, so that the pair holds d to twice the digits.
In float32 P(yes) is the model's own; on a server that rounds its logits to bfloat16 it is off by at most
max(x * p * (1 - p)) * 2**-8 = 9e-4. Rows that share d more evenly, such as 0.6 d and
-0.4 d, gain nothing there on average and lose up to 2e-3 everywhere, to the rounding of row0
(simulated at hidden sizes 1024 to 4096, logits 20 +- 4, differences of standard deviation 2 and 4).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen3_sglang.convert.checkpoint import WIDTH, Entry, Shard, read_bytes, read_json
from qwen3_sglang.errors import ConversionError
from qwen3_sglang.names import EMBEDDINGS, LABELS, LM_HEAD, PAD


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
    for word in LABELS:
        if not isinstance(vocab.get(word), int):
            raise ConversionError(f'{path}: "{word}" isn\'t a single token; use a Qwen3-Reranker checkpoint')
    found = {word: int(vocab[word]) for word in LABELS}
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


def build_head(shards: Sequence[Shard], config: Mapping[str, Any], tokens: Mapping[str, int]) -> Head:
    """The head for a checkpoint that `check_tensors` has passed.

    Raises ConversionError when a token has no row, or the rows hold values no head can be made of.
    """
    name = EMBEDDINGS if config.get("tie_word_embeddings") else LM_HEAD
    shard = next(shard for shard in shards if name in shard.tensors)  # check_tensors has seen it
    entry = shard.tensors[name]
    w_no, w_yes = (_read_row(shard, entry, name, tokens[word]) for word in LABELS)
    hidden = entry.shape[1]
    try:
        row0, row1 = head_rows(w_no, w_yes, entry.dtype)
        weight = encode(row0, entry.dtype) + encode(row1, entry.dtype)
    except (ValueError, OverflowError) as error:
        raise ConversionError(f"{shard.path}: {name} has values no head can be made of ({error})") from error
    return Head(entry.dtype, hidden, weight, bytes(2 * WIDTH[entry.dtype]))


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
    row1 = [round_to(d, dtype) for d in difference]
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
