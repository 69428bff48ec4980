"""sentence-transformers' CrossEncoder in process, beside what throughput.py measures of servers: same texts, same JSON.

``python benchmarks/cross_encoder.py MODEL --documents 100 --words 60,250 --json FILE`` loads a converted checkpoint in
bfloat16 on the GPU (float32 on a CPU), gives it the prompts that our client sends, and tries several batch sizes; the
best one counts. In process there is one caller: what several ask together runs one after another.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import CrossEncoder

from qwen3_sglang.prompts.template import QWEN3
from ways import Texts, machine


def load(model: str, device: str) -> Any:
    """The encoder, ready to score."""
    kind = torch.bfloat16 if device == "cuda" else torch.float32
    encoder = CrossEncoder(model, device=device, model_kwargs={"dtype": kind}, max_length=8192)
    if encoder.tokenizer.pad_token is None:
        encoder.tokenizer.pad_token = "<|endoftext|>"  # noqa: S105 - a token of text
    encoder.model.config.pad_token_id = encoder.tokenizer.pad_token_id
    encoder.model.config.use_cache = False
    return encoder


def score(encoder: Any, query: str, documents: list[str], size: int) -> list[float]:
    """P(yes) of each document."""
    head = QWEN3.head(query)
    pairs = [(head.bare, f"{head.joint}{text}{QWEN3.suffix}") for text in documents]
    found = encoder.predict(pairs, batch_size=size, apply_softmax=True, show_progress_bar=False)
    return [float(row[1]) for row in found]


def measure(encoder: Any, documents: int, words: int, size: int, seconds: float) -> dict[str, Any]:
    """One row: whole calls until the time is up."""
    texts, latencies = Texts(f"{documents}-{words}-{size}"), []
    score(encoder, *texts.rerank(documents, words), size)
    start = time.perf_counter()
    while not latencies or time.perf_counter() - start < seconds:
        query, drawn = texts.rerank(documents, words)
        begin = time.perf_counter()
        score(encoder, query, drawn, size)
        latencies.append(time.perf_counter() - begin)
    p50 = statistics.median(latencies)
    speed = documents * len(latencies) / math.fsum(latencies)
    row = {"way": "cross-encoder", "title": f"CrossEncoder, batches of {size}", "documents": documents, "words": words}
    print(f"  {row['title']:40} {words:4} words {speed:8.0f} docs/s  p50 {p50 * 1e3:8.1f} ms", flush=True)
    return row | {"clients": 1, "docs_per_second": speed, "p50_ms": p50 * 1e3, "calls": len(latencies)}


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a converted checkpoint with its tokenizer")
    parser.add_argument("--documents", type=int, default=100, help="documents per query")
    parser.add_argument("--words", default="60,250", help="words per document, comma-separated")
    parser.add_argument("--sizes", default="8,16,32,64,100", help="batch sizes, comma-separated")
    parser.add_argument("--seconds", type=float, default=2.0, help="time per row")
    parser.add_argument("--json", metavar="FILE", help="write all rows there")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder = load(options.model, device)
    name = torch.cuda.get_device_name() if device == "cuda" else machine()
    print(f"CrossEncoder of {options.model} on {name}")
    sizes, lengths = ([int(part) for part in text.split(",")] for text in (options.sizes, options.words))
    rows = [measure(encoder, options.documents, words, size, options.seconds) for words in lengths for size in sizes]
    if options.json:
        Path(options.json).write_text(json.dumps({"label": "cross-encoder", "machine": name, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
