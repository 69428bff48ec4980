"""A checkpoint of random numbers in the real shapes of a Qwen3-Reranker, written block by block: no torch, no download.

With a size alone it says how big that one is; with a folder as well it writes it there.
"""

from __future__ import annotations

import json
import math
import random
import sys
from pathlib import Path
from typing import Any

from qwen3_sglang.convert.checkpoint import INDEX, SINGLE, Entry, encode_header
from qwen3_sglang.convert.tensors import expected_shapes
from qwen3_sglang.names import LM_HEAD

COMMON: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "head_dim": 128,
    "num_key_value_heads": 8,
    "vocab_size": 151669,
    "max_position_embeddings": 40960,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000,
    "dtype": "bfloat16",
}
OWN: dict[str, tuple[int, int, int, int, bool]] = {  # hidden, intermediate, layers, heads, tied
    "0.6B": (1024, 3072, 28, 16, True),
    "8B": (4096, 12288, 36, 32, False),
}
TOKENS = {"no": 2152, "yes": 9693, "<|endoftext|>": 151643}
SHARD_BYTES, BF16 = 4 * 10**9, 2
Shapes = dict[str, tuple[int, ...]]


def main() -> None:
    """Print bytes and files as JSON; write where a folder is named."""
    size, *folders = sys.argv[1:]
    config = config_of(size)
    shards = plan(config)
    for folder in folders:
        write_checkpoint(Path(folder), config, shards)
    sys.stdout.write(json.dumps({"bytes": sum(map(total, shards)), "files": len(shards)}) + "\n")


def config_of(size: str) -> dict[str, Any]:
    """The config.json of one size."""
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "tie_word_embeddings")
    return {**COMMON, **dict(zip(keys, OWN[size], strict=True))}


def plan(config: dict[str, Any]) -> list[Shapes]:
    """The tensors of each file, no file above SHARD_BYTES; the head comes last, as in Qwen's own checkpoints."""
    shapes = dict(expected_shapes(Path("config.json"), config))
    if LM_HEAD in shapes:
        shapes[LM_HEAD] = shapes.pop(LM_HEAD)
    shards: list[Shapes] = [{}]
    for name, shape in shapes.items():
        if total(shards[-1]) + nbytes(shape) > SHARD_BYTES:
            shards.append({})
        shards[-1][name] = shape
    return shards


def nbytes(shape: tuple[int, ...]) -> int:
    """Of a bfloat16 tensor."""
    return BF16 * math.prod(shape)


def total(shapes: Shapes) -> int:
    """Of all tensors of a file."""
    return sum(map(nbytes, shapes.values()))


def write_checkpoint(folder: Path, config: dict[str, Any], shards: list[Shapes]) -> None:
    """Config, weights and the least tokenizer that the converter takes."""
    folder.mkdir()
    count = len(shards)
    names = [SINGLE] if count == 1 else [f"model-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1)]
    block = random_block()
    for name, shapes in zip(names, shards, strict=True):
        write_shard(folder / name, shapes, block)
    if count > 1:
        weight_map = {tensor: name for name, shapes in zip(names, shards, strict=True) for tensor in shapes}
        (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.json").write_text(json.dumps(TOKENS))
    (folder / "merges.txt").write_text("#version: 0.2\n")


def random_block() -> bytes:
    """Finite bfloat16 numbers between 0.008 and 0.03, of either sign; its odd length keeps rows from being alike."""
    count = 4 * 2**20 - 3
    signs = bytes(0x3C if byte < 128 else 0xBC for byte in range(256))
    generator = random.Random(1)  # noqa: S311 - weights, not secrets
    block = bytearray(BF16 * count)
    block[0::2] = generator.randbytes(count)
    block[1::2] = generator.randbytes(count).translate(signs)
    return bytes(block)


def write_shard(path: Path, shapes: Shapes, block: bytes) -> None:
    """The block over and over, as long as the tensors are."""
    entries, position = {}, 0
    for name, shape in shapes.items():
        entries[name] = Entry("BF16", shape, position, position + nbytes(shape))
        position += nbytes(shape)
    with path.open("wb") as file:
        file.write(encode_header(entries, {"format": "pt"}))
        for _ in range(position // len(block)):
            file.write(block)
        file.write(block[: position % len(block)])


if __name__ == "__main__":
    main()
