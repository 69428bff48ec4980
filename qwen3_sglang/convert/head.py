"""The two rows of the classification head, from the rows that the source model scores with.

softmax([row0 . h, row1 . h])[1] is sigmoid(d . h) for any two rows whose difference is d. For a language model
d = w_yes - w_no, the rows of "yes" and "no" in its head; for a classifier of two labels it is the difference of its
rows, and for one of one label its only row. The obvious rows, [w_no, w_yes], give large logits, which the server
rounds to bfloat16 before its softmax. Here row1 is d rounded to bfloat16, whatever type the checkpoint has, and row0
what that rounding lost, so that the pair holds d to twice the digits, also where the server casts it to bfloat16.
In float32 P(yes) is the model's own; on a server that rounds its logits to bfloat16 it is off by at most
max(x * p * (1 - p)) * 2**-8 = 9e-4. Rows that share d more evenly, such as 0.6 d and
-0.4 d, gain nothing there on average and lose up to 2e-3 everywhere, to the rounding of row0
(simulated at hidden sizes 1024 to 4096, logits 20 +- 4, differences of standard deviation 2 and 4).
A bias is split in the same way.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from qwen3_sglang.convert.checkpoint import WIDTH, Entry, Shard, find_tensor, read_bytes
from qwen3_sglang.errors import ConversionError


@dataclass(frozen=True, slots=True)
class Rows:
    """Where a source's P(yes) comes from: sigmoid(yes . h - no . h), and the same of the bias.

    Attributes:
        weight: the tensor [*, hidden] that holds the rows.
        no: the number of the row of "no"; None, in a head of one label, means zeros.
        yes: the number of the row of "yes"; None as before.
        bias: the tensor [*] of their bias; None where there is none.
    """

    weight: str
    no: int | None
    yes: int | None
    bias: str | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """`weight` is [2, hidden] ("no", "yes") and `bias` [2], both as bytes of type `dtype`."""

    dtype: str
    hidden: int
    weight: bytes
    bias: bytes


def build_head(shards: Sequence[Shard], rows: Rows) -> Head:
    """The head for a checkpoint without faults (see `tensor_faults`).

    Raises:
        ConversionError: a row isn't there, holds values no head can be made of, or both rows are equal.
    """
    shard, entry = find_tensor(shards, rows.weight)
    try:
        w_no, w_yes = (_row(shard, entry, rows.weight, row) for row in (rows.no, rows.yes))
        weight = head_rows(w_no, w_yes, entry.dtype)
        bias = head_rows(*_bias(shards, rows), entry.dtype)
        encoded = [encode([*pair[0], *pair[1]], entry.dtype) for pair in (weight, bias)]
    except (ValueError, OverflowError) as error:
        raise ConversionError(f"{shard.path}: {rows.weight} has values no head can be made of ({error})") from error
    if weight[0] == weight[1]:  # 0.0 and -0.0 too
        raise ConversionError(
            f'{shard.path}: the rows of "yes" and "no" in {rows.weight} are equal, so that every document scores the '
            "same; use a checkpoint whose head was trained"
        )
    return Head(entry.dtype, entry.shape[1], *encoded)


def _row(shard: Shard, entry: Entry, name: str, row: int | None) -> list[float]:
    if row is None:
        return [0.0] * entry.shape[1]
    if not 0 <= row < entry.shape[0]:
        raise ConversionError(
            f"{shard.path}: {name} has {entry.shape[0]} rows, none for token {row}; "
            "use the tokenizer that belongs to the weights"
        )
    length = entry.shape[1] * WIDTH[entry.dtype]
    return decode(read_bytes(shard, entry.begin + row * length, length), entry.dtype)


def _bias(shards: Sequence[Shard], rows: Rows) -> tuple[list[float], list[float]]:
    if rows.bias is None:
        return [0.0], [0.0]
    values = read_values(shards, rows.bias)
    no, yes = (0.0 if row is None else values[row] for row in (rows.no, rows.yes))
    return [no], [yes]


def read_values(shards: Sequence[Shard], name: str) -> list[float]:
    """All numbers of a small tensor.

    Raises:
        ConversionError: there is no such tensor, or the file ends too early.
    """
    shard, entry = find_tensor(shards, name)
    return decode(read_bytes(shard, entry.begin, entry.end - entry.begin), entry.dtype)


def head_rows(w_no: Sequence[float], w_yes: Sequence[float], dtype: str) -> tuple[list[float], list[float]]:
    """([hidden], [hidden]): rows of "no" and "yes", every value representable in `dtype`. Raises: as `round_to`."""
    difference = [yes - no for no, yes in zip(w_no, w_yes, strict=True)]
    row1 = [round_to(round_to(d, "BF16"), dtype) for d in difference]
    # From the ROUNDED row1, so that the rounding of the one is made good by the other.
    row0 = [round_to(one - d, dtype) for one, d in zip(row1, difference, strict=True)]
    return row0, row1


def round_to(value: float, dtype: str) -> float:
    """The nearest value of type `dtype`, ties to even.

    Raises:
        ValueError: `value` is not finite.
        OverflowError: it is too large for `dtype`.
    """
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
